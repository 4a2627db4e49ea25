"""What a node does by itself where nothing else is put in: it is the only one, and it has nothing to say."""

import asyncio
from collections.abc import Callable
from itertools import count

from admittance.errors import DeviceOffline
from admittance.server.relay.ports import DevicePort, LocalDevices, Need, Stream, StreamSink
from admittance.wire.relay import CloseReason


class LocalArrivals:
    """Counts the connections of one process."""

    def __init__(self) -> None:
        self._numbers = count(1)

    async def arrived(self, device_id: str) -> int:
        return next(self._numbers)

    def departed(self, device_id: str, arrival: int) -> None:
        """Nobody else needs to know."""


class LocalDirectory:
    """Knows the devices of one node."""

    def __init__(self, devices: LocalDevices) -> None:
        self._devices = devices

    async def find(self, device_id: str) -> DevicePort:
        port = self._devices.port(device_id)
        if port is None:
            raise DeviceOffline("The device is not connected.")
        return port


class NoSink:
    """Takes everything and does nothing."""

    def data(self, fragment: bytes, *, final: bool) -> None:
        """Nobody takes it."""

    def credit(self, frames: int) -> None:
        """Nobody sends."""

    def closed(self, reason: CloseReason) -> None:
        """Nobody holds it."""


class NoConversations:
    """Talks with no device, so none can prove itself without TLS."""

    def attach(
        self, device_id: str, epoch: int, stream: Stream, *, need: Need, settled: Callable[[bool], None]
    ) -> StreamSink:
        if need != "none":
            asyncio.get_running_loop().call_soon(settled, False)
        return NO_SINK

    def tell_ended(self, device_id: str, settled: Callable[[bool], None]) -> None:
        asyncio.get_running_loop().call_soon(settled, False)


NO_SINK = NoSink()
