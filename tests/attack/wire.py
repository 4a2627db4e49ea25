"""The air between a phone and a device's access point, in an attacker's hands.

`Wire` is a socket before the one of the premises: whoever attaches through it is heard, and, with `meddle`, every
request that it sends to the access point goes through the attacker's hands.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h11

from admittance.client.network import ACCESS_POINT
from admittance.errors import AdmittanceError
from admittance.premises import protocol
from admittance.protocol.provisioning.client import Request, Response

Forward = Callable[[Request], Awaitable[Response]]
Meddle = Callable[[Request, Forward], Awaitable[Response]]

READ_BYTES = 65536


@dataclass
class Exchange:
    """One request and its answer, as they went over the air."""

    request: Request
    response: Response


@dataclass
class Wire:
    """`streams` holds every byte of each stream to the access point, there and back; `exchanges` what passed
    through `meddle`."""

    premises: Path
    meddle: Meddle | None = None
    streams: list[tuple[bytearray, bytearray]] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    _handlers: set[asyncio.Task[None]] = field(default_factory=set)

    def overheard(self) -> list[Exchange]:
        """Requests and answers in what was recorded, stream by stream."""
        return [
            Exchange(
                Request(head.split()[1].decode().removeprefix("/"), body, _cookie(head, b"cookie")),
                Response(int(answer.split()[1]), content, _cookie(answer, b"set-cookie")),
            )
            for there, back in self.streams
            for (head, body), (answer, content) in zip(_split(bytes(there)), _split(bytes(back)), strict=False)
        ]

    @contextlib.asynccontextmanager
    async def tapped(self, path: Path) -> AsyncIterator["Wire"]:
        """Listen on `path`."""
        server = await asyncio.start_unix_server(self._accept, path)
        try:
            yield self
        finally:
            server.close()
            for handler in tuple(self._handlers):
                handler.cancel()
            await asyncio.gather(*self._handlers, return_exceptions=True)
            await server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        far_reader, far_writer = await asyncio.open_unix_connection(self.premises)
        try:
            await self._carry(reader, writer, far_reader, far_writer)
        except (ConnectionError, AdmittanceError, h11.RemoteProtocolError, asyncio.CancelledError):
            return
        finally:
            self._handlers.discard(task)
            for end in (writer, far_writer):
                end.transport.abort()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        first = await protocol.read_frame(reader)
        if first is None:
            return
        far_writer.write(len(first).to_bytes(4, "big") + first)
        opening = protocol.decode_opening(first)
        at_device = isinstance(opening, protocol.OpenStream) and (opening.host, opening.port) == ACCESS_POINT
        if not at_device:
            await _both(_pump(reader, far_writer, None), _pump(far_reader, writer, None))
            return
        answer = await protocol.read_frame(far_reader) or b""
        writer.write(len(answer).to_bytes(4, "big") + answer)
        if self.meddle is None:
            there, back = bytearray(), bytearray()
            self.streams.append((there, back))
            await _both(_pump(reader, far_writer, there), _pump(far_reader, writer, back))
        else:
            await self._stand_between(self.meddle, reader, writer, far_reader, far_writer)

    async def _stand_between(
        self,
        meddle: Meddle,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        near, far = h11.Connection(h11.SERVER), h11.Connection(h11.CLIENT)

        async def forward(request: Request) -> Response:
            headers = [("host", ACCESS_POINT[0]), ("content-length", str(len(request.body)))]
            if request.cookie is not None:
                headers.append(("cookie", f"session={request.cookie}"))
            head = h11.Request(method="POST", target=f"/{request.endpoint}", headers=headers)
            for event in (head, h11.Data(data=request.body), h11.EndOfMessage()):
                far_writer.write(far.send(event) or b"")
            answered, body = await _message(far, far_reader)
            assert isinstance(answered, h11.Response)
            far.start_next_cycle()
            cookie = _header(answered, b"set-cookie").removeprefix("session=") or None
            return Response(answered.status_code, body, cookie)

        while True:
            asked, body = await _message(near, reader)
            if not isinstance(asked, h11.Request):
                return
            cookie = _header(asked, b"cookie").removeprefix("session=") or None
            request = Request(asked.target.decode().removeprefix("/"), body, cookie)
            response = await meddle(request, forward)
            self.exchanges.append(Exchange(request, response))
            headers = [("content-length", str(len(response.body)))]
            if response.cookie is not None:
                headers.append(("set-cookie", f"session={response.cookie}"))
            head = h11.Response(status_code=response.status, headers=headers)
            for event in (head, h11.Data(data=response.body), h11.EndOfMessage()):
                writer.write(near.send(event) or b"")
            near.start_next_cycle()


async def _message(
    connection: h11.Connection, reader: asyncio.StreamReader
) -> tuple[h11.Request | h11.Response | None, bytes]:
    """The next whole message of the peer; None at the end of the connection."""
    head: h11.Request | h11.Response | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(READ_BYTES))
        elif isinstance(event, h11.Request | h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return head, body
        elif isinstance(event, h11.ConnectionClosed):
            return None, b""


def _split(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Head and body of each message in one direction of a stream."""
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        found = re.search(rb"(?i)content-length: *([0-9]+)", head)
        size = int(found[1]) if found else 0
        yield head, rest[:size]
        data = rest[size:]


def _cookie(head: bytes, name: bytes) -> str | None:
    found = re.search(rb"(?im)^" + name + rb": *session=([0-9]+)", head)
    return found[1].decode() if found else None


def _header(message: h11.Request | h11.Response, name: bytes) -> str:
    return next((value.decode() for header, value in message.headers if header == name), "")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: bytearray | None) -> None:
    while data := await reader.read(READ_BYTES):
        if heard is not None:
            heard += data
        writer.write(data)
        await writer.drain()


async def _both(*ways: Awaitable[None]) -> None:
    """Run until one way ends."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
