"""A relay in an attacker's hands: its certificates and keys are his, and all that goes through it is before him.

He stands where apps and devices look for the relay, and lets the real node behind him authenticate them: whoever runs
a relay may forward a proof that names his own certificate. Each CoAP message of an app's stream goes through a
`Meddle`, each frame of a device's connection through `meddle_with_frames`, and he opens streams to devices himself.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from wsproto.frame_protocol import FrameProtocol, Opcode

from admittance.server.relay.serving import relay_context
from admittance.wire import message, relay
from admittance.wire.relay import CloseReason, Frame, RelayProof

READ_BYTES = 65536
PATIENCE_S = 20.0
HANDSHAKE_MESSAGES = 3

Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Way(Enum):
    """Where a message is going."""

    TO_DEVICE = "to the device"
    TO_APP = "to the app"


Meddle = Callable[["Stream", Way, bytes], Iterable[bytes]]
"""What goes on, in this order, in place of one message."""

MeddleWithFrames = Callable[["DeviceConnection", Way, Frame], Iterable[Frame]]
"""The same for a frame, whose stream has the number that its receiver knows."""


def pass_on(_stream: "Stream", _way: Way, data: bytes) -> Iterable[bytes]:
    """What an honest relay does."""
    return (data,)


def pass_frame_on(_connection: "DeviceConnection", _way: Way, frame: Frame) -> Iterable[Frame]:
    return (frame,)


@dataclass(frozen=True)
class Control:
    """A ping, a pong or a close, for which `payload` is code and reason."""

    opcode: Opcode
    payload: bytes | tuple[int, str]


class Side:
    """One side of a WebSocket on which others agreed. `client` is our role there."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, client: bool) -> None:
        self._reader = reader
        self._writer = writer
        self._frames = FrameProtocol(client, [])

    async def received(self) -> AsyncIterator[bytes | Control]:
        """Whole messages and control frames."""
        parts = bytearray()
        while data := await self._reader.read(READ_BYTES):
            self._frames.receive_bytes(data)
            for frame in self._frames.received_frames():
                if isinstance(frame.payload, str):
                    continue
                if isinstance(frame.payload, tuple) or frame.opcode.iscontrol():
                    yield Control(frame.opcode, frame.payload)
                    continue
                parts += frame.payload
                if frame.message_finished:
                    yield bytes(parts)
                    parts.clear()

    def send(self, data: bytes, *, final: bool = True) -> None:
        """A message, or a part of one that goes on."""
        self._writer.write(self._frames.send_data(data, fin=final))

    def pass_on(self, control: Control) -> None:
        if isinstance(control.payload, tuple):
            self._writer.write(self._frames.close(*control.payload))
        elif control.opcode is Opcode.PING:
            self._writer.write(self._frames.ping(control.payload))
        else:
            self._writer.write(self._frames.pong(control.payload))

    async def drain(self) -> None:
        await self._writer.drain()

    def cut(self) -> None:
        self._writer.transport.abort()


@dataclass(eq=False)
class Stream:
    """An app's stream to a device. `source` is the app's port, `seen` what the ends sent, `sent` what they got."""

    source: int
    meddle: Meddle
    app: Side
    node: Side
    is_open: bool = True
    seen: list[tuple[Way, bytes]] = field(default_factory=list)
    sent: list[tuple[Way, bytes]] = field(default_factory=list)

    def send(self, way: Way, *messages: bytes) -> None:
        """Put messages into the stream."""
        for data in messages:
            self.sent.append((way, data))
            (self.node if way is Way.TO_DEVICE else self.app).send(data)

    def going(self, way: Way) -> list[bytes]:
        """What an end sent in that direction."""
        return [data for seen, data in self.seen if seen is way]

    def cut(self) -> None:
        """Break the stream for both ends."""
        self.app.cut()
        self.node.cut()

    async def carry(self) -> None:
        try:
            await until_one_ends(self._pump(Way.TO_DEVICE), self._pump(Way.TO_APP))
        finally:
            self.is_open = False

    async def _pump(self, way: Way) -> None:
        source, target = (self.app, self.node) if way is Way.TO_DEVICE else (self.node, self.app)
        async for received in source.received():
            if isinstance(received, Control):
                target.pass_on(received)
            else:
                self.seen.append((way, received))
                self.send(way, *self.meddle(self, way, received))
            await target.drain()


