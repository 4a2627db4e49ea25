"""The HTTP side of the device's access point: ``POST /<endpoint>`` for the provisioning machine.

One `AccessPointServer` serves every stream that reaches 192.168.4.1:80, whether a radio or a plain
``asyncio.start_server`` brings it. Stock clients keep one connection and the cookie ``session=<uint32>``.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol, TypeAlias

import h11

MAX_BODY_BYTES = 4096
MAX_HEAD_BYTES = 8192
MAX_CONNECTIONS = 8
READ_BYTES = 4096
MAX_LINGER_BYTES = 65536

ENDPOINT = re.compile(r"/([a-z0-9][a-z0-9-]{0,31})")
COOKIE = re.compile(r"[0-9]{1,10}")
GREETING = b"This device waits to be set up. Use the app of its owner's server.\n"


class Reply(Protocol):
    """What the machine answers: HTTP status, body, and the session number for a ``Set-Cookie``, if any."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...
    @property
    def cookie(self) -> str | None: ...


Receive: TypeAlias = Callable[[str, str | None, bytes], Reply | Awaitable[Reply]]
"""``receive(endpoint, session number of the cookie or None, body of 1 to 4096 bytes)``, answered now or later."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that a client has for a whole head, for a whole body, to take a response, between requests, and to
    stop sending once it was refused.
    """

    head_s: float = 5.0
    body_s: float = 10.0
    send_s: float = 10.0
    idle_s: float = 120.0
    linger_s: float = 1.0


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    target: str
    cookie: str | None


class _RequestRefused(Exception):
    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class AccessPointServer:
    """Serves HTTP/1.1 on any pair of streams.

    At most `MAX_CONNECTIONS` are open: a further one takes the place of the one whose client has kept us waiting
    longest, for a request or the rest of one, or is answered 503 where all are being answered. So nobody keeps others
    out by requests that he does not finish. A client that misses a deadline is cut off.
    """

    def __init__(self, receive: Receive, deadlines: Deadlines | None = None) -> None:
        self._receive = receive
        self._deadlines = deadlines or Deadlines()
        self._open: set[asyncio.StreamWriter] = set()
        self._waiting: dict[asyncio.StreamWriter, None] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        try:
            if not self._admit(writer):
                await self._refuse(connection, reader, writer, HTTPStatus.SERVICE_UNAVAILABLE)
                return
            while await self._serve_request(connection, reader, writer):
                connection.start_next_cycle()
        except (ConnectionError, TimeoutError):
            writer.transport.abort()
        finally:
            self._open.discard(writer)
            self._waiting.pop(writer, None)
            writer.close()

    def _admit(self, writer: asyncio.StreamWriter) -> bool:
        if len(self._open) >= MAX_CONNECTIONS:
            slowest = next(iter(self._waiting), None)
            if slowest is None:
                return False
            del self._waiting[slowest]
            self._open.discard(slowest)
            slowest.transport.abort()
        self._open.add(writer)
        return True

    def _wait_for_client(self, writer: asyncio.StreamWriter) -> None:
        self._waiting.pop(writer, None)
        self._waiting[writer] = None

    async def _serve_request(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Serve one request; True if the connection can carry another."""
        try:
            request = await self._read_head(connection, reader, writer)
            if request is None:
                return False
            body = await self._read_body(connection, reader, writer)
            self._waiting.pop(writer, None)
            status, payload, cookie = await self._answer(request, body)
        except _RequestRefused as refusal:
            await self._refuse(connection, reader, writer, refusal.status)
            return False
        except h11.RemoteProtocolError as error:
            await self._refuse(connection, reader, writer, HTTPStatus(error.error_status_hint))
            return False
        await self._respond(connection, writer, status, payload, cookie)
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    async def _answer(self, request: _Request, body: bytes) -> tuple[int, bytes, str | None]:
        if request.method == "GET":
            if request.target != "/":
                raise _RequestRefused(HTTPStatus.NOT_FOUND)
            return HTTPStatus.OK, GREETING, None
        endpoint = ENDPOINT.fullmatch(request.target)
        if endpoint is None:
            raise _RequestRefused(HTTPStatus.NOT_FOUND)
        if not body:
            raise _RequestRefused(HTTPStatus.BAD_REQUEST)
        reply = self._receive(endpoint[1], request.cookie, body)
        if isinstance(reply, Awaitable):
            reply = await reply
        return reply.status, reply.body, reply.cookie

    async def _read_head(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> _Request | None:
        if not connection.trailing_data[0]:
            self._wait_for_client(writer)
            async with asyncio.timeout(self._deadlines.idle_s):
                connection.receive_data(await reader.read(READ_BYTES))
        self._wait_for_client(writer)
        async with asyncio.timeout(self._deadlines.head_s):
            event = await _next_event(connection, reader)
        if not isinstance(event, h11.Request):
            return None
        if event.method not in (b"GET", b"POST"):
            raise _RequestRefused(HTTPStatus.METHOD_NOT_ALLOWED)
        headers = {name: value.decode("latin-1") for name, value in event.headers}
        if int(headers.get(b"content-length", "0")) > MAX_BODY_BYTES:
            raise _RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return _Request(
            event.method.decode("ascii"),
            event.target.decode("latin-1"),
            _session(headers.get(b"cookie", "")),
        )

    async def _read_body(
        self,
        connection: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bytes:
        if connection.they_are_waiting_for_100_continue:
            writer.write(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        body = bytearray()
        async with asyncio.timeout(self._deadlines.body_s):
            while isinstance(event := await _next_event(connection, reader), h11.Data):
                body += event.data
                if len(body) > MAX_BODY_BYTES:
                    raise _RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return bytes(body)

    async def _refuse(
        self,
        connection: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        status: HTTPStatus,
    ) -> None:
        """Answer with `status` and end the connection; what the client still sends is read, so that it can see it."""
        if connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        await self._respond(connection, writer, status, f"{status.phrase}\n".encode(), None, last=True)
        writer.write_eof()
        async with asyncio.timeout(self._deadlines.linger_s):
            for _ in range(MAX_LINGER_BYTES // READ_BYTES):
                if not await reader.read(READ_BYTES):
                    return

    async def _respond(
        self,
        connection: h11.Connection,
        writer: asyncio.StreamWriter,
        status: int,
        body: bytes,
        cookie: str | None,
        last: bool = False,
    ) -> None:
        headers = [
            ("Content-Type", "application/octet-stream" if status == HTTPStatus.OK else "text/plain"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        if cookie is not None:
            headers.append(("Set-Cookie", f"session={cookie}"))
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append(("Allow", "GET, POST"))
        if last:
            headers.append(("Connection", "close"))
        for event in (
            h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase.encode()),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            writer.write(connection.send(event) or b"")
        async with asyncio.timeout(self._deadlines.send_s):
            await writer.drain()


async def _next_event(connection: h11.Connection, reader: asyncio.StreamReader) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(READ_BYTES))
    return event


def _session(header: str) -> str | None:
    """The session number of a ``Cookie`` header (RFC 6265, section 4.2.1), if it holds a well-formed one."""
    for pair in header.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == "session" and COOKIE.fullmatch(value):
            return value
    return None
