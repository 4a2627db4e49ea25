"""A device's WebSocket: its proof, then frames of many streams."""

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from picows import WSFrame, WSTransport

from admittance.errors import AuthenticationFailed, DeviceOffline, Malformed, QuotaExceeded, Unavailable
from admittance.server.relay.authentication import ProvenDevice
from admittance.server.relay.connection import BINARY, PROVING, Connection
from admittance.server.relay.defaults import NO_SINK
from admittance.server.relay.ports import Need, Stream, StreamSink
from admittance.server.relay.settings import MAX_BLOCKED_BYTES
from admittance.server.relay.streams import LocalStream
from admittance.wire import message, relay
from admittance.wire.relay import CloseCode, CloseReason, RelayAccepted, RelayHello, RelayProof

if TYPE_CHECKING:
    from admittance.server.relay.node import RelayNode

NONCE_BYTES: Final = 32

_DATA: Final = relay.DATA
_MORE: Final = relay.MORE
_PACK = relay.HEADER.pack
_UNPACK = relay.HEADER.unpack_from
_HEADER_BYTES = relay.HEADER.size
_MAX_LENGTH = relay.MAX_PAYLOAD_BYTES + 1

# A relay frame's header with, before it, that of the WebSocket frame that carries it alone: a binary one to a client
# (RFC 6455, section 5.2), and its payload's length in one byte or in the next two.
_WHOLE: Final = 0x82
_PACK_SHORT = struct.Struct(">BBIHB").pack
_PACK_LONG = struct.Struct(">BBHIHB").pack
_MAX_SHORT: Final = 125 - _HEADER_BYTES


