"""Where a browser brings an authorization server's answer: HTTP on a free loopback port, for one login."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qsl, urlsplit

import h11

HOST = "127.0.0.1"
PATH = "/callback"
MAX_HEAD_BYTES = 8192
HEAD_S = 10.0
_READ_BYTES = 4096
_HEADERS = (
    ("content-type", "text/html; charset=utf-8"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("connection", "close"),
)
_PAGE = "<!doctype html><title>Admittance</title><h1>{title}</h1><p>{text}</p>"
_DONE = _PAGE.format(title="Back to the program", text="It has the server's answer. You can close this page.")
_NOTHING = _PAGE.format(
    title="Nothing here", text="A program waits here for the answer to a login, and for nothing else."
)


class CallbackListener:
    """`uri` is the redirect URI; `answer` becomes the parameters of the first visit that `accepts` takes.

    Other visits change nothing: any program or page on this machine can come.
    """

    def __init__(self, accepts: Callable[[dict[str, str]], bool]) -> None:
        self.uri = ""
        self.answer: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self._accepts = accepts

    @classmethod
    @asynccontextmanager
    async def open(cls, accepts: Callable[[dict[str, str]], bool]) -> AsyncIterator["CallbackListener"]:
        """Listen until the block ends."""
        listener = cls(accepts)
        server = await asyncio.start_server(listener._serve, HOST, 0, limit=MAX_HEAD_BYTES)
        listener.uri = f"http://{HOST}:{server.sockets[0].getsockname()[1]}{PATH}"
        async with server:
            yield listener

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        try:
            async with asyncio.timeout(HEAD_S):
                request = await _request(connection, reader)
            status, page = self._visit(request)
            content = page.encode()
            headers = [*_HEADERS, ("content-length", str(len(content)))]
            for event in (h11.Response(status_code=status, headers=headers), h11.Data(content), h11.EndOfMessage()):
                writer.write(connection.send(event) or b"")
            await writer.drain()
        except (h11.ProtocolError, TimeoutError, OSError):
            return
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _visit(self, request: h11.Request) -> tuple[int, str]:
        target = urlsplit(request.target.decode("ascii", "replace"))
        if request.method != b"GET" or target.path != PATH:
            return 404, _NOTHING
        pairs = parse_qsl(target.query, keep_blank_values=True)
        given = dict(pairs)
        if len(given) != len(pairs) or self.answer.done() or not self._accepts(given):
            return 400, _NOTHING
        self.answer.set_result(given)
        return 200, _DONE


async def _request(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request:
    """The head of a request. Raises `h11.ProtocolError`."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            raise h11.RemoteProtocolError("no request")
        connection.receive_data(await reader.read(_READ_BYTES))
