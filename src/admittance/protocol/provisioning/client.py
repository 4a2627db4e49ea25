"""The phone's side of Unified Provisioning, without I/O.

Every operation is a `Call`: a generator that yields a `Request`, is sent the `Response` to it, and returns its
result. `run` drives one over an asynchronous exchange, `run_blocking` over a blocking one. An answer that got lost
ends the session, because its counter is used up; the states, and what each operation makes of them:

======== ==================== ========
state    operation            next
======== ==================== ========
new      `open` begins        lost
lost     `open` begins        lost
lost     `open` succeeded     proven
proven   any request begins   lost
lost     its answer was good  proven
======== ==================== ========

Thus the session is lost while an answer is awaited, and stays so unless a good one arrives. Nothing but `open` is
possible outside of "proven": it raises `SessionLost`.

A wrong code raises `WrongCode`, a device that wants us to wait `Throttled`, a session that ended `SessionLost`, a
request that the device refused `DeviceRefused`, and a device that is not safe to talk to `InsecureDevice`.
"""

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

from admittance.errors import (
    AuthenticationFailed,
    DeviceRefused,
    InsecureDevice,
    KeyRefused,
    Malformed,
    SessionLost,
    Throttled,
    WrongCode,
)
from admittance.protocol.provisioning import stock
from admittance.protocol.provisioning.security2 import SessionCipher, session_binding
from admittance.protocol.provisioning.srp import PROVISIONING_SUITE, ClientHandshake, Random
from admittance.wire import chunks, message, provisioning_messages
from admittance.wire.protocomm import control, network, scan, version
from admittance.wire.protocomm import session as session_messages
from admittance.wire.protocomm.network import NetworkStatus
from admittance.wire.protocomm.parsing import Status
from admittance.wire.protocomm.scan import ScannedNetwork
from admittance.wire.protocomm.session import Command0, Command1, Response0

THROTTLE_MOST_S: Final = 30
NETWORKS_PER_REQUEST: Final = 4
MAX_NETWORKS: Final = 256


@dataclass(frozen=True, slots=True)
class Request:
    """One request: over HTTP ``POST /<endpoint>``, with ``Cookie: session=<cookie>`` if there is one."""

    endpoint: str
    body: bytes = field(repr=False)
    cookie: str | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """What came back: the status of HTTP, the body, and the value of a new ``session`` cookie."""

    status: int
    body: bytes = field(repr=False)
    cookie: str | None = None


ResultT = TypeVar("ResultT")
MessageT = TypeVar("MessageT", bound=message.Message)
Call = Generator[Request, Response, ResultT]
State = Literal["new", "lost", "proven"]


async def run(call: Call[ResultT], exchange: Callable[[Request], Awaitable[Response]]) -> ResultT:
    """Drive one operation. What `exchange` raises ends the operation, and with it the session."""
    try:
        request = next(call)
        while True:
            request = call.send(await exchange(request))
    except StopIteration as finished:
        result: ResultT = finished.value
        return result
    finally:
        call.close()


def run_blocking(call: Call[ResultT], exchange: Callable[[Request], Response]) -> ResultT:
    """Drive one operation over a blocking exchange."""
    try:
        request = next(call)
        while True:
            request = call.send(exchange(request))
    except StopIteration as finished:
        result: ResultT = finished.value
        return result
    finally:
        call.close()


def read_version() -> Call[version.Version]:
    """Ask a device what it speaks, before any code is shown to it.

    Raises `InsecureDevice` unless it is Security 2 with patch version 1 and a code, `Malformed` if it is no answer.
    """
    response = yield Request(stock.VERSION, b"---")
    _check_status(response)
    answer = version.decode(response.body)
    stock_part = answer.prov
    if stock_part.sec_ver != 2 or stock_part.sec_patch_ver != 1:
        raise InsecureDevice("The device does not offer Security 2 with patch version 1.")
    if "no_pop" in stock_part.cap or "no_sec" in stock_part.cap:
        raise InsecureDevice("The device lets anybody in without a possession code.")
    return answer


