"""The sockets of the mDNS responder (RFC 6762)."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from random import SystemRandom
from typing import Any, Final, Self

from admittance.device.local.responder import MULTICAST_PORT, MdnsResponder, Reply
from admittance.errors import Malformed

GROUP: Final = "224.0.0.251"
TTL: Final = 255
ANNOUNCEMENTS: Final = 2
ANNOUNCE_GAP_S: Final = 1.0
DELAY_S: Final = (0.02, 0.12)
MAX_DELAYED: Final = 16


class Mdns:
    """Answers for `responder` on the network of one address, until closed."""

    def __init__(self, responder: MdnsResponder, clock: Callable[[], float]) -> None:
        self._responder = responder
        self._clock = clock
        self._random = SystemRandom()
        self._transport: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, address: str, responder: MdnsResponder, clock: Callable[[], float]) -> Self:
        """Join the group on the interface of `address`. Raises `OSError`."""
        mdns = cls(responder, clock)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Receiver(mdns._receive), sock=_socket(address))
        mdns._transport = transport
        mdns._spawn(mdns._announce)
        return mdns

    async def close(self) -> None:
        """Say goodbye and leave the group."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._send(self._responder.goodbye(), (GROUP, MULTICAST_PORT))
        if self._transport is not None:
            self._transport.close()

    async def _announce(self) -> None:
        for _ in range(ANNOUNCEMENTS):
            self._send(self._responder.announcement(), (GROUP, MULTICAST_PORT))
            await asyncio.sleep(ANNOUNCE_GAP_S)

    def _receive(self, data: bytes, source: tuple[str, int]) -> None:
        with contextlib.suppress(Malformed):
            reply = self._responder.receive(data, source[1], self._clock())
            if reply is None:
                return
            if reply.unicast:
                self._send(reply.data, source)
            elif len(self._tasks) < MAX_DELAYED:
                self._spawn(lambda: self._send_later(reply))

    async def _send_later(self, reply: Reply) -> None:
        await asyncio.sleep(self._random.uniform(*DELAY_S))
        self._send(reply.data, (GROUP, MULTICAST_PORT))

    def _send(self, data: bytes, target: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, target)

    def _spawn(self, work: Callable[[], Any]) -> None:
        task = asyncio.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, receive: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._receive = receive

    def datagram_received(self, data: bytes, address: tuple[str | Any, int]) -> None:
        self._receive(data, (str(address[0]), address[1]))


def _socket(address: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        interface = socket.inet_aton(address)
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + interface)
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, TTL)
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        opened.bind(("", MULTICAST_PORT))
    except BaseException:
        opened.close()
        raise
    return opened
