"""HTTPS from the device to its server, over the network that its radio is on, under pinned anchors only.

The system's certificate store is never loaded. Only TLS 1.3 is spoken. A request has a connection of its own unless
it is one of several that belong together: a device asks rarely, and an idle connection costs memory at both ends.

Clocks: OpenSSL compares validity times with the operating system's clock, and Python offers no way to hand it
another. A device whose clock is not set yet passes ``check_time=False``: signatures, names, purposes and the pinned
anchors are verified as ever, the validity times are not (`X509_V_FLAG_NO_CHECK_TIME`). The server's certificate may
then be an expired one; a device that keeps a trusted time of its own compares it in ``check_peer``.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
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
    (DER) once TLS accepted it, and refuses it by raising. Without `authenticate` any server is believed.
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
        authenticate: bool = True,
    ) -> None:
        self._radio = radio
        self._check_peer = check_peer
        self._context = (
            tls_context(anchors, client_certificate=client_certificate, check_time=check_time)
            if authenticate
            else unauthenticated_context()
        )
        self._timeout_s = timeout_s

    async def get(self, url: str) -> Response:
        """GET `url`. Raises what `request` raises."""
        return await self.request("GET", url)

    async def post(self, url: str, body: bytes, content_type: str) -> Response:
        """POST `body` to `url`. Raises what `request` raises."""
        return await self.request("POST", url, body, content_type)

    async def request(self, method: str, url: str, body: bytes = b"", content_type: str = "") -> Response:
        """Send one request on a connection of its own; redirects are not followed.

        Raises `NetworkFailure` with the cause ``no_server`` (not reached, cut off, too slow), ``untrusted_server``
        (the certificate does not hold), ``clock`` (it is not valid *yet*) or ``server_refused`` (the server ended
        TLS with an alert, as it may when it does not accept the client's certificate; servers on Python's asyncio
        end the connection without one, which is ``no_server``), and `Malformed` for a response that is not HTTP or
        too large.
        """
        host, _, target = _parse(url)
        with failures(host, self._timeout_s):
            async with asyncio.timeout(self._timeout_s), self.connection(url) as connection:
                return await connection.request(method, target, body, content_type, last=True)

    @asynccontextmanager
    async def connection(self, url: str) -> AsyncIterator["HttpsConnection"]:
        """A connection for several requests to the server of `url`; `timeout_s` bounds its opening and each request.

        Opening and requests raise what `request` raises.
        """
        host, port, _ = _parse(url)
        with failures(host, self._timeout_s):
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await open_tls(self._radio, host, port, self._context, self._check_peer)
        try:
            yield HttpsConnection(reader, writer, urlsplit(url).netloc, self._timeout_s)
        except BaseException:
            writer.transport.abort()
            raise
        await _close(writer)


class HttpsConnection:
    """One TLS connection that is kept open between requests, one at a time."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, timeout_s: float
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host
        self._timeout_s = timeout_s
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)

    @property
    def peer_certificate(self) -> bytes:
        """The server's certificate (DER)."""
        return peer_certificate(self._writer)

    async def get(self, target: str) -> Response:
        """GET `target`, a path with its query. Raises what `HttpsClient.request` raises."""
        return await self.request("GET", target)

    async def post(self, target: str, body: bytes, content_type: str) -> Response:
        """POST `body` to `target`. Raises what `HttpsClient.request` raises."""
        return await self.request("POST", target, body, content_type)

    async def request(
        self, method: str, target: str, body: bytes = b"", content_type: str = "", *, last: bool = False
    ) -> Response:
        """Send one request; the server may end the connection after the `last` one."""
        headers = [("Host", self._host), ("Accept", "*/*")]
        if last:
            headers.append(("Connection", "close"))
        if method != "GET":
            headers += [("Content-Length", str(len(body))), ("Content-Type", content_type)]
        head = h11.Request(method=method, target=target, headers=headers)
        with failures(self._host, self._timeout_s):
            async with asyncio.timeout(self._timeout_s):
                self._next_cycle()
                return await _exchange(self._http, self._reader, self._writer, head, body)

    def _next_cycle(self) -> None:
        if self._http.our_state is h11.IDLE:
            return
        try:
            self._http.start_next_cycle()
        except h11.LocalProtocolError as error:
            raise ConnectionResetError("the server keeps no connection open") from error


async def open_tls(
    radio: Radio, host: str, port: int, context: ssl.SSLContext, check_peer: Callable[[bytes], None] | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to `host` and secure the connection; `check_peer` as `HttpsClient` has it.

    Raises `Unreachable`, what `check_peer` raises, and what `failures` makes a `NetworkFailure` of.
    """
    reader, writer = await radio.open_connection(host, port)
    try:
        await writer.start_tls(context, server_hostname=host)
        if check_peer is not None:
            check_peer(peer_certificate(writer))
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


def peer_certificate(writer: asyncio.StreamWriter) -> bytes:
    """The server's certificate (DER) of a connection that TLS secures."""
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    if not isinstance(certificate, bytes):
        raise ConnectionResetError("no TLS")
    return certificate


@contextmanager
def failures(host: str, timeout_s: float) -> Iterator[None]:
    """Raise what can happen on the way as `NetworkFailure`."""
    try:
        yield
    except ssl.SSLError as error:
        raise failure_of(error, host) from error
    except TimeoutError as error:
        raise NetworkFailure("no_server", f"{host} did not answer in {timeout_s:g} s.") from error
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


def unauthenticated_context() -> ssl.SSLContext:
    """A client's context that believes any server: only for answers that carry a signature of their own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
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
    connection: h11.Connection,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    head: h11.Request,
    body: bytes,
) -> Response:
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
