"""The node's end of one stream to a device that is connected here."""

from typing import TYPE_CHECKING

from admittance.errors import Malformed
from admittance.server.relay.defaults import NO_SINK
from admittance.server.relay.ports import StreamSink
from admittance.wire import relay
from admittance.wire.relay import CloseReason

if TYPE_CHECKING:
    from admittance.server.relay.device_listener import DeviceConnection


class LocalStream:
    """A `Stream` to its holder. `window` is what the device may still send, `partial` what came of a message."""

    __slots__ = ("_device", "number", "partial", "sink", "window")

    def __init__(self, device: "DeviceConnection", number: int, sink: StreamSink) -> None:
        self._device = device
        self.number = number
        self.sink = sink
        self.window = relay.INITIAL_CREDIT
        self.partial = 0

    def data(self, fragment: bytes, *, final: bool) -> None:
        self._device.send_data(self.number, relay.DATA if final else relay.MORE, fragment)

    def credit(self, frames: int) -> None:
        self.window += frames
        self._device.send_frame(relay.credit_frame(self.number, frames))

    def close(self, reason: CloseReason) -> None:
        self._device.end_stream(self.number, reason)

    def over(self, reason: CloseReason | None = None) -> None:
        """Tell the holder `reason`, if it isn't the one who ended the stream, and let go of it.

        Holder and stream point to each other, and to a connection that costs kilobytes until it is collected.
        """
        sink, self.sink = self.sink, NO_SINK
        if reason is not None:
            sink.closed(reason)

    def take(self, fragment: bytes, *, final: bool) -> None:
        """A fragment from the device. Raises `Malformed` beyond its credit, or for a message that gets too long."""
        self.window -= 1
        self.partial += len(fragment)
        if self.window < 0 or self.partial > relay.MAX_MESSAGE_BYTES:
            raise Malformed("a fragment beyond the credit, or of a message that is too long")
        if final:
            self.partial = 0
        self.sink.data(fragment, final=final)
