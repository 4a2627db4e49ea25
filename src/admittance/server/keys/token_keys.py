"""The keys that sign access tokens: one file each, named by the Unix time from which its key signs.

A key is published as soon as its file is there, signs from its time until the next key's, and stays published for as
long as a token that it signed may live. Nodes share the folder, or hold copies of it, and look into it again now and
then: a key must lie in every copy before its time comes.
"""

import re
from bisect import bisect_right
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

from admittance.errors import ConfigurationError
from admittance.protocol.signing import SoftwareSigner
from admittance.server.keys.certificates import new_key
from admittance.server.keys.file import create_secret, read_secret
from admittance.server.keys.port import TokenKey

LOOK_AGAIN_S = 30.0
MIN_NOTICE_S = 600
"""How long a key is published before it signs, at least: who checks tokens may cache the set that long."""

KEPT_S = 3600
"""How long a key stays published after the next one signs: as long as the longest access token lives."""

_FILE = re.compile(r"token-signing-([0-9]{1,12})\.key", re.ASCII)


class TokenKeys:
    """Reads the folder. Raises `ConfigurationError` when it holds no key that signs now, or a file that is none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys: dict[int, TokenKey] = {}
        self._begins: list[int] = []
        self._looked_at = float("-inf")

    def signing(self, now: float) -> TokenKey:
        """The key that signs at Unix time `now`."""
        times = self._times(now)
        place = bisect_right(times, int(now))
        if place == 0:
            raise ConfigurationError(
                f"{self._folder} holds no key that signs access tokens; restore it from the backup"
            )
        return self._keys[times[place - 1]]

    def published(self, now: float) -> tuple[TokenKey, ...]:
        """Every key under which a living token may be signed, and those that sign later."""
        times = self._times(now)
        ends = [*times[1:], None]
        return tuple(
            self._keys[begins]
            for begins, end in zip(times, ends, strict=True)
            if end is None or end + KEPT_S > int(now)
        )

    def roll(self, now: float, notice_s: int = 24 * 3600) -> int:
        """Make the next key, which signs after `notice_s`; returns from when. Raises `ConfigurationError`."""
        if notice_s < MIN_NOTICE_S:
            raise ConfigurationError(f"A key must be published for {MIN_NOTICE_S} s before it signs.")
        begins = int(now) + notice_s
        if any(time > int(now) for time in self._times(now)):
            raise ConfigurationError("The next key is published already and does not sign yet: wait for it.")
        create_token_key(self._folder, begins)
        self._looked_at = float("-inf")
        return begins

    def _times(self, now: float) -> list[int]:
        if abs(now - self._looked_at) >= LOOK_AGAIN_S:
            self._look()
            self._looked_at = now
        return self._begins

    def _look(self) -> None:
        try:
            names = [path.name for path in self._folder.iterdir()]
        except OSError as error:
            raise ConfigurationError(f"{self._folder}: {error.strerror}") from None
        found = {int(match[1]): name for name in names if (match := _FILE.fullmatch(name))}
        self._keys = {begins: self._keys.get(begins) or _read(self._folder / name) for begins, name in found.items()}
        self._begins = sorted(self._keys)


def create_token_key(folder: Path, begins: int) -> None:
    """Make a key that signs from Unix time `begins`, unless it is there."""
    pem = new_key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    create_secret(folder / f"token-signing-{begins}.key", pem)


def _read(path: Path) -> TokenKey:
    try:
        key = serialization.load_pem_private_key(read_secret(path), password=None)
    except (ValueError, TypeError):
        raise ConfigurationError(f"{path} is not a private key in PEM (PKCS #8, not encrypted)") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigurationError(f"{path} is not a P-256 key")
    made = ECKey.import_key(key)
    return TokenKey(kid=made.thumbprint(), key=made, signer=SoftwareSigner(key))
