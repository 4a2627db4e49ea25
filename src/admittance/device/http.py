"""HTTPS from the device to its server, over the network that its radio is on, under pinned anchors only.

The system's certificate store is never loaded. Only TLS 1.3 is spoken. Each request has a connection of its own:
a device asks rarely, and an idle connection would cost memory at both ends.

Clocks: OpenSSL compares validity times with the operating system's clock, and Python offers no way to hand it
another. A device whose clock is not set yet passes ``check_time=False``: signatures, names, purposes and the pinned
anchors are verified as ever, the validity times are not (`X509_V_FLAG_NO_CHECK_TIME`). The server's certificate may
then be an expired one; a device that keeps a trusted time of its own compares it in ``check_peer``.
"""

import asyncio
import os
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import h11

from admittance.device.radio.port import Radio
from admittance.errors import ConfigurationError, Malformed, Misuse, NetworkFailure

MAX_BODY_BYTES = 65536
MAX_HEAD_BYTES = 16384
READ_BYTES = 16384
CLOSE_TIMEOUT_S = 2.0

NO_CHECK_TIME = 0x200000
"""`X509_V_FLAG_NO_CHECK_TIME` of OpenSSL's x509_vfy.h, which Python's ssl has no name for."""
CERTIFICATE_NOT_YET_VALID = 9
"""`X509_V_ERR_CERT_NOT_YET_VALID` of the same file."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What the device proves itself with: certificates in DER, its own first, and the unencrypted key in PEM."""

    chain: tuple[bytes, ...]
    key_pem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """Status, headers with names in lower case (the last of several equal ones), and a body of at most 64 KiB."""

    status: int
    headers: dict[str, str]
    body: bytes