class DeviceConnection(Connection):
    """Awaits the proof, is proven, ends. A `DevicePort` once proven.

    `certificate_sha256` is of the certificate that TLS showed; 32 zero bytes without TLS, where apps get through only
    after the server's own conversation on stream 0 has confirmed the device.
    """

    __slots__ = (
        "_certificate_sha256",
        "_last_stream",
        "_nonce",
        "_queue",
        "_sent_at",
        "_streams",
        "arrival",
        "proven",
    )

    def __init__(self, node: "RelayNode", certificate_sha256: bytes) -> None:
        super().__init__(node, node.settings.device_allowance)
        self._certificate_sha256 = certificate_sha256
        self._nonce = b""
        self._streams: dict[int, LocalStream] = {}
        self._last_stream = relay.SERVER_STREAM
        self._queue: list[bytes] = []
        self._sent_at = 0.0
        self.proven: ProvenDevice | None = None
        self.arrival = 0

    @property
    def device_id(self) -> str:
        return "" if self.proven is None else self.proven.device_id

    @property
    def is_plain(self) -> bool:
        """Whether there is no TLS below."""
        return not any(self._certificate_sha256)

    @property
    def streams(self) -> int:
        """How many apps talk with the device."""
        return len(self._streams) - (relay.SERVER_STREAM in self._streams)

    def on_ws_connected(self, transport: WSTransport) -> None:
        super().on_ws_connected(transport)
        self._nonce = self.node.random(NONCE_BYTES)
        transport.send(BINARY, message.encode(RelayHello(self._nonce)))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.silent = 0
        if frame.msg_type != BINARY or not frame.fin or frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.control(frame)
        elif self.proven is None:
            self._take_proof(frame.get_payload_as_bytes())
        elif not self.closing:
            node, is_last = self.node, frame.last_in_buffer
            try:
                self._take(frame.get_payload_as_bytes(), is_last)
            except Malformed:
                self.fail(CloseCode.MALFORMED, CloseReason.PROTOCOL)
            finally:
                node.is_last_read = False
            if is_last and node.touched_apps:
                node.flush_apps()

    async def open(self, sink: StreamSink) -> Stream:
        """See `DevicePort.open`."""
        node = self.node
        if node.is_blind or node.is_draining:
            raise Unavailable("This relay node opens no streams for now.")
        if self.closing or node.port(self.device_id) is not self:
            raise DeviceOffline("The device is not connected.")
        if self.streams >= node.settings.max_streams_per_device or self._last_stream == relay.MAX_STREAM:
            raise QuotaExceeded("Too many apps talk with this device now.")
        self._last_stream += 1
        stream = self._streams[self._last_stream] = LocalStream(self, self._last_stream, sink)
        node.counters.streams_opened += 1
        self.send_frame(relay.open_frame(stream.number))
        return stream

    def accept(self, proven: ProvenDevice, *, need: Need, settled: Callable[[bool], None]) -> None:
        """The proof held: frames follow. `need` and `settled` as in `Conversations.attach`."""
        self.proven = proven
        stream = self._streams[relay.SERVER_STREAM] = LocalStream(self, relay.SERVER_STREAM, NO_SINK)
        accepted = RelayAccepted(heartbeat_s=self.node.settings.sweep_s, server_time=int(self.node.clock()))
        self.transport.send(BINARY, message.encode(accepted))
        stream.sink = self.node.conversations.attach(
            proven.device_id, proven.epoch, stream, need=need, settled=settled
        )
        self.resume(PROVING)

    def send_data(self, number: int, kind: int, fragment: bytes) -> None:
        """Send a fragment at once while there is little to send; otherwise as `send_frame` does.

        There is little while the clock of the loop, which is of milliseconds, has gone on since the last fragment.
        """
        node = self.node
        size = len(fragment)
        if node.more_follows or self._queue or node.capture or (now := node.loop.time()) == self._sent_at:
            self.send_frame(_PACK(number, size + 1, kind) + fragment)
            return
        self._sent_at = now
        if size <= _MAX_SHORT:
            head = _PACK_SHORT(_WHOLE, size + _HEADER_BYTES, number, size + 1, kind)
        else:
            head = _PACK_LONG(_WHOLE, 126, size + _HEADER_BYTES, number, size + 1, kind)
        if not self.closing and not self.transport.is_close_frame_sent:
            node.counters.to_devices += 1
            self._write(head + fragment)
            if self.blocked:
                self._check_blocked()

    def send_frame(self, frame: bytes) -> None:
        """Send a frame with all else of this turn of the event loop."""
        if not self._queue:
            self.node.busy(self)
        self._queue.append(frame)

    def flush(self) -> None:
        """Send what was queued."""
        for batch in relay.batches(self._queue):
            self._send(batch)
        self._queue.clear()

    def end_stream(self, number: int, reason: CloseReason) -> None:
        """The stream's holder ends it. Stream 0 is never closed: with it the connection ends."""
        if number == relay.SERVER_STREAM:
            self.fail(reason.close_code, reason)
        elif (stream := self._streams.pop(number, None)) is not None:
            stream.over()
            self.send_frame(relay.close_frame(number, reason))

    def end_streams(self, reason: CloseReason) -> None:
        """End every app's stream, and tell both ends."""
        for number, stream in list(self._streams.items()):
            if number != relay.SERVER_STREAM:
                del self._streams[number]
                self.send_frame(relay.close_frame(number, reason))
                stream.over(reason)

    def fail(self, code: CloseCode, reason: CloseReason, text: str = "") -> None:
        """End the connection and all its streams."""
        if not self.closing:
            self.flush()
            self.close(code, text)
        self._streams_over(reason)

    def revoke(self, _was_told: bool = False) -> None:
        """End the connection of a device whose access ended."""
        self.fail(CloseCode.REVOKED, CloseReason.REVOKED)

    def sweep(self, idle_sweeps: int) -> None:
        proven = self.proven
        if proven is not None and not proven.is_ended and self.node.clock() >= proven.expires_at:
            # The device has a new certificate by now, and proves itself by that at once.
            self.fail(CloseCode.UNAVAILABLE, CloseReason.UNAVAILABLE, relay.retry_after_text(0))
        super().sweep(idle_sweeps)

    def too_slow(self) -> None:
        self.fail(CloseCode.IDLE, CloseReason.UNAVAILABLE)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        super().on_ws_disconnected(transport)
        self._streams_over(CloseReason.OFFLINE)

    def _streams_over(self, reason: CloseReason) -> None:
        streams, self._streams = self._streams, {}
        self._queue.clear()
        for stream in streams.values():
            stream.over(reason)
        self.node.device_left(self)

    def _send(self, batch: bytes) -> None:
        if self.closing:
            return
        node = self.node
        node.counters.to_devices += 1
        if node.capture is not None:
            node.capture.to_device(self.device_id, batch)
        self.transport.send(BINARY, batch)
        if self.blocked:
            self._check_blocked()

    def _check_blocked(self) -> None:
        if self.transport.underlying_transport.get_write_buffer_size() > MAX_BLOCKED_BYTES:
            self.node.loop.call_soon(self.too_slow)

    def _take_proof(self, data: bytes) -> None:
        if self.paused & PROVING:
            self.close(CloseCode.MALFORMED)
            return
        try:
            proof = message.decode(data, RelayProof, relay.MAX_HANDSHAKE_BYTES)
        except Malformed:
            self.close(CloseCode.MALFORMED)
            return
        self.pause(PROVING)
        self.node.spawn(self._prove(proof))

    async def _prove(self, proof: RelayProof) -> None:
        try:
            await self.node.admit_device(self, proof, self._nonce, self._certificate_sha256)
        except AuthenticationFailed:
            self.close(CloseCode.NOT_AUTHENTICATED)
        except Unavailable:
            self.close(CloseCode.UNAVAILABLE, self.node.retry_after())

    def _take(self, data: bytes, is_last: bool) -> None:
        position, end = 0, len(data)
        if not 0 < end <= relay.MAX_BATCH_BYTES:
            raise Malformed("a relay message of a size that is not allowed")
        node = self.node
        if node.capture is not None:
            node.capture.from_device(self.device_id, data)
        frames = 0
        streams = self._streams
        while position < end:
            start = position + _HEADER_BYTES
            if start >= end:
                raise Malformed("a relay frame that is cut off")
            number, length, kind = _UNPACK(data, position)
            position = start + length - 1
            if position > end or not 1 < length <= _MAX_LENGTH:
                raise Malformed("a relay frame of a size that is not allowed")
            frames += 1
            stream = streams.get(number)
            if position == end:
                node.is_last_read = is_last
            if kind == _DATA and stream is not None and stream.window > 0 and not stream.partial:
                # A whole message within its credit, which is most of them: `LocalStream.take` without the call.
                stream.window -= 1
                stream.sink.data(data[start:position], final=True)
            elif stream is not None and kind in (_DATA, _MORE):
                stream.take(data[start:position], final=kind == _DATA)
            else:
                self._unusual(number, kind, data[start:position])
        self.idle = 0
        node.counters.from_devices += frames
        meter = self._meter
        meter.frames -= frames
        meter.bytes -= end
        if meter.frames < 0.0 or meter.bytes < 0.0:
            self.make_up()

    def _unusual(self, number: int, kind: int, payload: bytes) -> None:
        """A frame that carries no data, or for a stream that is not open."""
        if number > self._last_stream or kind == relay.OPEN:
            raise Malformed("a relay frame of a stream that was never opened")
        if kind == relay.DATA or kind == relay.MORE:
            return
        frame = relay.checked_frame(number, kind, payload)
        stream = self._streams.get(number)
        if stream is None:
            return
        if kind == relay.CREDIT:
            stream.sink.credit(frame.credit)
        else:
            del self._streams[number]
            stream.over(frame.reason)
