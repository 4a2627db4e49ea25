"""What the device asks of its server: before it has a certificate, and as the device that the server knows.

As that, a device without TPM proves itself by its client certificate, and one with a TPM by a TPM session.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, Protocol

import msgspec
from cryptography import x509

from admittance.device.clock import TrustedClock
from admittance.device.http import ClientCertificate, HttpsClient, HttpsConnection, Response
from admittance.device.radio.port import Radio
from admittance.device.state import ServerContact
from admittance.errors import Malformed, NetworkFailure, ServerRefused, Unavailable
from admittance.wire import message
from admittance.wire.enrolment import DeviceStatus, Enrolled, Nonce, NonceRequest
from admittance.wire.factors import BootstrapRequest, LoginStarted, MadeCode
from admittance.wire.tpm_enrolment import (
    ConnectionNonce,
    CredentialChallenge,
    CredentialRequest,
    SessionChallengeRequest,
    SessionProof,
)

CBOR: Final = "application/cbor"
REQUEST_TIMEOUT_S: Final = 10.0


class _Problem(msgspec.Struct):
    code: str = "refused"
    factors: tuple[str, ...] = ()


def https_client(
    radio: Radio,
    anchors: Sequence[bytes],
    clock: TrustedClock,
    certificate: ClientCertificate | None = None,
) -> HttpsClient:
    """A client under pinned anchors whose times are checked by the trusted clock, not by the wall clock."""
    return HttpsClient(
        radio,
        anchors,
        client_certificate=certificate,
        check_time=False,
        check_peer=lambda peer: check_validity(peer, clock),
        timeout_s=REQUEST_TIMEOUT_S,
    )


def check_validity(certificate: bytes, clock: TrustedClock) -> None:
    """Check the validity times of the server's certificate (DER).

    While the clock is only a lower bound, a certificate may begin in what looks like the future. Raises
    `NetworkFailure` with the cause ``untrusted_server`` when it has expired, ``clock`` when it isn't valid yet.
    """
    try:
        parsed = x509.load_der_x509_certificate(certificate)
    except ValueError as error:
        raise NetworkFailure("untrusted_server", "The server's certificate does not decode.") from error
    now = clock.now()
    if now > parsed.not_valid_after_utc.timestamp():
        raise NetworkFailure("untrusted_server", "The server's certificate has expired.")
    if clock.trusted and now < parsed.not_valid_before_utc.timestamp():
        raise NetworkFailure("clock", "The server's certificate is not valid yet.")


class FirstContact:
    """The first-contact listener at `url`; its time sets the clock."""

    def __init__(self, client: HttpsClient, url: str, clock: TrustedClock) -> None:
        self._client = client
        self._url = url.rstrip("/")
        self._clock = clock

    async def reach(self) -> None:
        """Reach the server. Raises `NetworkFailure` with the cause, or `Unavailable`."""
        accepted(await self._client.get(f"{self._url}/enrolment/reachable"))

    async def nonce(self, device_id: str) -> bytes:
        """A nonce for one signed request, 32 bytes."""
        answer = await self._post("nonce", message.encode(NonceRequest(device_id)))
        nonce = message.decode(answer.body, Nonce)
        self._clock.set_server_time(nonce.server_time)
        return nonce.nonce

    async def enrol(self, request: bytes) -> Enrolled:
        """Hand in a signed request for a certificate. Raises `ServerRefused`, `NetworkFailure`, `Unavailable`."""
        answer = await self._post("requests", request)
        enrolled = message.decode(answer.body, Enrolled, max_bytes=len(answer.body))
        self._clock.set_server_time(enrolled.server_time)
        return enrolled

    async def credential(self, request: CredentialRequest) -> CredentialChallenge:
        """Ask for a challenge to this device's TPM. Raises `ServerRefused`, `NetworkFailure`, `Unavailable`."""
        answer = await self._post("tpm/credential", message.encode(request))
        return message.decode(answer.body, CredentialChallenge)

    async def log_in(self, login: bytes) -> LoginStarted:
        """Hand in a signed login. Raises `ServerRefused`, `NetworkFailure`, `Unavailable`."""
        return message.decode((await self._post("login", login)).body, LoginStarted)

    async def report_reset(self, report: bytes) -> None:
        """Hand in a signed reset report. Raises `ServerRefused`, `NetworkFailure`, `Unavailable`."""
        await self._post("resets", report)

    async def _post(self, path: str, body: bytes) -> Response:
        return accepted(await self._client.post(f"{self._url}/enrolment/{path}", body, CBOR))