class HttpsClient:
    """Asks one server, whose certificate must lead to one of `anchors` (DER) and name the host of the URL.

    `timeout_s` bounds a whole request, from connecting to the last byte. `check_peer` gets the server's certificate
    (DER) once TLS accepted it, and refuses it by raising.
    """

    def __init__(
        self,
        radio: Radio,
        anchors: Sequence[bytes],
        *,
        client_certificate: ClientCertificate | None = None,
        check_time: bool = True,
        check_peer: Callable[[bytes], None] | None = None,
        timeout_s: float = 20.0,
    ) -> None:
        self._radio = radio
        self._check_peer = check_peer
        self._context = tls_context(anchors, client_certificate=client_certificate, check_time=check_time)
        self._timeout_s = timeout_s

    async def get(self, url: str) -> Response:
        """GET `url`. Raises what `request` raises."""
        return await self.request("GET", url)

    async def post(self, url: str, body: bytes, content_type: str) -> Response:
        """POST `body` to `url`. Raises what `request` raises."""
        return await self.request("POST", url, body, content_type)

    async def request(self, method: str, url: str, body: bytes = b"", content_type: str = "") -> Response:
        """Send one request; redirects are not followed.

        Raises `NetworkFailure` with the cause ``no_server`` (not reached, cut off, too slow), ``untrusted_server``
        (the certificate does not hold), ``clock`` (it is not valid *yet*) or ``server_refused`` (the server ended
        TLS with an alert, as it may when it does not accept the client's certificate; servers on Python's asyncio
        end the connection without one, which is ``no_server``), and `Malformed` for a response that is not HTTP or
        too large.
        """
        host, port, target = _parse(url)
        headers = [("Host", urlsplit(url).netloc), ("Connection", "close"), ("Accept", "*/*")]
        if method != "GET":
            headers += [("Content-Length", str(len(body))), ("Content-Type", content_type)]
        head = h11.Request(method=method, target=target, headers=headers)
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await self._radio.open_connection(host, port)
                try:
                    await writer.start_tls(self._context, server_hostname=host)
                    if self._check_peer is not None:
                        self._check_peer(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
                    response = await _exchange(reader, writer, head, body)
                except BaseException:
                    writer.transport.abort()
                    raise
                await _close(writer)
                return response
        except ssl.SSLError as error:
            raise failure_of(error, host) from error
        except TimeoutError as error:
            raise NetworkFailure("no_server", f"{host} did not answer in {self._timeout_s:g} s.") from error
        except OSError as error:
            raise NetworkFailure("no_server", f"The connection to {host} broke.") from error


def tls_context(
    anchors: Sequence[bytes], *, client_certificate: ClientCertificate | None = None, check_time: bool = True
) -> ssl.SSLContext:
    """A client's context that trusts `anchors` (DER) and nothing else. Raises `ConfigurationError`.

    The private key goes to OpenSSL through an anonymous file in memory: it touches no disk.
    """
    if not anchors:
        raise Misuse("TLS needs at least one trust anchor")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if not check_time:
        context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    try:
        context.load_verify_locations(cadata=b"".join(anchors))
        if client_certificate is not None:
            _load(context, client_certificate)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError("A trust anchor, certificate or key for TLS cannot be read.") from error
    return context


def failure_of(error: ssl.SSLError, host: str) -> NetworkFailure:
    """The network failure that an error of TLS stands for."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == CERTIFICATE_NOT_YET_VALID:
            return NetworkFailure("clock", f"The certificate of {host} is not valid yet. Is the clock right?")
        return NetworkFailure("untrusted_server", f"{host} is not the trusted server: {error.verify_message}.")
    if "ALERT" in (error.reason or ""):
        return NetworkFailure("server_refused", f"{host} ended TLS: {error.reason}.")
    return NetworkFailure("no_server", f"{host} does not speak TLS as it should.")


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: h11.Request, body: bytes
) -> Response:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    for part in (head, h11.Data(data=body), h11.EndOfMessage()):
        writer.write(connection.send(part) or b"")
    await writer.drain()
    try:
        answer = await _next_event(connection, reader)
        while isinstance(answer, h11.InformationalResponse):
            answer = await _next_event(connection, reader)
        if not isinstance(answer, h11.Response):
            raise Malformed("no HTTP response")
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in answer.headers}
        _require_length(answer.status_code, headers)
        received = bytearray()
        while isinstance(event := await _next_event(connection, reader), h11.Data):
            received += event.data
            if len(received) > MAX_BODY_BYTES:
                raise Malformed(f"a response of more than {MAX_BODY_BYTES} bytes")
    except h11.RemoteProtocolError as error:
        raise Malformed("a response that is not HTTP") from error
    return Response(answer.status_code, headers, bytes(received))


async def _next_event(connection: h11.Connection, reader: asyncio.StreamReader) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        data = await reader.read(READ_BYTES)
        if not data:
            raise ConnectionResetError("cut off")
        connection.receive_data(data)
    return event


def _require_length(status: int, headers: dict[str, str]) -> None:
    """Refuse a body that only the end of the connection would end: anybody on the way can end a connection."""
    if status not in (204, 304) and "content-length" not in headers and "transfer-encoding" not in headers:
        raise Malformed("a response that does not tell its length")


def _parse(url: str) -> tuple[str, int, str]:
    try:
        parts = urlsplit(url)
        port = parts.port or 443
    except ValueError as error:
        raise Malformed("not a URL") from error
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
        raise Malformed("the URL of a server begins with https:// and a host")
    return parts.hostname, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _load(context: ssl.SSLContext, client_certificate: ClientCertificate) -> None:
    chain = "".join(ssl.DER_cert_to_PEM_cert(certificate) for certificate in client_certificate.chain)
    with os.fdopen(os.memfd_create("tls", os.MFD_CLOEXEC), "wb", buffering=0) as memory:
        memory.write(client_certificate.key_pem.rstrip() + b"\n" + chain.encode("ascii"))
        context.load_cert_chain(f"/proc/self/fd/{memory.fileno()}", password="")


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()