class OwnStream:
    """A stream that no app opened: at its other end the attacker talks to the device."""

    def __init__(self, connection: "DeviceConnection", number: int) -> None:
        self._connection = connection
        self.number = number
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()
        self._ended: asyncio.Future[CloseReason] = asyncio.get_running_loop().create_future()
        self._credit = relay.INITIAL_CREDIT
        self._granted = asyncio.Event()
        self._taken = 0
        self._parts = bytearray()

    @property
    def is_open(self) -> bool:
        return not self._ended.done()

    async def send(self, data: bytes) -> None:
        """Send one message of at most 8,192 bytes, as soon as the device gives credit for it."""
        async with asyncio.timeout(PATIENCE_S):
            while not self._credit and self.is_open:
                self._granted.clear()
                await self._granted.wait()
        if self.is_open:
            self._credit -= 1
            self._connection.inject(relay.data_frame(self.number, data, final=True))

    async def answer(self) -> bytes:
        """The device's next message."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._answers.get()

    def answers(self) -> list[bytes]:
        """What the device sent and nobody took."""
        return [self._answers.get_nowait() for _ in range(self._answers.qsize())]

    async def ended(self) -> CloseReason:
        """Wait until the device ends the stream."""
        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.shield(self._ended)

    def take(self, frame: Frame) -> None:
        """A frame of the device's."""
        if frame.type == relay.CREDIT:
            self._credit += frame.credit
            self._granted.set()
        elif frame.type == relay.CLOSE:
            self._ended.set_result(frame.reason)
            self._granted.set()
        else:
            self._take_fragment(frame)

    def _take_fragment(self, frame: Frame) -> None:
        self._parts += frame.payload
        if frame.type == relay.DATA:
            self._answers.put_nowait(bytes(self._parts))
            self._parts.clear()
        self._taken += 1
        if self._taken == relay.CREDIT_BATCH:
            self._taken = 0
            self._connection.inject(relay.credit_frame(self.number, relay.CREDIT_BATCH))


@dataclass(eq=False)
class DeviceConnection:
    """A device's connection. The device knows streams by other numbers than the node, as some are the attacker's.

    `closed_with` is the code with which the device said goodbye.
    """

    device: Side
    node: Side
    middle: "RelayInTheMiddle"
    device_id: str = ""
    seen: list[tuple[Way, Frame]] = field(default_factory=list)
    closed_with: int | None = None
    _handshake: int = HANDSHAKE_MESSAGES
    _last: int = relay.SERVER_STREAM
    _numbers: dict[Way, dict[int, int]] = field(default_factory=lambda: {way: {0: 0} for way in Way})
    _own: dict[int, OwnStream] = field(default_factory=dict)

    @property
    def is_proven(self) -> bool:
        return not self._handshake

    def open_stream(self) -> OwnStream:
        """Open a stream to the device that the node does not know of."""
        self._last += 1
        stream = self._own[self._last] = OwnStream(self, self._last)
        self.inject(relay.open_frame(self._last))
        return stream

    def inject(self, data: bytes) -> None:
        """Send the device a binary message."""
        self.device.send(data)

    async def carry(self) -> None:
        await until_one_ends(self._pump(Way.TO_DEVICE), self._pump(Way.TO_APP))

    async def _pump(self, way: Way) -> None:
        source, target = (self.node, self.device) if way is Way.TO_DEVICE else (self.device, self.node)
        async for received in source.received():
            if isinstance(received, Control):
                if isinstance(received.payload, tuple) and way is Way.TO_APP:
                    self.closed_with = received.payload[0]
                target.pass_on(received)
            elif self._handshake:
                self._pass_handshake(way, received, target)
            else:
                for frame in relay.decode_frames(received):
                    self._take(way, frame, target)
            await target.drain()

    def _pass_handshake(self, way: Way, data: bytes, target: Side) -> None:
        """The node's nonce, the device's proof, and the node's word that it holds."""
        self._handshake -= 1
        if way is Way.TO_APP:
            self.device_id = message.decode(data, RelayProof, relay.MAX_HANDSHAKE_BYTES).device_id
        target.send(data)

    def _take(self, way: Way, frame: Frame, target: Side) -> None:
        if way is Way.TO_DEVICE and frame.type == relay.OPEN:
            self._last += 1
            self._numbers[Way.TO_DEVICE][frame.stream] = self._last
            self._numbers[Way.TO_APP][self._last] = frame.stream
        if way is Way.TO_APP and frame.stream in self._own:
            self._own[frame.stream].take(frame)
            return
        number = self._numbers[way].get(frame.stream)
        if number is None:
            return
        self.seen.append((way, frame))
        for passed in self.middle.meddle_with_frames(self, way, frame._replace(stream=number)):
            target.send(relay.HEADER.pack(passed.stream, len(passed.payload) + 1, passed.type) + passed.payload)


