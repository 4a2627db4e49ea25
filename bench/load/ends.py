"""Client ends of the servers under load, as light as they can be: TLS, a protocol, and the counting of payloads.

Every payload begins with `MARK`, which nothing else does, so that payloads are counted without being taken apart.
An end sends each payload by itself, as who has one thing to say, unless it is told to send what it has together.
"""

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import cast

PAYLOAD_BYTES = 128
MARK = b"\xde\xc0\xad\x0b\xfe\xca\xef\xbe"


class End(asyncio.Protocol, ABC):
    """One connection. `ready` is done once the server has taken it up; `took` hears of payloads that came."""

    def __init__(self) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.took: Callable[[int], None] = _ignore
        self.sends_together = False
        self.failure: Exception | None = None
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    @abstractmethod
    def greeting(self) -> bytes:
        """What this end says first."""

    @abstractmethod
    def messages(self, count: int) -> bytes:
        """`count` payloads to the other end of the pair, as this protocol writes them."""

    @abstractmethod
    def take(self, data: bytes) -> bytes:
        """Deal with what came; gives the bytes that are not complete yet."""

    def send(self, count: int) -> None:
        """Send `count` payloads."""
        if self.sends_together:
            self.write(self.messages(count))
            return
        for _ in range(count):
            self.write(self.messages(1))

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Hang up without a word."""
        if self._transport is not None:
            self._transport.abort()

    def fail(self, failure: Exception) -> None:
        """Hang up because the server did what it should not."""
        self.failure = failure
        self.close()

    def is_ready(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.write(self.greeting())

    def data_received(self, data: bytes) -> None:
        self._buffer = self.take(self._buffer + data if self._buffer else data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.ready.done():
            self.ready.set_exception(self.failure or ConnectionResetError(f"the server hung up early: {exc}"))


def payload(size: int = PAYLOAD_BYTES) -> bytes:
    """A payload that looks random behind its mark."""
    return MARK + os.urandom(size - len(MARK))


def _ignore(count: int) -> None:
    """Nobody counts."""
