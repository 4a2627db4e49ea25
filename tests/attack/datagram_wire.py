"""The local network between a guest and a device, in an attacker's hands: it keeps what passes, and says it again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

Address = tuple[str, int]


class DatagramWire(asyncio.DatagramProtocol):
    """Passes datagrams on between whoever sends to it and the device; to the device all come from one address."""

    def __init__(self, to: Callable[[], Address]) -> None:
        self._to = to
        self._guest: Any = None
        self._near: asyncio.DatagramTransport | None = None
        self._far: asyncio.DatagramTransport | None = None
        self.recorded: list[bytes] = []
        self.answers: list[bytes] = []

    @classmethod
    @asynccontextmanager
    async def to_device(cls, to: Callable[[], Address]) -> AsyncIterator["DatagramWire"]:
        """`to` tells where the device is now."""
        loop, wire = asyncio.get_running_loop(), cls(to)
        wire._near, _ = await loop.create_datagram_endpoint(lambda: wire, ("127.0.0.1", 0))
        wire._far, _ = await loop.create_datagram_endpoint(lambda: _Far(wire), ("127.0.0.1", 0))
        try:
            yield wire
        finally:
            wire._near.close()
            wire._far.close()

    @property
    def address(self) -> Address:
        """Where the guest takes the device to be."""
        assert self._near is not None
        host, port = self._near.get_extra_info("sockname")
        return str(host), int(port)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._guest = addr
        self.recorded.append(data)
        self.say(data)

    def say(self, data: bytes) -> None:
        """Say something to the device, as the guest would."""
        assert self._far is not None
        self._far.sendto(data, self._to())

    def answered(self, data: bytes) -> None:
        self.answers.append(data)
        if self._near is not None and self._guest is not None and not self._near.is_closing():
            self._near.sendto(data, self._guest)


class _Far(asyncio.DatagramProtocol):
    def __init__(self, wire: DatagramWire) -> None:
        self._wire = wire

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._wire.answered(data)
