"""What the parts of a relay node see of each other: an app's stream, wherever its device is connected."""

from typing import Protocol

from admittance.wire.relay import CloseReason


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
