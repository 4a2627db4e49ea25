"""The device's side of Unified Provisioning, without I/O.

The shell gives every request to `receive` with the monotonic time, carries out what `drain` gives, reports
through `notify`, and sends the reply (after the scan has ended, where `after_scan` says so). A session belongs
to a cookie; its life is this table, and what is not in it is refused:

============ ======================== ============
state        what happens             next state
============ ======================== ============
half-open    the right proof          proven
half-open    a wrong proof            ended
half-open    10 s passed              ended
half-open    pushed out by others     ended
proven       a request                proven
proven       anything undecryptable   ended
proven       another session proven   ended
proven       15 minutes passed        ended
============ ======================== ============

A half-open session never pushes out the proven one. Ids that are no code's get an answer that looks the same, cost no
exponentiation, burn nothing, and are slowed down; the ids of good codes never are.
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from admittance.errors import AdmittanceError, AuthenticationFailed, KeyRefused, Malformed, SessionLost
from admittance.protocol.provisioning import stock
from admittance.protocol.provisioning.codes import CodeBook, KnownCode
from admittance.protocol.provisioning.security2 import PREFIX_BYTES, SessionCipher, session_binding
from admittance.protocol.provisioning.srp import (
    PROVISIONING_SUITE,
    SALT_BYTES,
    Random,
    ServerHandshake,
)
from admittance.protocol.provisioning.stock import StockCommand, StockEndpoints, StockEvent
from admittance.protocol.provisioning.throttle import Throttle
from admittance.wire import base64url, chunks, provisioning_messages
from admittance.wire.evidence import PresenceMethod
from admittance.wire.protocomm import session as session_messages
from admittance.wire.protocomm import version
from admittance.wire.protocomm.parsing import MAX_BODY_BYTES, Status
from admittance.wire.protocomm.session import Command0, Command1, OtherScheme, Response0, Response1

HALF_OPEN_S: Final = 10.0
MAX_HALF_OPEN: Final = 4
SESSION_S: Final = 15 * 60.0
COOKIE_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class ProvenSession:
    """What an endpoint may know of the session that it is called in. `binding` has 32 bytes."""

    binding: bytes
    method: PresenceMethod
    code_age_s: int
    username: str


SecureEndpoint = Callable[[ProvenSession, bytes, float], bytes]


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one request.

    `status` is that of HTTP: 200, 400 malformed, 401 no session of this cookie, 404 no such endpoint. `cookie` is
    the new session's (digits), to be sent as ``Set-Cookie: session=<cookie>``. A reply that is `after_scan` waits
    until the shell has carried out the `StartScan` that runs.
    """

    status: int
    body: bytes = b""
    cookie: str | None = None
    after_scan: bool = False


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What `proto-ver` tells: how presence is proven, and whether the device can scan."""

    presence: Literal["display", "button"]
    wifi_scan: bool = True


@dataclass(frozen=True, slots=True)
class RenewCode:
    """A possession code was spent: show the next one."""


Command = StockCommand | RenewCode


@dataclass(frozen=True, slots=True)
class _HalfOpen:
    """Between the client's two commands. `handshake` is missing for an id that is no code's."""

    username: str
    opened_at: float
    known: KnownCode | None
    handshake: ServerHandshake | None


class _Proven:
    """The one session whose peer proved a code."""

    def __init__(self, cookie: str, session: ProvenSession, cipher: SessionCipher, since: float) -> None:
        self.cookie = cookie
        self.session = session
        self.cipher = cipher
        self.since = since
        self.request: tuple[str, chunks.Assembler] | None = None
        self.answer: tuple[str, int, bytes] | None = None


class ProvisioningDevice:
    """See the module. `boot_key` is 32 random bytes of this boot, `random` draws bytes."""

    def __init__(
        self,
        *,
        codes: CodeBook,
        capabilities: Capabilities,
        application: Mapping[str, SecureEndpoint],
        stock_endpoints: StockEndpoints,
        boot_key: bytes,
        chunk_bytes: int = chunks.HTTP_CHUNK_BYTES,
    ) -> None:
        self._codes = codes
        self._capabilities = capabilities
        self._application = application
        self._stock = stock_endpoints
        self._boot_key = boot_key
        self._chunk_bytes = chunk_bytes
        self._throttle = Throttle()
        self._half_open: dict[str, _HalfOpen] = {}
        self._proven: _Proven | None = None
        self._commands: list[Command] = []

    @property
    def session(self) -> ProvenSession | None:
        """The proven session, if there is one."""
        return None if self._proven is None else self._proven.session

    def receive(self, endpoint: str, cookie: str | None, body: bytes, now: float, random: Random) -> Reply:
        """Answer one request; `endpoint` is the path without its slash. Raises nothing but our own mistakes."""
        self._expire(now)
        if endpoint == stock.VERSION:
            return Reply(200, self._version(now, random))
        if not 0 < len(body) <= MAX_BODY_BYTES:
            return Reply(400)
        if endpoint == stock.SESSION:
            return self._handshake(cookie, body, now, random)
        if endpoint not in stock.SECURE_ENDPOINTS and endpoint not in self._application:
            return Reply(404)
        if self._proven is None or cookie != self._proven.cookie:
            return Reply(401)
        return self._secured(self._proven, endpoint, body, now)

    def drain(self) -> tuple[Command, ...]:
        """Take the commands that the shell must carry out."""
        commands, self._commands = (*self._commands, *self._stock.drain()), []
        return commands

    def notify(self, event: StockEvent) -> None:
        """Tell how a scan or an attempt to join ended."""
        self._stock.notify(event)

    def end_sessions(self) -> None:
        """Provisioning is closed: forget every session."""
        self._half_open.clear()
        self._end_proven()

    def _version(self, now: float, random: Random) -> bytes:
        admit = version.Admit(v=1, presence=self._capabilities.presence)
        nonce = self._codes.window_nonce(now, random)
        if nonce is not None:
            admit = version.Admit(v=1, presence="button", window=base64url.encode(nonce))
        capabilities = ("wifi_scan",) if self._capabilities.wifi_scan else ()
        prov = version.Stock(ver="v1.1", sec_ver=2, sec_patch_ver=1, cap=capabilities)
        return version.encode(version.Version(prov, admit))

    def _handshake(self, cookie: str | None, body: bytes, now: float, random: Random) -> Reply:
        try:
            command = session_messages.decode_command(body)
        except Malformed:
            return Reply(400)
        match command:
            case OtherScheme():
                return _session_reply(Response0(Status.INVALID_SECURITY_SCHEME))
            case Command0():
                return self._challenge(cookie, command, now, random)
            case Command1():
                return self._prove(cookie, command, now, random)

    def _challenge(self, cookie: str | None, command: Command0, now: float, random: Random) -> Reply:
        known = self._codes.find(command.username, now, random)
        if known is None and self._throttle.wait_s(now) > 0:
            return _session_reply(Response0(Status.TOO_MANY_SESSIONS))
        self._half_open.pop(cookie or "", None)
        if not self._make_room(for_known=known is not None):
            return _session_reply(Response0(Status.TOO_MANY_SESSIONS))
        try:
            handshake, answer = self._start(command, known, now, random)
        except KeyRefused:
            return _session_reply(Response0(Status.INVALID_ARGUMENT))
        cookie = self._new_cookie(random)
        self._half_open[cookie] = _HalfOpen(command.username, now, known, handshake)
        return _session_reply(answer, cookie)

    def _start(
        self, command: Command0, known: KnownCode | None, now: float, random: Random
    ) -> tuple[ServerHandshake | None, Response0]:
        if known is None:
            PROVISIONING_SUITE.check_public(command.client_public)
            self._throttle.failed(now)
            public = _random_public(random)
            return None, Response0(Status.SUCCESS, public, self._dummy_salt(command.username))
        handshake = ServerHandshake.start(
            PROVISIONING_SUITE,
            username=known.username,
            salt=known.salt,
            verifier=known.verifier,
            client_public=command.client_public,
            random=random,
        )
        return handshake, Response0(Status.SUCCESS, handshake.server_public, handshake.salt)

    def _prove(self, cookie: str | None, command: Command1, now: float, random: Random) -> Reply:
        half_open = self._half_open.pop(cookie or "", None)
        if cookie is None or half_open is None:
            return _session_reply(Response1(Status.INVALID_SESSION))
        refused = _session_reply(Response1(Status.CRYPTO_ERROR))
        known, handshake = half_open.known, half_open.handshake
        if known is None or handshake is None or not self._codes.spend(half_open.username, now):
            return refused
        if known.method != "resume":
            self._commands.append(RenewCode())
        try:
            agreement, device_proof = handshake.finish(command.client_proof)
        except (AuthenticationFailed, KeyRefused):
            return refused
        self._throttle.succeeded()
        self._end_proven()
        cipher = SessionCipher(agreement, random(PREFIX_BYTES))
        session = ProvenSession(session_binding(agreement), known.method, known.age_s, known.username)
        self._proven = _Proven(cookie, session, cipher, now)
        return _session_reply(Response1(Status.SUCCESS, device_proof, cipher.nonce))

    def _secured(self, proven: _Proven, endpoint: str, body: bytes, now: float) -> Reply:
        try:
            request = proven.cipher.decrypt(body)
            if endpoint in self._application:
                answer = stock.StockAnswer(self._application_answer(proven, endpoint, request, now))
            else:
                answer = self._stock.handle(endpoint, request, now)
            return Reply(200, proven.cipher.encrypt(answer.body), after_scan=answer.after_scan)
        except SessionLost:
            self._end_proven()
            return Reply(401)
        except Malformed:
            self._end_proven()
            return Reply(400)

    def _application_answer(self, proven: _Proven, endpoint: str, body: bytes, now: float) -> bytes:
        chunk = chunks.decode(body)
        if not chunk.data:
            return self._more(proven, endpoint, chunk)
        request = self._assemble(proven, endpoint, chunk)
        if request.message is None:
            return chunks.encode(chunks.Chunk(request.id, request.total, request.received, b""))
        proven.request = None
        answer = self._call(proven, endpoint, request.message, now)
        proven.answer = endpoint, request.id, answer
        return chunks.encode(chunks.part(answer, request.id, 0, self._chunk_bytes))

    def _assemble(self, proven: _Proven, endpoint: str, chunk: chunks.Chunk) -> chunks.Assembler:
        if chunk.offset == 0:
            request = chunks.Assembler(chunk)
            proven.request, proven.answer = (endpoint, request), None
            return request
        if proven.request is None or proven.request[0] != endpoint:
            raise Malformed("A later chunk of a request that did not begin.")
        request = proven.request[1]
        request.add(chunk)
        return request

    def _call(self, proven: _Proven, endpoint: str, request: bytes, now: float) -> bytes:
        try:
            return self._application[endpoint](proven.session, request, now)
        except AdmittanceError as error:
            return provisioning_messages.encode_refusal(provisioning_messages.Refusal(error.code, str(error)))

    def _more(self, proven: _Proven, endpoint: str, chunk: chunks.Chunk) -> bytes:
        if proven.answer is None:
            raise Malformed("There is no answer of which there could be more.")
        answered, answer_id, answer = proven.answer
        if (endpoint, chunk.id, chunk.total) != (answered, answer_id, len(answer)):
            raise Malformed("This is another answer than the last one.")
        return chunks.encode(chunks.part(answer, answer_id, chunk.offset, self._chunk_bytes))

    def _make_room(self, *, for_known: bool) -> bool:
        """Keep one place free; who knows no code never pushes out somebody who may."""
        if len(self._half_open) < MAX_HALF_OPEN:
            return True
        unknown = [cookie for cookie, half_open in self._half_open.items() if half_open.known is None]
        if unknown:
            del self._half_open[unknown[0]]
        elif for_known:
            del self._half_open[next(iter(self._half_open))]
        return len(self._half_open) < MAX_HALF_OPEN

    def _new_cookie(self, random: Random) -> str:
        while True:
            cookie = str(int.from_bytes(random(COOKIE_BYTES), "big"))
            if cookie not in self._half_open and (self._proven is None or cookie != self._proven.cookie):
                return cookie

    def _dummy_salt(self, username: str) -> bytes:
        """The same for the same username during one boot, like a real one; never begins with 0x00."""
        digest = hmac.new(self._boot_key, username.encode(), sha256).digest()
        return bytes([digest[-1] % 255 + 1]) + digest[1:SALT_BYTES]

    def _expire(self, now: float) -> None:
        self._half_open = {
            cookie: half_open
            for cookie, half_open in self._half_open.items()
            if now < half_open.opened_at + HALF_OPEN_S
        }
        if self._proven is not None and now >= self._proven.since + SESSION_S:
            self._end_proven()

    def _end_proven(self) -> None:
        if self._proven is not None:
            self._proven.cipher.end()
            self._proven = None


def _session_reply(response: Response0 | Response1, cookie: str | None = None) -> Reply:
    return Reply(200, session_messages.encode_response(response), cookie)


def _random_public(random: Random) -> bytes:
    """A value that looks like a B, made without an exponentiation."""
    while True:
        public = random(PROVISIONING_SUITE.length_bytes)
        if public[0] != 0 and int.from_bytes(public, "big") < PROVISIONING_SUITE.n:
            return public