class RelayInTheMiddle:
    """See the module. `streams` are those that apps opened, `connections` those of devices, in their order."""

    def __init__(self, data: Path, node_ports: tuple[int, int], trust: bytes) -> None:
        """`data` is the server's folder, `node_ports` are where the node listens for apps and for devices, `trust`
        are the anchors (PEM) of both."""
        self._certificates = data / "tls"
        self._node_ports = node_ports
        self._trust = ssl.create_default_context(cadata=trust.decode())
        self._handlers: set[asyncio.Task[None]] = set()
        self.meddle: dict[int, Meddle] = {}
        """By the port that an app comes from; with what comes from others nobody meddles."""
        self.meddle_with_frames: MeddleWithFrames = pass_frame_on
        self.streams: list[Stream] = []
        self.connections: list[DeviceConnection] = []

    @contextlib.asynccontextmanager
    async def opened(self, app_port: int, device_port: int) -> AsyncIterator["RelayInTheMiddle"]:
        """Listen where apps and devices look for the relay."""
        at = ((app_port, "people.pem", self._serve_app), (device_port, "device.pem", self._serve_device))
        servers = []
        for port, name, serve in at:
            context = relay_context()
            context.load_cert_chain(self._certificates / name)
            servers.append(await asyncio.start_server(self._handled(serve), "127.0.0.1", port, ssl=context))
        try:
            yield self
        finally:
            for server in servers:
                server.close()
            for handler in tuple(self._handlers):
                handler.cancel()
            await asyncio.gather(*self._handlers, return_exceptions=True)

    def device(self, device_id: str) -> DeviceConnection:
        """The latest connection of a device."""
        return next(each for each in reversed(self.connections) if each.device_id == device_id and each.is_proven)

    def _handled(self, serve: Accept) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await serve(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                return
            finally:
                writer.transport.abort()

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(handle(reader, writer))
            self._handlers.add(task)
            task.add_done_callback(self._handlers.discard)

        return accepted

    async def _serve_app(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._upgraded(reader, writer, self._node_ports[0]) as sides:
            if sides is not None:
                source = writer.get_extra_info("peername")[1]
                stream = Stream(source, self.meddle.get(source, pass_on), *sides)
                self.streams.append(stream)
                await stream.carry()

    async def _serve_device(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._upgraded(reader, writer, self._node_ports[1]) as sides:
            if sides is not None:
                connection = DeviceConnection(*sides, self)
                self.connections.append(connection)
                await connection.carry()

    @contextlib.asynccontextmanager
    async def _upgraded(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int
    ) -> AsyncIterator[tuple[Side, Side] | None]:
        """Both sides of a WebSocket, if the node grants the upgrade; its refusal is passed on."""
        head = await reader.readuntil(b"\r\n\r\n")
        far_reader, far_writer = await asyncio.open_connection("localhost", port, ssl=self._trust)
        try:
            far_writer.write(head)
            answer = await far_reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            if b" 101 " in answer.partition(b"\r\n")[0]:
                yield Side(reader, writer, client=False), Side(far_reader, far_writer, client=True)
            else:
                writer.write(await far_reader.read())
                await writer.drain()
                writer.close()
                await writer.wait_closed()
                yield None
        finally:
            far_writer.transport.abort()


async def until_one_ends(*ways: Awaitable[None]) -> None:
    """Run until one of these is over, and raise what it raised."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