class ProvisioningClient:
    """One phone at one device. `chunk_bytes` depends on the transport (3500 over HTTP, 180 over BLE)."""

    def __init__(
        self, username: str, code: str, random: Random, *, chunk_bytes: int = chunks.HTTP_CHUNK_BYTES
    ) -> None:
        self._username = username
        self._code = code
        self._random = random
        self._chunk_bytes = chunk_bytes
        self._state: State = "new"
        self._cipher: SessionCipher | None = None
        self._cookie: str | None = None
        self._binding = b""

    @property
    def state(self) -> State:
        return self._state

    @property
    def binding(self) -> bytes:
        """The 32 bytes that name the proven session. Raises `SessionLost` if there is none."""
        if self._state != "proven":
            raise SessionLost("There is no session with the device.")
        return self._binding

    def open(self) -> Call[version.Version]:
        """Check the device's version and prove the code; a session that was open is given up.

        Raises `WrongCode`, `Throttled`, `InsecureDevice`, `DeviceRefused`, `SessionLost` or `Malformed`.
        """
        self._state = "lost"
        self._cookie = None
        answer = yield from read_version()
        handshake = ClientHandshake.start(
            PROVISIONING_SUITE, username=self._username, password=self._code, random=self._random
        )
        challenge = session_messages.decode_response0(
            (yield from self._session_exchange(Command0(self._username, handshake.client_public)))
        )
        _check_challenge(challenge)
        try:
            proof = handshake.answer(challenge.salt, challenge.device_public)
        except KeyRefused as error:
            raise InsecureDevice("The device sent a public value that must not be used.") from error
        result = session_messages.decode_response1((yield from self._session_exchange(Command1(proof.proof))))
        if result.status is Status.CRYPTO_ERROR:
            raise WrongCode("The code is wrong, outdated or was used. Scan the code that is shown now.")
        if result.status is Status.INVALID_SESSION:
            raise SessionLost("The device took too long or dropped the handshake. Try again.")
        _check_success(result.status, stock.SESSION)
        try:
            agreement = proof.check(result.device_proof)
        except AuthenticationFailed as error:
            raise InsecureDevice("The device does not know the code that it asked for.") from error
        try:
            self._cipher = SessionCipher.from_nonce(agreement, result.device_nonce)
        except Malformed as error:
            raise InsecureDevice("The device's counter does not begin at 1.") from error
        self._binding = session_binding(agreement)
        self._state = "proven"
        return answer

    def call(self, endpoint: str, request: bytes) -> Call[bytes]:
        """Call an `admit-*` endpoint with a whole request; the whole answer, both in chunks.

        Raises `SessionLost`, or `Malformed` for an answer that breaks the rules of chunks.
        """
        call_id = int.from_bytes(self._random(4), "big")
        answer: chunks.Chunk | None = None
        for chunk in chunks.split(request, call_id, self._chunk_bytes):
            answer = chunks.decode((yield from self._secured(endpoint, chunks.encode(chunk))))
            last = chunk.end == chunk.total
            if not last and answer != chunks.Chunk(call_id, chunk.total, chunk.end, b""):
                raise self._broken("The device did not take the request chunk by chunk.")
        if answer is None or answer.id != call_id or answer.offset != 0 or not answer.data:
            raise self._broken("The device answered with the wrong chunk.")
        assembler = chunks.Assembler(answer)
        while assembler.message is None:
            asked = chunks.encode(chunks.Chunk(call_id, assembler.total, assembler.received, b""))
            more = chunks.decode((yield from self._secured(endpoint, asked)))
            assembler.add(more)
        return assembler.message

    def ask(self, endpoint: str, request: message.Message, expected: type[MessageT]) -> Call[MessageT]:
        """Call an `admit-*` endpoint with a message. Raises `DeviceRefused` with the device's own reason."""
        data = yield from self.call(endpoint, message.encode(request))
        answer = provisioning_messages.decode_answer(data, expected)
        if isinstance(answer, provisioning_messages.Refusal):
            raise DeviceRefused(answer.code, answer.detail)
        return answer

    def scan(self) -> Call[tuple[ScannedNetwork, ...]]:
        """The networks that the device sees, those that have a name. Raises `DeviceRefused`, `SessionLost`."""
        started = yield from self._secured(stock.SCAN, scan.encode_command(scan.StartScan(blocking=True)))
        _check_success(scan.decode_started(started), stock.SCAN)
        asked = yield from self._secured(stock.SCAN, scan.encode_command(scan.AskScanStatus()))
        status = scan.decode_status(asked)
        if not status.finished:
            raise DeviceRefused("scan_unfinished", "The device did not finish its scan. Scan again.")
        count = min(status.count, MAX_NETWORKS)
        networks: list[ScannedNetwork] = []
        for start in range(0, count, NETWORKS_PER_REQUEST):
            command = scan.AskScanResult(start, min(NETWORKS_PER_REQUEST, count - start))
            answer = yield from self._secured(stock.SCAN, scan.encode_command(command))
            networks += [found for found in scan.decode_result(answer) if found is not None]
        return tuple(networks)

    def set_network(self, ssid: str, passphrase: str) -> Call[None]:
        """Set the network and make the device try it. Raises `DeviceRefused` where it is not permitted."""
        for command in (network.SetNetwork(ssid, passphrase), network.ApplyNetwork()):
            answer = yield from self._secured(stock.CONFIG, network.encode_command(command))
            _check_success(network.decode_done(answer, command), stock.CONFIG)

    def network_status(self) -> Call[NetworkStatus]:
        """How the device's last attempt went. Raises `DeviceRefused` where it is not permitted."""
        command = network.encode_command(network.AskNetworkStatus())
        status = network.decode_status((yield from self._secured(stock.CONFIG, command)))
        _check_success(status.status, stock.CONFIG)
        return status

    def control(self, command: control.ControlCommand) -> Call[None]:
        """Make the device ready for another network. Raises `DeviceRefused` where it is not permitted."""
        answer = yield from self._secured(stock.CONTROL, control.encode_command(command))
        _check_success(control.decode_done(answer, command), stock.CONTROL)

    def _session_exchange(self, command: Command0 | Command1) -> Call[bytes]:
        response = yield Request(stock.SESSION, session_messages.encode_command(command), self._cookie)
        _check_status(response)
        self._cookie = response.cookie or self._cookie
        return response.body

    def _secured(self, endpoint: str, plaintext: bytes) -> Call[bytes]:
        if self._state != "proven" or self._cipher is None:
            raise SessionLost("There is no session with the device. Open one first.")
        self._state = "lost"
        response = yield Request(endpoint, self._cipher.encrypt(plaintext), self._cookie)
        _check_status(response)
        answer = self._cipher.decrypt(response.body)
        self._state = "proven"
        return answer

    def _broken(self, text: str) -> Malformed:
        self._state = "lost"
        return Malformed(text)


def _check_status(response: Response) -> None:
    if response.status == 200:
        return
    if response.status == 401:
        raise SessionLost("The device knows no session of ours. Open another.")
    if response.status == 404:
        raise DeviceRefused("no_such_endpoint", "The device does not have this endpoint.")
    raise DeviceRefused("http", f"The device answered with status {response.status}.")


def _check_challenge(challenge: Response0) -> None:
    if challenge.status is Status.TOO_MANY_SESSIONS:
        raise Throttled(THROTTLE_MOST_S)
    if challenge.status is Status.INVALID_SECURITY_SCHEME:
        raise InsecureDevice("The device does not speak Security 2.")
    _check_success(challenge.status, stock.SESSION)


def _check_success(status: Status, endpoint: str) -> None:
    if status is Status.SUCCESS:
        return
    if status is Status.INVALID_SESSION:
        raise DeviceRefused(
            "not_permitted", f"The device has an owner, who did not permit {endpoint}. Ask the owner."
        )
    raise DeviceRefused(status.name.lower(), f"The device refused {endpoint} ({status.name.lower()}).")
