"""Unix sockets that only their owner can open."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from admittance.errors import Conflict


class PrivateServer:
    """Serves whoever connects to such a socket, until closed.

    `serve` has one connection; `broken` are the errors by which it may end.
    """

    def __init__(
        self,
        serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
        broken: tuple[type[BaseException], ...],
    ) -> None:
        self._serve = serve
        self._broken: tuple[type[BaseException], ...] = (*broken, asyncio.CancelledError)
        self._handlers: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._path: Path | None = None

    async def start(self, path: Path) -> None:
        """Listen on `path` (mode 0600). A stale socket file is replaced; a live one raises `Conflict`."""
        self._server = await asyncio.start_unix_server(self._accept, sock=bind_private(path))
        self._path = path

    async def close(self) -> None:
        """End every connection and remove the socket file."""
        if self._server is None or self._path is None:
            return
        self._server.close()
        for handler in tuple(self._handlers):
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        await self._server.wait_closed()
        self._path.unlink(missing_ok=True)
        self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            await self._serve(reader, writer)
        except self._broken:
            writer.transport.abort()
        finally:
            self._handlers.discard(task)


def bind_private(path: Path) -> socket.socket:
    """A socket bound to `path`, mode 0600. A stale socket file is replaced; a live one raises `Conflict`."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        if path.is_socket():
            _refuse_live(path)
            path.unlink()
        listener.bind(str(path))
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(old)
    return listener


def _refuse_live(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, contextlib.suppress(ConnectionRefusedError):
        probe.connect(str(path))
        raise Conflict(f"{path}: another premises process listens there")
