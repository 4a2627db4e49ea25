"""The device's connection to the relay, made again whenever it ends."""

import asyncio
from collections.abc import Callable
from typing import Final

from admittance.device.channel.conversation import Conversation
from admittance.device.channel.conversations import Conversations
from admittance.device.clock import TrustedClock
from admittance.device.contact import check_validity
from admittance.device.log import Log
from admittance.device.radio.port import Radio
from admittance.device.relay.connection import Node, Prove, RelayConnection, connect
from admittance.device.relay.retrying import Retrying
from admittance.device.state import Memory
from admittance.errors import AdmittanceError, Malformed, Unavailable, WebSocketClosed
from admittance.protocol.relay.device_mux import DeviceMux, Event, StreamClosed, StreamMessage, StreamOpened
from admittance.transport.websocket import GOING_AWAY, WebSocket
from admittance.wire.coap import stream
from admittance.wire.coap.message import CoapMessage
from admittance.wire.relay import SERVER_STREAM, CloseCode, CloseReason

READY_POLL_S: Final = 0.5
SERVER_KNOWN_S: Final = 10.0


class RelayLink:
    """Keeps a connection while the device is on a network, enrolled, and knows a relay.

    A device that is `plain` can't do TLS and takes the ``ws://`` URLs; any other takes the ``wss://`` URLs alone.
    """

    def __init__(
        self,
        memory: Memory,
        radio: Radio,
        clock: TrustedClock,
        conversations: Conversations,
        prove: Prove,
        log: Log,
        jitter: Callable[[], float],
        *,
        plain: bool = False,
    ) -> None:
        self._memory = memory
        self._radio = radio
        self._clock = clock
        self._conversations = conversations
        self._prove = prove
        self._log = log
        self._scheme = "ws://" if plain else "wss://"
        self._retrying = Retrying(jitter)
        self._news = asyncio.Event()
        self.connected_to = ""
        """The URL of the node that the device is connected to; empty without connection."""

    def wake(self) -> None:
        """Something changed for the better: a certificate, a network. Connect without further delay."""
        self._news.set()

    async def run(self) -> None:
        """Keep connected until cancelled."""
        while True:
            if not self._is_ready():
                await self._pause(READY_POLL_S)
                continue
            delay_s = await self._connect_once()
            if await self._pause(delay_s):
                self._retrying.reset()

    def _is_ready(self) -> bool:
        is_enrolled = self._memory.record.operational is not None
        return is_enrolled and self._radio.joined is not None and bool(self._urls())

    def _urls(self) -> list[str]:
        server = self._memory.record.server
        return [url for url in server.relay_urls if url.startswith(self._scheme)] if server else []

    async def _connect_once(self) -> float:
        """One connection from its beginning to its end; the seconds to wait afterwards."""
        server = self._memory.record.server
        assert server is not None
        url = self._retrying.url(self._urls())
        connected_at: float | None = None
        try:
            connection = await connect(
                self._radio,
                Node.parse(url),
                anchors=server.anchors,
                check_peer=lambda certificate: check_validity(certificate, self._clock),
                prove=self._prove,
            )
            connected_at = self._clock.monotonic()
            self.connected_to = url
            self._log("relay_connected", url=url)
            await self._serve(connection)
        except AdmittanceError as error:
            connected_s = 0.0 if connected_at is None else self._clock.monotonic() - connected_at
            delay_s = self._retrying.failed(error, connected_s)
            close_code = error.close_code if isinstance(error, WebSocketClosed) else None
            self._log("relay_lost", cause=error.code, close_code=close_code, retry_in_s=round(delay_s, 2))
            return delay_s
        finally:
            self.connected_to = ""
        return 0.0

    async def _serve(self, connection: RelayConnection) -> None:
        """Carry conversations. Raises what ended the connection."""
        if connection.tls:
            self._clock.set_server_time(connection.server_time)
        carrying = Carrying(connection.socket, self._conversations, proven=connection.tls)
        try:
            await carrying.run()
        except Malformed:
            await connection.socket.close(CloseCode.MALFORMED)
            raise
        except asyncio.CancelledError:
            await connection.socket.close(GOING_AWAY)
            raise
        finally:
            connection.socket.abort()

    async def _pause(self, delay_s: float) -> bool:
        """Wait; true if there were news before the end of it."""
        self._news.clear()
        try:
            async with asyncio.timeout(delay_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return True


class Carrying:
    """Carries conversations over one WebSocket.

    On one that is not `proven` by TLS, nothing goes before the server has proven its channel key on stream 0.
    """

    def __init__(self, socket: WebSocket, conversations: Conversations, *, proven: bool) -> None:
        self._socket = socket
        self._conversations = conversations
        self._proven = proven
        self._mux = DeviceMux()
        self._apps: dict[int, Conversation] = {}
        self._outgoing = asyncio.Event()
        self._dropped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._server = conversations.with_server(_Stream(self, SERVER_STREAM))

    async def run(self) -> None:
        """Carry until the connection ends. Raises `WebSocketClosed`, `Malformed`, or `Unavailable` where the server
        proved nothing in time."""
        tasks = [asyncio.ensure_future(work) for work in (self._receive(), self._send(), self._until_dropped())]
        if not self._proven:
            tasks.append(asyncio.create_task(self._require_server()))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._end()

    def send(self, number: int, message: CoapMessage) -> None:
        """Queue a message on a stream. Raises `QuotaExceeded`, `TooLarge`."""
        self._mux.send(number, stream.encode(message))
        self._outgoing.set()

    def close(self, number: int, reason: CloseReason) -> None:
        """Close a stream; the server's own is closed with the connection."""
        if number == SERVER_STREAM:
            if not self._dropped.done():
                self._dropped.set_result(None)
            return
        self._apps.pop(number, None)
        self._mux.close(number, reason)
        self._outgoing.set()

    async def _receive(self) -> None:
        while True:
            self._mux.receive(await self._socket.receive())
            for event in self._mux.events():
                self._handle(event)
            self._outgoing.set()

    async def _send(self) -> None:
        while True:
            await self._outgoing.wait()
            self._outgoing.clear()
            for message in self._mux.drain():
                await self._socket.send(message)

    async def _until_dropped(self) -> None:
        await self._dropped
        await asyncio.sleep(0)
        for message in self._mux.drain():
            await self._socket.send(message)
        raise Unavailable("The server's conversation with this device has ended.")

    async def _require_server(self) -> None:
        try:
            async with asyncio.timeout(SERVER_KNOWN_S):
                await self._conversations.server_known()
        except TimeoutError as error:
            raise Unavailable("The server did not prove its channel key.") from error
        self._proven = True

    def _handle(self, event: Event) -> None:
        match event:
            case StreamOpened(stream=number):
                self._open(number)
            case StreamMessage(stream=number, data=data):
                conversation = self._server if number == SERVER_STREAM else self._apps.get(number)
                if conversation is not None:
                    self._take(number, conversation, data)
            case StreamClosed(stream=number):
                lost = self._apps.pop(number, None)
                if lost is not None:
                    lost.lost()

    def _open(self, number: int) -> None:
        conversation = None
        if self._proven or self._conversations.server_is_known:
            conversation = self._conversations.with_app(_Stream(self, number), (id(self), number))
        if conversation is None:
            self._mux.close(number, CloseReason.UNAVAILABLE)
        else:
            self._apps[number] = conversation

    def _take(self, number: int, conversation: Conversation, data: bytes) -> None:
        try:
            message = stream.decode(data)
        except Malformed:
            conversation.end(CloseReason.PROTOCOL)
        else:
            conversation.receive(message)

    def _end(self) -> None:
        self._mux.lost()
        for conversation in (self._server, *self._apps.values()):
            conversation.lost()
        self._apps.clear()


class _Stream:
    """A stream as the carrier of a conversation."""

    def __init__(self, carrying: Carrying, number: int) -> None:
        self._carrying = carrying
        self._number = number

    def send(self, message: CoapMessage) -> None:
        self._carrying.send(self._number, message)

    def close(self, reason: CloseReason) -> None:
        self._carrying.close(self._number, reason)
