"""What the parts of a relay node see of each other: an app's stream, wherever its device is connected."""

from collections.abc import Callable
from typing import Literal, Protocol

from admittance.wire.relay import CloseReason

Need = Literal["none", "proof", "notice"]
"""What a connection waits for on stream 0. `none`: nothing. `proof`: the device, on the listener without TLS, has yet
to prove its channel key. `notice`: its access has ended, and it stays only to be told so."""


class StreamSink(Protocol):
    """Takes what the other end of a stream sends. Its methods never wait and never raise."""

    def data(self, fragment: bytes, *, final: bool) -> None:
        """One fragment of a CoAP message, at most 8,192 bytes; `final` with the message's last one."""

    def credit(self, frames: int) -> None:
        """The other end takes that many fragments more."""

    def closed(self, reason: CloseReason) -> None:
        """The stream is over; nothing follows."""


class Stream(Protocol):
    """One end of an open stream, to its holder. After `close`, or `StreamSink.closed`, calls do nothing."""

    def data(self, fragment: bytes, *, final: bool) -> None:
        """Send a fragment. The holder keeps to the credit that it was given."""

    def credit(self, frames: int) -> None:
        """Take that many fragments more."""

    def close(self, reason: CloseReason) -> None:
        """End the stream."""


class DevicePort(Protocol):
    """A connected device, on this node or another."""

    @property
    def device_id(self) -> str: ...

    async def open(self, sink: StreamSink) -> Stream:
        """Open a stream to the device. Raises `DeviceOffline`, `QuotaExceeded` or `Unavailable`."""


class Directory(Protocol):
    """Knows where devices are connected."""

    async def find(self, device_id: str) -> DevicePort:
        """The device's port. Raises `DeviceOffline`."""


class LocalDevices(Protocol):
    """The devices whose connection this node holds. Its methods never wait and never raise."""

    def port(self, device_id: str) -> DevicePort | None:
        """The port of a device that is connected here."""

    def end(self, device_id: str, arrival: int, reason: CloseReason) -> None:
        """Close that connection of the device, if it is still there."""


class Arrivals(Protocol):
    """Where a node tells which devices it holds. The newest connection of a device wins, on all nodes together."""

    async def arrived(self, device_id: str) -> int:
        """A device has proved itself here. Returns the number of its connection: the newest has the greatest.

        Raises `Unavailable`: then the connection is refused.
        """

    def departed(self, device_id: str, arrival: int) -> None:
        """That connection is over, whatever ended it."""


class EndingsListener(Protocol):
    """Hears that somebody's access ended. Its methods never wait and never raise."""

    def ended(self, kind: str, key: str, number: int) -> None:
        """`device`: a device id; `token`: the hexadecimal of its stored HMAC; `account`: an account id; `grant`: the
        `grant_key` of a guest's access to a device.

        A device that was ended may come back with a new certificate before this is heard: `number` tells endings of
        the same access apart, a later one has a greater number.
        """

    def blinded(self) -> None:
        """Endings can't be read for now: end every stream with `UNAVAILABLE`, and open none."""

    def sighted(self) -> None:
        """Endings are read again, none was missed: open streams again."""


class Conversations(Protocol):
    """The server's own conversations with the devices of this node, on stream 0. Its methods never wait or raise."""

    def attach(
        self, device_id: str, epoch: int, stream: Stream, *, need: Need, settled: Callable[[bool], None]
    ) -> StreamSink:
        """A device is connected here, and `stream` leads to its stream 0; the sink's `closed` tells when it is gone.

        Unless `need` is ``none``, `settled` is called once within 5 s: whether the device has proved itself, or
        was told. It is not called after the sink's `closed`.
        """

    def tell_ended(self, device_id: str, settled: Callable[[bool], None]) -> None:
        """The access of a device that is attached here has ended: tell it, then call `settled`, within 1 s."""
