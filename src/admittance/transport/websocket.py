"""A WebSocket's client side (RFC 6455) over a pair of streams that is connected, and secured, already.

It carries whole binary messages in both directions. Pings are answered while a `receive` waits, so keep one waiting.
Nothing waits without a bound: a peer that doesn't take what it is sent, or is silent for two heartbeats, is cut off.
No extension is offered, so nothing is compressed.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

from admittance.errors import Malformed, NetworkFailure, UpgradeRefused, WebSocketClosed

READ_BYTES: Final = 16384
MAX_REFUSAL_BYTES: Final = 16384
MAX_CLOSE_REASON_BYTES: Final = 123

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED_DATA: Final = 1003
ABNORMAL: Final = 1006
TOO_BIG: Final = 1009


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of a received message; seconds for the whole opening, for the peer to take what is sent, and for it to
    answer a close."""

    max_message_bytes: int = 131_072
    open_s: float = 10.0
    send_s: float = 10.0
    close_s: float = 2.0


class WebSocket:
    """An open WebSocket, made by `connect`. Any number of tasks may use it."""

    def __init__(
        self,
        connection: WSConnection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        limits: Limits,
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._writer = writer
        self._limits = limits
        self._waiting: list[Event] = []
        self._message = bytearray()
        self._receiving = asyncio.Lock()
        self._ended: WebSocketClosed | None = None
        self.heartbeat_s: float | None = None
        """After that many seconds of silence a ping goes out, and after as many again the connection is cut off."""

    @classmethod
    async def connect(
        cls,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        host: str,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        limits: Limits | None = None,
    ) -> Self:
        """Ask for the upgrade of `target` at `host` (with its port, if that isn't the scheme's).

        Raises `UpgradeRefused`, `Malformed` for an answer that is no HTTP or no upgrade, and `NetworkFailure` with
        the cause ``no_server`` when the connection breaks or the answer is late; the connection is ended then.
        """
        socket = cls(WSConnection(ConnectionType.CLIENT), reader, writer, limits or Limits())
        request = Request(
            host=host,
            target=target,
            extra_headers=[(name.encode("ascii"), value.encode("ascii")) for name, value in headers],
        )
        try:
            await socket._open(request)
        except BaseException:
            socket.abort()
            raise
        return socket

    async def receive(self) -> bytes:
        """Wait for the next message. May be cancelled without loss.

        Raises `WebSocketClosed` with the peer's code and reason; with 1006 if the connection broke or the peer was
        silent, 1002, 1003 or 1009 if it did what it must not.
        """
        async with self._receiving:
            while True:
                while self._waiting:
                    message = await self._handle(self._waiting.pop(0))
                    if message is not None:
                        return message
                await self._read()

    async def send(self, data: bytes) -> None:
        """Send one binary message; returns once the peer keeps up. Raises `WebSocketClosed`."""
        await self._send(BytesMessage(data=data))

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close, and wait for the peer's answer for a moment. Raises nothing."""
        try:
            async with asyncio.timeout(self._limits.close_s):
                await self._send(CloseConnection(code=code, reason=_fitting(reason)))
                while True:
                    await self.receive()
        except (WebSocketClosed, TimeoutError):
            self.abort()

    def abort(self) -> None:
        """End the connection at once."""
        if self._ended is None:
            self._ended = WebSocketClosed(ABNORMAL)
        self._writer.transport.abort()

    async def _open(self, request: Request) -> None:
        try:
            async with asyncio.timeout(self._limits.open_s):
                await self._write(self._connection.send(request))
                await self._answered()
        except ProtocolError as error:
            raise Malformed("The server's answer is no upgrade to a WebSocket.") from error
        except TimeoutError as error:
            raise NetworkFailure("no_server", "The server did not answer the upgrade to a WebSocket.") from error
        except OSError as error:
            raise NetworkFailure("no_server", "The connection broke before it was a WebSocket.") from error

    async def _answered(self) -> None:
        """Read the answer to the upgrade; events that follow it wait."""
        refusal: RejectConnection | None = None
        body = bytearray()
        while len(body) < MAX_REFUSAL_BYTES and self._connection.state is not ConnectionState.CLOSED:
            data = await self._reader.read(READ_BYTES)
            if not data and refusal is None:
                raise ConnectionResetError("cut off")
            self._connection.receive_data(data)
            events = list(self._connection.events())
            if events and isinstance(events[0], AcceptConnection):
                self._waiting = events[1:]
                return
            for event in events:
                if isinstance(event, RejectConnection):
                    refusal = event
                elif isinstance(event, RejectData):
                    body += event.data
        if refusal is not None:
            raise _refused(refusal, bytes(body[:MAX_REFUSAL_BYTES]))

    async def _read(self) -> None:
        """Read once, with a ping before the peer is given up."""
        if self._ended is not None:
            raise self._ended
        try:
            try:
                data = await self._read_within(self.heartbeat_s)
            except TimeoutError:
                await self._send(Ping())
                data = await self._read_within(self.heartbeat_s)
        except (OSError, TimeoutError) as error:
            raise self._end(ABNORMAL, "the peer is gone or silent") from error
        if not data:
            raise self._end(ABNORMAL, "cut off")
        self._connection.receive_data(data)
        self._waiting = list(self._connection.events())

    async def _read_within(self, time_s: float | None) -> bytes:
        async with asyncio.timeout(time_s):
            return await self._reader.read(READ_BYTES)

    async def _handle(self, event: Event) -> bytes | None:
        """Deal with an event; the message, if one is complete."""
        match event:
            case BytesMessage():
                return await self._extend(event)
            case Ping():
                await self._send(event.response())
            case Pong():
                pass
            case CloseConnection():
                raise await self._closed_by_peer(event)
            case TextMessage():
                raise await self._refuse(UNSUPPORTED_DATA, "text")
        return None

    async def _extend(self, event: BytesMessage) -> bytes | None:
        self._message += event.data
        if len(self._message) > self._limits.max_message_bytes:
            raise await self._refuse(TOO_BIG, "too large")
        if not event.message_finished:
            return None
        message = bytes(self._message)
        self._message.clear()
        return message

    async def _closed_by_peer(self, event: CloseConnection) -> WebSocketClosed:
        """The peer closed, or sent what is no WebSocket: then the event names our own code for it."""
        if self._connection.state is ConnectionState.OPEN:
            return await self._refuse(int(event.code), "not a frame")
        if self._connection.state is ConnectionState.REMOTE_CLOSING:
            await self._send(event.response())
        return self._end(int(event.code), event.reason or "")

    async def _closing(self) -> WebSocketClosed:
        """Why nothing can be sent any more: the peer's close may wait behind other events."""
        for event in self._waiting:
            if isinstance(event, CloseConnection):
                return await self._closed_by_peer(event)
        return self._end(ABNORMAL, "closing")

    async def _refuse(self, code: int, reason: str) -> WebSocketClosed:
        """Tell the peer what it did wrong, and end."""
        if self._connection.state is ConnectionState.OPEN:
            await self._send(CloseConnection(code=code, reason=reason))
        return self._end(code, reason)

    async def _send(self, event: Event) -> None:
        if self._ended is not None:
            raise self._ended
        try:
            data = self._connection.send(event)
        except ProtocolError as error:
            raise await self._closing() from error
        try:
            async with asyncio.timeout(self._limits.send_s):
                await self._write(data)
        except (OSError, TimeoutError) as error:
            raise self._end(ABNORMAL, "the peer takes nothing") from error

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def _end(self, code: int, reason: str) -> WebSocketClosed:
        """Remember the first end, for everybody who asks, and hang up after what is written."""
        if self._ended is None:
            self._ended = WebSocketClosed(code, reason)
        if code == ABNORMAL:
            self.abort()
        elif not self._writer.transport.is_closing():
            # asyncio before Python 3.11.5 loses track of a TLS connection that is closed twice, and can't abort it.
            self._writer.close()
        return self._ended


def _refused(refusal: RejectConnection, body: bytes) -> UpgradeRefused:
    headers = {name.decode("ascii").lower(): value.decode("latin-1") for name, value in refusal.headers}
    return UpgradeRefused(refusal.status_code, headers, body)


def _fitting(reason: str) -> str:
    return reason.encode()[:MAX_CLOSE_REASON_BYTES].decode(errors="ignore")
