"""An app's own address on the loopback interface, to which the browser is sent back (RFC 8252, section 7.3)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit


@dataclass
class Callback:
    """`answers` are the parameters of each visit."""

    url: str
    page: str
    answers: list[dict[str, str]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:  # Browsers open connections that they may need, and then do not.
            writer.close()
            return
        target = urlsplit(head.split(b" ", 2)[1].decode())
        if target.path == urlsplit(self.url).path:
            self.answers.append({name: values[0] for name, values in parse_qs(target.query).items()})
        content = self.page.encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(content), content)
        )
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def callback(page: str = "<h1>Back in the app</h1>") -> AsyncIterator[Callback]:
    """Listens on a free port, and shows `page` to whoever comes."""
    made = Callback("", page)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/callback"
    async with server:
        yield made
