"""What the device asks of its server: before it has a certificate, and with it."""

from collections.abc import Sequence
from typing import Final

import msgspec
from cryptography import x509

from admittance.device.clock import TrustedClock
from admittance.device.http import ClientCertificate, HttpsClient, Response
from admittance.device.radio.port import Radio
from admittance.device.state import ServerContact
from admittance.errors import Malformed, NetworkFailure, ServerRefused, Unavailable
from admittance.wire import message
from admittance.wire.enrolment import DeviceStatus, Enrolled, Nonce, NonceRequest

CBOR: Final = "application/cbor"
REQUEST_TIMEOUT_S: Final = 10.0


class _Problem(msgspec.Struct):
    code: str = "refused"


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
        _accepted(await self._client.get(f"{self._url}/enrolment/reachable"))

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

    async def report_reset(self, report: bytes) -> None:
        """Hand in a signed reset report. Raises `ServerRefused`, `NetworkFailure`, `Unavailable`."""
        await self._post("resets", report)

    async def _post(self, path: str, body: bytes) -> Response:
        return _accepted(await self._client.post(f"{self._url}/enrolment/{path}", body, CBOR))


def open_first_contact(radio: Radio, server: ServerContact, clock: TrustedClock) -> FirstContact:
    """The first-contact listener of `server`, under its anchors."""
    return FirstContact(https_client(radio, server.anchors, clock), server.first_contact_url, clock)


class DeviceContact:
    """The device listener at `url`, with the operational certificate."""

    def __init__(self, client: HttpsClient, url: str, clock: TrustedClock) -> None:
        self._client = client
        self._url = url.rstrip("/")
        self._clock = clock

    async def status(self) -> DeviceStatus:
        """What the server says of this device. Raises `ServerRefused`, `NetworkFailure`, `Unavailable`."""
        answer = _accepted(await self._client.get(f"{self._url}/device/status"))
        status = message.decode(answer.body, DeviceStatus)
        self._clock.set_server_time(status.server_time)
        return status


def _accepted(response: Response) -> Response:
    if response.status in (200, 201, 204):
        return response
    if response.status >= 500 or response.status == 429:
        raise Unavailable(f"The server cannot answer now (HTTP {response.status}).")
    try:
        reason = msgspec.json.decode(response.body, type=_Problem).code
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"The server refused with HTTP {response.status} and no problem document.") from error
    raise ServerRefused(reason, f"The server refused: {reason}.")
