"""A link from this node to another: the streams of both, in batches, and never one with a hole in it.

Batches are counted. A node that misses one begins a new session, in which every stream of the one before has failed;
its peer hears the new session in the next batch, and fails them too. What belongs to an older session is ignored.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from admittance.errors import AdmittanceError, DeviceOffline, QuotaExceeded, Unavailable
from admittance.server.relay.link_frames import (
    HEADER_BYTES,
    Frame,
    Header,
    Kind,
    encode_frame,
    encode_header,
)
from admittance.server.relay.ports import Stream, StreamSink
from admittance.wire.relay import CloseReason

OPEN_WITHIN_S = 2.0
MAX_BATCH_BYTES = 256 * 1024
MAX_OPENING = 1000
MAX_STREAM = 2**32 - 1
CHECKS_AFTER_SENDING = 5
"""So many beats after the last batch that carried something, the peer is told how many there were: together longer
than a node may be silent."""

OpenDevice = Callable[[str, StreamSink], Awaitable[Stream]]

log = structlog.stdlib.get_logger(__name__)


class _End(Protocol):
    """One end of a stream, on this node."""

    def take(self, frame: Frame) -> bool:
        """Handle a frame of the peer. Returns whether the stream is over."""

    def fail(self, reason: CloseReason) -> None:
        """The stream is over on the link."""


class Link:
    """`send` takes a batch for the peer, `open_device` opens streams to devices of this node.

    `new_session` gives a random number from 1 to 2^32 - 1.
    """

    def __init__(
        self,
        *,
        own_id: str,
        peer_id: str,
        send: Callable[[bytes], None],
        open_device: OpenDevice,
        new_session: Callable[[], int],
    ) -> None:
        self._own_id = own_id
        self._peer_id = peer_id
        self._send = send
        self._open_device = open_device
        self._new_session = new_session
        self._session = new_session()
        self._peer_session = 0
        self._sent = 0
        self._received: int | None = None
        self._batch: list[bytes] = []
        self._batch_bytes = HEADER_BYTES
        self._is_flush_due = False
        self._checks_left = 0
        self._last_stream = 0
        self._own: dict[int, _Opened] = {}
        self._peers: dict[int, _Accepted] = {}
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def stream_count(self) -> int:
        return len(self._own) + len(self._peers)

    async def open(self, device_id: str, sink: StreamSink) -> Stream:
        """Open a stream to a device of the peer. Raises `DeviceOffline`, `QuotaExceeded` or `Unavailable`."""
        if self._last_stream == MAX_STREAM:
            self.reset("stream_ids_used_up")
        self._last_stream += 1
        stream = _Opened(self, self._last_stream, sink)
        self._own[stream.number] = stream
        self.write(stream.number, Kind.OPEN, device_id.encode(), is_receivers=False)
        try:
            async with asyncio.timeout(OPEN_WITHIN_S):
                await stream.opened
        except TimeoutError:
            stream.close(CloseReason.UNAVAILABLE)
            raise Unavailable("The node of the device does not answer.") from None
        except asyncio.CancelledError:
            stream.close(CloseReason.NORMAL)
            raise
        return stream

    def receive(self, header: Header, frames: list[Frame]) -> None:
        """Handle a batch of the peer."""
        if header.session != self._peer_session:
            is_first = self._peer_session == 0
            self._peer_session, self._received = header.session, header.sequence
            if not is_first:
                self._fail("peer_reset")
        missing = self._received is not None and header.sequence != self._received
        self._received = header.sequence + 1
        if missing:
            self.reset("batch_lost")
        elif header.peer_session not in (0, self._session):
            self._send_batch()
        else:
            for frame in frames:
                self._take(frame)

    def beat(self) -> None:
        """Let the peer notice if what was sent last did not arrive."""
        if self._checks_left:
            self._checks_left -= 1
            self._send_batch()

    def reset(self, reason: str) -> None:
        """Fail every stream, here and, as soon as it hears of it, on the peer."""
        self._session, self._sent, self._last_stream = self._new_session(), 0, 0
        self._fail(reason)
        self.announce()

    def announce(self) -> None:
        """Tell the peer which session this is."""
        self._send_batch()
        self._checks_left = CHECKS_AFTER_SENDING

    def close(self) -> None:
        """Reset for the last time, and give up what is being opened."""
        self.reset("closed")
        for task in self._opening:
            task.cancel()

    def write(self, stream: int, kind: Kind, payload: bytes = b"", *, is_receivers: bool) -> None:
        """Queue a frame; it goes out with all others of this turn of the event loop."""
        frame = encode_frame(stream, kind, payload, is_receivers=is_receivers)
        if self._batch_bytes + len(frame) > MAX_BATCH_BYTES:
            self.flush()
        self._batch.append(frame)
        self._batch_bytes += len(frame)
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush_due)

    def flush(self) -> None:
        """Send what is queued."""
        if self._batch:
            self._send_batch()
            self._checks_left = CHECKS_AFTER_SENDING

    def forget(self, number: int, *, is_own: bool) -> None:
        """A stream is over."""
        if is_own:
            self._own.pop(number, None)
        else:
            self._peers.pop(number, None)

    def _flush_due(self) -> None:
        self._is_flush_due = False
        self.flush()

    def _send_batch(self) -> None:
        header = encode_header(Header(self._own_id, self._session, self._peer_session, self._sent))
        batch = b"".join((header, *self._batch))
        self._sent += 1
        self._batch, self._batch_bytes = [], HEADER_BYTES
        self._send(batch)

    def _fail(self, reason: str) -> None:
        """Every stream is over, and what was queued for them is dropped."""
        ends: list[_End] = [*self._own.values(), *self._peers.values()]
        self._own, self._peers = {}, {}
        self._batch, self._batch_bytes = [], HEADER_BYTES
        if ends:
            log.warning("link_failed", peer=self._peer_id, reason=reason, streams=len(ends))
        for end in ends:
            end.fail(CloseReason.UNAVAILABLE)

    def _take(self, frame: Frame) -> None:
        if frame.kind is Kind.OPEN:
            self._accept(frame)
            return
        end: _End | None = (self._own if frame.is_receivers else self._peers).get(frame.stream)
        if end is not None and end.take(frame):
            self.forget(frame.stream, is_own=frame.is_receivers)

    def _accept(self, frame: Frame) -> None:
        if frame.stream in self._peers or len(self._opening) >= MAX_OPENING:
            refusal = bytes([CloseReason.UNAVAILABLE])
            self.write(frame.stream, Kind.REFUSED, refusal, is_receivers=True)
            return
        accepted = _Accepted(self, frame.stream)
        self._peers[frame.stream] = accepted
        task = asyncio.create_task(self._open_for_peer(accepted, frame.payload.decode("ascii", "replace")))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open_for_peer(self, accepted: "_Accepted", device_id: str) -> None:
        try:
            stream = await self._open_device(device_id, accepted)
        except Exception as error:
            if not isinstance(error, AdmittanceError):
                log.error("open_for_peer_failed", exc_info=error)
            accepted.refused(_reason_of(error))
        else:
            accepted.connected(stream)


class _Opened:
    """A stream that this node opened: `Stream` to the app's connection here."""

    def __init__(self, link: Link, number: int, sink: StreamSink) -> None:
        self.number = number
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._link: Link | None = link
        self._sink = sink

    def data(self, fragment: bytes, *, final: bool) -> None:
        self._write(Kind.DATA if final else Kind.MORE, bytes(fragment))

    def credit(self, frames: int) -> None:
        self._write(Kind.CREDIT, frames.to_bytes(2, "big"))

    def close(self, reason: CloseReason) -> None:
        self._write(Kind.CLOSE, bytes([reason]))
        if self._link is not None:
            self._link.forget(self.number, is_own=True)
            self._link = None

    def take(self, frame: Frame) -> bool:
        kind, payload = frame.kind, frame.payload
        if kind is Kind.OPENED:
            if not self.opened.done():
                self.opened.set_result(None)
        elif kind is Kind.CLOSE or kind is Kind.REFUSED:
            self.fail(_reason_in(payload))
            return True
        elif not self.opened.done():
            # What came before was sent before this node heard anything of the peer, and is lost.
            self._write(Kind.CLOSE, bytes([CloseReason.UNAVAILABLE]))
            self.fail(CloseReason.UNAVAILABLE)
            return True
        elif kind is Kind.CREDIT:
            self._sink.credit(int.from_bytes(payload, "big"))
        else:
            self._sink.data(payload, final=kind is Kind.DATA)
        return False

    def fail(self, reason: CloseReason) -> None:
        self._link = None
        if self.opened.done():
            self._sink.closed(reason)
        else:
            self.opened.set_exception(_error_of(reason))

    def _write(self, kind: Kind, payload: bytes) -> None:
        if self._link is not None:
            self._link.write(self.number, kind, payload, is_receivers=False)


