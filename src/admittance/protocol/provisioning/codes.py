"""Possession codes: who knows one stands before the device.

A code is the password of an SRP session and its id the username. Both are Crockford base32: 20 bytes of code, 10 of
id, so that neither can be guessed. A possession code is good for one success or one failure. All times are seconds of
the device's monotonic clock.
"""

from dataclasses import dataclass, field
from hashlib import sha512
from typing import Final, NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from admittance.protocol.provisioning.srp import PROVISIONING_SUITE, Random, draw_salt
from admittance.wire import crockford
from admittance.wire.evidence import PresenceMethod

CODE_BYTES: Final = 20
CODE_ID_BYTES: Final = 10
WINDOW_NONCE_BYTES: Final = 16
WINDOW_S: Final = 300.0
_MAX_RESUME_CODES: Final = 4


class PossessionCode(NamedTuple):
    """The SRP username (`code_id`) and password (`code`)."""

    code_id: str
    code: str

    def __repr__(self) -> str:
        return f"PossessionCode(code_id={self.code_id!r})"


@dataclass(frozen=True, slots=True)
class KnownCode:
    """What the device's half of SRP needs for one username; `age_s` counts from when the code appeared."""

    username: str
    salt: bytes
    verifier: int = field(repr=False)
    method: PresenceMethod
    age_s: int


def button_code(presence_key: bytes, nonce: bytes) -> PossessionCode:
    """The code of a button window, which device and server compute alike.

    HKDF-SHA256 (RFC 5869) of the 32-byte presence key, the 16-byte window nonce as salt.
    """
    return PossessionCode(
        code_id=_derive(presence_key, nonce, b"admittance/code-id/1", CODE_ID_BYTES),
        code=_derive(presence_key, nonce, b"admittance/possession-code/1", CODE_BYTES),
    )


class _Secret:
    """One code that may be accepted; salt and verifier are made when somebody first names it."""

    def __init__(self, code: PossessionCode, method: PresenceMethod, since: float) -> None:
        self.code = code
        self.method = method
        self.since = since
        self._proof: tuple[bytes, int] | None = None

    def known(self, now: float, random: Random) -> KnownCode:
        if self._proof is None:
            salt = draw_salt(random)
            self._proof = salt, PROVISIONING_SUITE.verifier(self.code.code_id, self.code.code, salt)
        age_s = max(0, int(now - self.since))
        return KnownCode(self.code.code_id, *self._proof, self.method, age_s)


class RotatingCodes:
    """The codes of a display: a new one every `rotation_s`, each good until `grace_s` after it left.

    A code that the display did not take down counts as gone after its rotation time all the same.
    """

    def __init__(self, *, rotation_s: float = 60.0, grace_s: float = 90.0) -> None:
        self._rotation_s = rotation_s
        self._grace_s = grace_s
        self._shown: _Secret | None = None
        self._fading: list[tuple[_Secret, float]] = []

    @property
    def rotates_at(self) -> float | None:
        """When the shown code must be replaced: call `shown` then. None while none is shown."""
        return None if self._shown is None else self._shown.since + self._rotation_s

    def shown(self, now: float, random: Random) -> PossessionCode:
        """The code to show now; a new one if the last one's time is over, or if it was spent."""
        if self._shown is not None and now >= self._shown.since + self._rotation_s:
            self.hide(now)
        if self._shown is None:
            self._shown = _Secret(_draw_code(random), "display", now)
        return self._shown.code

    def hide(self, now: float) -> None:
        """Nothing is shown any more; the last code stays good for its grace time."""
        if self._shown is not None:
            left_at = min(now, self._shown.since + self._rotation_s)
            self._fading.append((self._shown, left_at + self._grace_s))
            self._shown = None
        self._fading = [entry for entry in self._fading if now < entry[1]]

    def clear(self) -> None:
        """Forget every code."""
        self._shown = None
        self._fading = []

    def find(self, code_id: str, now: float) -> _Secret | None:
        if self._shown is not None and self._shown.code.code_id == code_id:
            alive = now < self._shown.since + self._rotation_s + self._grace_s
            return self._shown if alive else None
        for secret, until in self._fading:
            if secret.code.code_id == code_id and now < until:
                return secret
        return None

    def burn(self, code_id: str) -> None:
        if self._shown is not None and self._shown.code.code_id == code_id:
            self._shown = None
        self._fading = [entry for entry in self._fading if entry[0].code.code_id != code_id]


