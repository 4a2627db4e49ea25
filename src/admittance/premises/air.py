"""The air of the simulated premises: Bluetooth controllers that hear each other, one for each process that connects.

A process speaks HCI (H4) over a unix socket, as it would to a dongle; bumble's controllers and link are the radio. A
process that ends is out of range at once.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Final

from bumble.controller import Controller
from bumble.core import BaseBumbleError
from bumble.hci import HCI_CONNECTION_TIMEOUT_ERROR
from bumble.link import LocalLink
from bumble.ll import TerminateInd
from bumble.transport.common import AsyncPacketReader

from admittance.premises.sockets import bind_private

MAX_WAITING_BYTES: Final = 1 << 20
"""What may wait for a process that does not read; one that lets more wait is out of range."""


class Air:
    """Serves controllers on a unix socket that only its owner can open."""

    def __init__(self) -> None:
        self._link = LocalLink()
        self._handlers: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._path: Path | None = None
        self._made = 0

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
        self._made += 1
        controller = Controller(f"air-{self._made}", host_sink=_Host(writer), link=self._link)
        try:
            packets = AsyncPacketReader(reader)
            while True:
                controller.on_packet(await packets.next_packet())
        except (asyncio.IncompleteReadError, ConnectionError, BaseBumbleError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._leave(controller)
            self._handlers.discard(task)

    def _leave(self, controller: Controller) -> None:
        controller.host = None
        controller.le_legacy_advertiser.stop()
        for advertising_set in controller.advertising_sets.values():
            advertising_set.stop()
        for connection in tuple(controller.le_connections.values()):
            with contextlib.suppress(BaseBumbleError):
                connection.send_ll_control_pdu(TerminateInd(HCI_CONNECTION_TIMEOUT_ERROR))
        self._link.remove_controller(controller)


class _Host:
    """The process at the other end, as bumble's controller sends to it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def on_packet(self, packet: bytes) -> None:
        transport = self._writer.transport
        if transport.get_write_buffer_size() > MAX_WAITING_BYTES:
            transport.abort()
        elif not transport.is_closing():
            self._writer.write(packet)