def open_first_contact(radio: Radio, server: ServerContact, clock: TrustedClock) -> FirstContact:
    """The first-contact listener of `server`, under its anchors."""
    return FirstContact(https_client(radio, server.anchors, clock), server.first_contact_url, clock)


async def ask_bootstrap(radio: Radio, origin: str, device_nonce: bytes) -> bytes:
    """Ask a server that is known by its origin alone where its listeners are.

    Nothing secret goes out, and the answer's signature is for the caller to check: no certificate is believed here.
    Raises `ServerRefused`, `NetworkFailure`, `Unavailable`.
    """
    client = HttpsClient(radio, (), authenticate=False, timeout_s=REQUEST_TIMEOUT_S)
    asked = message.encode(BootstrapRequest(device_nonce))
    return accepted(await client.post(f"{origin}/enrolment/bootstrap", asked, CBOR)).body


class DeviceListener(Protocol):
    """The server's device API, to a device that proved itself."""

    async def ask(self, method: str, path: str, body: bytes = b"") -> Response:
        """Send one request. Raises `ServerRefused`, `NetworkFailure`, `Unavailable`, `Malformed`; with a TPM also
        `TpmRefused`."""


class CertifiedListener:
    """The device listener at `url`; `client` proves the device by the operational certificate."""

    def __init__(self, client: HttpsClient, url: str) -> None:
        self._client = client
        self._url = url.rstrip("/")

    async def ask(self, method: str, path: str, body: bytes = b"") -> Response:
        return accepted(await self._client.request(method, self._url + path, body, CBOR))


class TpmSessionListener:
    """The device API on the first-contact listener at `url`, each request in a TPM session of its own: the TPM gives
    the secret of a challenge, and the operational key signs it for this connection to this server."""

    def __init__(self, client: HttpsClient, url: str, prover: "SessionProver") -> None:
        self._client = client
        self._url = url.rstrip("/")
        self._prover = prover

    async def ask(self, method: str, path: str, body: bytes = b"") -> Response:
        async with self._client.connection(self._url) as connection:
            await self._authenticate(connection)
            return accepted(await connection.request(method, path, body, CBOR, last=True))

    async def _authenticate(self, connection: HttpsConnection) -> None:
        answer = accepted(await connection.get("/tpm-session/nonce"))
        nonce = message.decode(answer.body, ConnectionNonce).nonce
        request = SessionChallengeRequest(self._prover.device_id)
        answer = accepted(await connection.post("/tpm-session/challenge", message.encode(request), CBOR))
        challenge = message.decode(answer.body, CredentialChallenge)
        server = sha256(connection.peer_certificate).digest()
        signature = await self._prover.prove(challenge, connection_nonce=nonce, server_certificate_sha256=server)
        proof = SessionProof(self._prover.device_id, challenge.challenge_id, signature)
        accepted(await connection.post("/tpm-session", message.encode(proof), CBOR))


class SessionProver(Protocol):
    """The TPM, as a session needs it."""

    @property
    def device_id(self) -> str: ...

    async def prove(
        self, challenge: CredentialChallenge, *, connection_nonce: bytes, server_certificate_sha256: bytes
    ) -> bytes:
        """The signature that answers a challenge on this connection. Raises `TpmRefused`, `TpmUnavailable`."""


class DeviceContact:
    """What an enrolled device asks."""

    def __init__(self, listener: DeviceListener, clock: TrustedClock) -> None:
        self._listener = listener
        self._clock = clock

    async def status(self) -> DeviceStatus:
        """What the server says of this device. Raises what `DeviceListener.ask` raises."""
        answer = await self._listener.ask("GET", "/device/status")
        status = message.decode(answer.body, DeviceStatus)
        self._clock.set_server_time(status.server_time)
        return status

    async def enrolment_code(self) -> MadeCode:
        """A code that lets one more device enrol for this device's owner. Raises what `DeviceListener.ask` raises."""
        answer = await self._listener.ask("POST", "/device/enrolment-codes")
        return message.decode(answer.body, MadeCode)


def accepted(response: Response) -> Response:
    """`response` if the server agreed. Raises `Unavailable`, `ServerRefused` or `Malformed`."""
    if response.status in (200, 201, 204):
        return response
    if response.status >= 500 or response.status == 429:
        raise Unavailable(f"The server cannot answer now (HTTP {response.status}).")
    try:
        problem = msgspec.json.decode(response.body, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"The server refused with HTTP {response.status} and no problem document.") from error
    raise ServerRefused(problem.code, f"The server refused: {problem.code}.", problem.factors)