class _Accepted:
    """A stream that the peer opened: `StreamSink` to the device's connection here."""

    def __init__(self, link: Link, number: int) -> None:
        self._link: Link | None = link
        self._number = number
        self._stream: Stream | None = None
        self._is_told = False

    def connected(self, stream: Stream) -> None:
        if self._link is None:
            stream.close(CloseReason.NORMAL)
            return
        self._stream = stream
        self._tell()

    def refused(self, reason: CloseReason) -> None:
        self._end(Kind.REFUSED, reason)

    def data(self, fragment: bytes, *, final: bool) -> None:
        self._tell()
        self._write(Kind.DATA if final else Kind.MORE, bytes(fragment))

    def credit(self, frames: int) -> None:
        self._tell()
        self._write(Kind.CREDIT, frames.to_bytes(2, "big"))

    def closed(self, reason: CloseReason) -> None:
        self._end(Kind.CLOSE, reason)

    def take(self, frame: Frame) -> bool:
        stream, kind, payload = self._stream, frame.kind, frame.payload
        if kind is Kind.CLOSE:
            self.fail(_reason_in(payload))
            return True
        if stream is None:
            return False
        if kind is Kind.DATA or kind is Kind.MORE:
            stream.data(payload, final=kind is Kind.DATA)
        elif kind is Kind.CREDIT:
            stream.credit(int.from_bytes(payload, "big"))
        return False

    def fail(self, reason: CloseReason) -> None:
        self._link = None
        if self._stream is not None:
            self._stream.close(reason)

    def _tell(self) -> None:
        """The peer hears that the stream is open before it hears anything on it."""
        if not self._is_told:
            self._is_told = True
            self._write(Kind.OPENED)

    def _end(self, kind: Kind, reason: CloseReason) -> None:
        self._write(kind, bytes([reason]))
        if self._link is not None:
            self._link.forget(self._number, is_own=False)
            self._link = None

    def _write(self, kind: Kind, payload: bytes = b"") -> None:
        if self._link is not None:
            self._link.write(self._number, kind, payload, is_receivers=True)


def _reason_of(error: Exception) -> CloseReason:
    if isinstance(error, DeviceOffline):
        return CloseReason.OFFLINE
    return CloseReason.QUOTA if isinstance(error, QuotaExceeded) else CloseReason.UNAVAILABLE


def _reason_in(payload: bytes) -> CloseReason:
    try:
        return CloseReason(int.from_bytes(payload, "big"))
    except ValueError:
        return CloseReason.UNAVAILABLE


def _error_of(reason: CloseReason) -> AdmittanceError:
    if reason is CloseReason.OFFLINE:
        return DeviceOffline("The device is not connected.")
    if reason is CloseReason.QUOTA:
        return QuotaExceeded("The device has no room for another stream.")
    return Unavailable("The node of the device can't open a stream now.")
