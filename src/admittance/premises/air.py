"""The air of the simulated premises: Bluetooth controllers that hear each other, one for each process that connects.

A process speaks HCI (H4) over a unix socket, as it would to a dongle; bumble's controllers and link are the radio. A
process that ends is out of range at once.
"""

import asyncio
import contextlib
from typing import Final

from bumble.controller import Controller
from bumble.core import BaseBumbleError
from bumble.hci import HCI_CONNECTION_TIMEOUT_ERROR
from bumble.link import LocalLink
from bumble.ll import TerminateInd
from bumble.transport.common import AsyncPacketReader

from admittance.premises.sockets import PrivateServer

MAX_WAITING_BYTES: Final = 1 << 20
"""What may wait for a process that does not read; one that lets more wait is out of range."""


class Air:
    """Serves controllers on a unix socket that only its owner can open."""

    def __init__(self) -> None:
        self._link = LocalLink()
        self._made = 0
        self._connections = PrivateServer(
            self._serve, (asyncio.IncompleteReadError, ConnectionError, BaseBumbleError)
        )
        self.start = self._connections.start
        self.close = self._connections.close

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._made += 1
        controller = Controller(f"air-{self._made}", host_sink=_Host(writer), link=self._link)
        try:
            packets = AsyncPacketReader(reader)
            while True:
                controller.on_packet(await packets.next_packet())
        finally:
            self._leave(controller)

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
