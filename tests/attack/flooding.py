"""Connections of many strangers at a time, from as many addresses as they like, and what a program takes for it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import cast

from admittance.wire.coap import datagram
from admittance.wire.coap.datagram import Datagram, Type
from admittance.wire.coap.message import CoapMessage
from tests.attack.world import WAIT_S

READ_BYTES = 65536
CONNECTING_AT_ONCE = 100
TLS_S = 30.0

Do = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""What a stranger does once he is connected. He stays until he is thrown out."""


def addresses(network: int, number: int) -> list[str]:
    """So many addresses of this machine."""
    return [f"127.{network}.{host // 250}.{host % 250 + 1}" for host in range(number)]


def say(data: bytes) -> Do:
    """Say this, and no more."""

    async def do(writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return do


def drip(data: bytes, pause_s: float = 0.1) -> Do:
    """Say it a byte at a time."""

    async def do(writer: asyncio.StreamWriter) -> None:
        for byte in data:
            writer.write(bytes([byte]))
            await asyncio.sleep(pause_s)

    return do


def upgrade(path: str) -> bytes:
    """The head of a request for a WebSocket, good as far as that goes."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ).encode()


def resident_kb(pid: int) -> int:
    """What memory a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


@contextlib.contextmanager
def growing_less_than(kb: int, *pids: int) -> Iterator[None]:
    """None of these processes holds so many KiB more at the end than at the beginning."""
    before = [resident_kb(pid) for pid in pids]
    yield
    grown = [resident_kb(pid) - held for pid, held in zip(pids, before, strict=True)]
    assert max(grown) < kb


@dataclass
class Crowd:
    """Strangers. `inside` counts those who are connected, `received` the bytes that they were sent."""

    inside: int = 0
    received: int = 0
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    _few: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONNECTING_AT_ONCE))

    async def come(
        self,
        sources: Sequence[str],
        each: int,
        port: int,
        *,
        context: ssl.SSLContext | None = None,
        do: Do | None = None,
    ) -> None:
        """So many come from each of these addresses; returns when every one of them was let in or turned away."""
        arrivals = [asyncio.get_running_loop().create_future() for _ in range(each * len(sources))]
        for number, arrived in enumerate(arrivals):
            visit = self._visit(sources[number % len(sources)], port, context, do, arrived)
            self._tasks.append(asyncio.create_task(visit))
        await asyncio.gather(*arrivals)

    async def thinned(self, most: int, within_s: float = WAIT_S) -> None:
        """Wait until no more than so many are inside."""
        async with asyncio.timeout(within_s):
            while self.inside > most:
                await asyncio.sleep(0.05)

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks)

    async def _visit(
        self,
        source: str,
        port: int,
        context: ssl.SSLContext | None,
        do: Do | None,
        arrived: "asyncio.Future[None]",
    ) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            try:
                async with self._few:
                    reader, writer = await asyncio.open_connection(
                        "127.0.0.1",
                        port,
                        local_addr=(source, 0),
                        ssl=context,
                        server_hostname=None if context is None else "localhost",
                        ssl_handshake_timeout=None if context is None else TLS_S,
                    )
                self.inside += 1
            finally:
                arrived.set_result(None)
            acting = asyncio.ensure_future(do(writer)) if do is not None else None
            try:
                while data := await reader.read(READ_BYTES):
                    self.received += len(data)
            finally:
                self.inside -= 1
                if acting is not None:
                    acting.cancel()
                writer.transport.abort()


class Datagrams:
    """Sockets of UDP at many addresses, that all send to one. `answers` counts what came back; `largest_gain` is by
    how many bytes an answer was larger than the question. `sent` and `received` are bytes."""

    def __init__(self, sources: Sequence[str]) -> None:
        self.sources = sources
        self._transports: list[asyncio.DatagramTransport] = []
        self._asked: dict[asyncio.DatagramTransport, int] = {}
        self.answers = 0
        self.largest_gain = 0
        self.sent = 0
        self.received = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def from_many(cls, sources: Sequence[str], to: tuple[str, int]) -> AsyncIterator["Datagrams"]:
        datagrams, loop = cls(sources), asyncio.get_running_loop()
        for source in sources:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Answers(datagrams), local_addr=(source, 0), remote_addr=to
            )
            datagrams._transports.append(transport)
        try:
            yield datagrams
        finally:
            for transport in datagrams._transports:
                transport.close()

    async def flood(self, question: Callable[[], CoapMessage], nonsense: Sequence[bytes]) -> None:
        """Ask from all addresses in turn, with some nonsense in between, until cancelled."""
        for number in count():
            transport = self._transports[number % len(self._transports)]
            asked = datagram.encode(Datagram(Type.CONFIRMABLE, number & 0xFFFF, question()))
            self._asked[transport] = len(asked)
            self.sent += len(asked)
            transport.sendto(asked)
            transport.sendto(nonsense[number % len(nonsense)])
            if number % 20 == 0:
                await asyncio.sleep(0.02)

    def answered(self, transport: asyncio.DatagramTransport, size: int) -> None:
        self.answers += 1
        self.received += size
        self.largest_gain = max(self.largest_gain, size - self._asked[transport])


class _Answers(asyncio.DatagramProtocol):
    def __init__(self, datagrams: Datagrams) -> None:
        self._datagrams = datagrams

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, _address: object) -> None:
        self._datagrams.answered(self._transport, len(data))