class ButtonWindow:
    """Five minutes after a press of the button. A spent code is followed by another nonce of the same window."""

    def __init__(self, presence_key: bytes, opened_at: float, random: Random, *, window_s: float = WINDOW_S) -> None:
        self._presence_key = presence_key
        self._until = opened_at + window_s
        self._secret: _Secret | None = None
        self.nonce = b""
        self._renew(opened_at, random)

    @property
    def until(self) -> float:
        """When the window closes."""
        return self._until

    def current_nonce(self, now: float, random: Random) -> bytes | None:
        """The nonce that `proto-ver` shows; None once the window is closed."""
        if now >= self._until:
            return None
        if self._secret is None:
            self._renew(now, random)
        return self.nonce

    def find(self, code_id: str, now: float) -> _Secret | None:
        secret = self._secret
        return secret if secret is not None and secret.code.code_id == code_id and now < self._until else None

    def burn(self, code_id: str) -> None:
        if self._secret is not None and self._secret.code.code_id == code_id:
            self._secret = None

    def _renew(self, now: float, random: Random) -> None:
        while True:
            self.nonce = random(WINDOW_NONCE_BYTES)
            code = button_code(self._presence_key, self.nonce)
            if _suits_stock_clients(code):
                self._secret = _Secret(code, "button", now)
                return


class CodeBook:
    """Every code that a device accepts: of its display, its button, and of its open transaction."""

    def __init__(self, *, rotating: RotatingCodes | None = None) -> None:
        self.rotating = rotating
        self._window: ButtonWindow | None = None
        self._resume: dict[str, tuple[_Secret, float]] = {}

    def open_window(self, window: ButtonWindow) -> None:
        """Accept the codes of a button window, in place of an earlier one."""
        self._window = window

    def close(self) -> None:
        """Provisioning is closed: forget every possession code. Codes of the transaction stay."""
        self._window = None
        if self.rotating is not None:
            self.rotating.clear()

    def window_nonce(self, now: float, random: Random) -> bytes | None:
        """The nonce of the open button window, if there is one."""
        return None if self._window is None else self._window.current_nonce(now, random)

    def allow_resume(self, transaction_id: bytes, resume_code: bytes, until: float, now: float) -> None:
        """Accept later sessions of a transaction until `until`; 16 bytes each, known only to this phone.

        Such a code survives success and failure: who fails on purpose must not end a transaction.
        """
        code = PossessionCode(crockford.encode(transaction_id), crockford.encode(resume_code))
        known = self._resume.pop(code.code_id, None)
        same = known is not None and known[0].code == code
        secret = known[0] if known is not None and same else _Secret(code, "resume", now)
        while len(self._resume) >= _MAX_RESUME_CODES:
            self._resume.pop(next(iter(self._resume)))
        self._resume[code.code_id] = secret, until

    def forget_resume(self, transaction_id: bytes) -> None:
        self._resume.pop(crockford.encode(transaction_id), None)

    def find(self, username: str, now: float, random: Random) -> KnownCode | None:
        """What is needed to prove `username`, or None if no code of that id is good now."""
        secret = self._secret(username, now)
        return None if secret is None else secret.known(now, random)

    def spend(self, username: str, now: float) -> bool:
        """Use the one try of a code up, before its proof is looked at; False if it is no longer good."""
        secret = self._secret(username, now)
        if secret is None:
            return False
        for source in (self.rotating, self._window):
            if source is not None:
                source.burn(username)
        return True

    def _secret(self, username: str, now: float) -> _Secret | None:
        resume = self._resume.get(username)
        if resume is not None and now < resume[1]:
            return resume[0]
        for source in (self.rotating, self._window):
            secret = None if source is None else source.find(username, now)
            if secret is not None:
                return secret
        return None


def _draw_code(random: Random) -> PossessionCode:
    while True:
        code = PossessionCode(crockford.encode(random(CODE_ID_BYTES)), crockford.encode(random(CODE_BYTES)))
        if _suits_stock_clients(code):
            return code


def _suits_stock_clients(code: PossessionCode) -> bool:
    """Espressif's Python client drops leading zero bytes of H(I ":" P), so a code must not make one."""
    return sha512(f"{code.code_id}:{code.code}".encode()).digest()[0] != 0


def _derive(presence_key: bytes, nonce: bytes, info: bytes, length: int) -> str:
    kdf = HKDF(algorithm=hashes.SHA256(), length=length, salt=nonce, info=info)
    return crockford.encode(kdf.derive(presence_key))
