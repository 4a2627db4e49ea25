"""The device's side of its WebSocket to the relay: streams, credit and fragments, without any I/O."""

from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

from admittance.errors import Malformed, Misuse, QuotaExceeded, TooLarge
from admittance.wire import relay
from admittance.wire.relay import CloseReason, Frame

MAX_STREAMS = 64
MAX_QUEUED_BYTES = 4 * relay.MAX_MESSAGE_BYTES


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """An app opened a stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """A whole CoAP message."""

    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class StreamClosed:
    """The other side ended the stream, or the connection was lost; not told of a stream that `close` ended."""

    stream: int
    reason: CloseReason


Event: TypeAlias = StreamOpened | StreamMessage | StreamClosed


@dataclass(slots=True)
class _Stream:
    """`credit` is what we may send, `window` what the other side may."""

    credit: int = relay.INITIAL_CREDIT
    window: int = relay.INITIAL_CREDIT
    queued: deque[tuple[bytes, bool]] = field(default_factory=deque)
    queued_bytes: int = 0
    parts: list[bytes] = field(default_factory=list)
    part_bytes: int = 0


class DeviceMux:
    """Everything after `RelayAccepted`. Stream 0, the server's own, is open from the start.

    After `Malformed` the connection can't go on: close it and make another machine for the next one.
    """

    def __init__(self, *, max_streams: int = MAX_STREAMS) -> None:
        self._max_streams = max_streams
        self._streams: dict[int, _Stream] = {relay.SERVER_STREAM: _Stream()}
        self._last_opened = relay.SERVER_STREAM
        self._to_grant: list[int] = []
        self._outgoing: list[bytes] = []
        self._events: list[Event] = []

    def receive(self, data: bytes) -> None:
        """Take a binary message. Raises `Malformed` for what the protocol doesn't allow a node."""
        for frame in relay.decode_frames(data):
            if frame.type == relay.OPEN:
                self._opened(frame.stream)
                continue
            stream = self._streams.get(frame.stream)
            if stream is not None:
                self._take(frame, stream)
            elif frame.stream > self._last_opened:
                raise Malformed("a relay frame of a stream that was never opened")

    def send(self, stream: int, message: bytes) -> None:
        """Send a CoAP message (1 to 65,536 bytes), now or as credit comes; on a stream that is over, do nothing.

        Raises:
            QuotaExceeded: more than 262,144 bytes wait for credit already. The message is not sent.
            TooLarge: the message is too long.
        """
        if not message:
            raise Misuse("an empty message can't be sent")
        if len(message) > relay.MAX_MESSAGE_BYTES:
            raise TooLarge(f"A message may have at most {relay.MAX_MESSAGE_BYTES} bytes.")
        state = self._streams.get(stream)
        if state is None:
            return
        if state.queued_bytes > MAX_QUEUED_BYTES - len(message):
            raise QuotaExceeded("The other side takes no more for now.")
        fragments = relay.fragments(message)
        last = len(fragments) - 1
        state.queued.extend((fragment, index == last) for index, fragment in enumerate(fragments))
        state.queued_bytes += len(message)
        self._send_queued(stream, state)

    def close(self, stream: int, reason: CloseReason = CloseReason.NORMAL) -> None:
        """End a stream; what waits for credit is dropped. Ending it again does nothing.

        Raises `Misuse` for stream 0, which is always open.
        """
        if stream == relay.SERVER_STREAM:
            raise Misuse("stream 0 is always open")
        if self._streams.pop(stream, None) is not None:
            self._outgoing.append(relay.close_frame(stream, reason))

    def lost(self) -> None:
        """The connection is gone: every stream but 0 ends with `StreamClosed`, and nothing is sent any more."""
        ended = [stream for stream in self._streams if stream != relay.SERVER_STREAM]
        self._events += [StreamClosed(stream, CloseReason.UNAVAILABLE) for stream in ended]
        self._streams.clear()
        self._outgoing.clear()

    def drain(self) -> tuple[bytes, ...]:
        """The binary messages to send now, in order. The other side's credit grows with them and not before."""
        self._grant()
        messages = relay.batches(self._outgoing)
        self._outgoing.clear()
        return tuple(messages)

    def events(self) -> tuple[Event, ...]:
        """What happened since the last call, in order."""
        events = tuple(self._events)
        self._events.clear()
        return events

    @property
    def streams(self) -> tuple[int, ...]:
        """The streams that are open."""
        return tuple(self._streams)

    def _opened(self, stream: int) -> None:
        if stream <= self._last_opened:
            raise Malformed("a relay stream that was opened before")
        self._last_opened = stream
        if len(self._streams) > self._max_streams:
            self._outgoing.append(relay.close_frame(stream, CloseReason.QUOTA))
            return
        self._streams[stream] = _Stream()
        self._events.append(StreamOpened(stream))

    def _take(self, frame: Frame, stream: _Stream) -> None:
        if frame.type == relay.CREDIT:
            stream.credit = added_credit(stream.credit, frame.credit)
            self._send_queued(frame.stream, stream)
        elif frame.type == relay.CLOSE:
            del self._streams[frame.stream]
            self._events.append(StreamClosed(frame.stream, frame.reason))
        else:
            self._take_fragment(frame, stream)

    def _take_fragment(self, frame: Frame, stream: _Stream) -> None:
        if not stream.window:
            raise Malformed("a relay fragment beyond the credit")
        stream.window -= 1
        stream.part_bytes += len(frame.payload)
        if stream.part_bytes > relay.MAX_MESSAGE_BYTES:
            raise Malformed("a relayed message that is too long")
        stream.parts.append(frame.payload)
        if frame.type == relay.DATA:
            self._events.append(StreamMessage(frame.stream, b"".join(stream.parts)))
            stream.parts.clear()
            stream.part_bytes = 0
        if stream.window == relay.INITIAL_CREDIT - relay.CREDIT_BATCH:
            self._to_grant.append(frame.stream)

    def _grant(self) -> None:
        for number in self._to_grant:
            stream = self._streams.get(number)
            if stream is not None:
                frames = relay.INITIAL_CREDIT - stream.window
                stream.window = relay.INITIAL_CREDIT
                self._outgoing.append(relay.credit_frame(number, frames))
        self._to_grant.clear()

    def _send_queued(self, number: int, stream: _Stream) -> None:
        while stream.queued and stream.credit:
            fragment, final = stream.queued.popleft()
            stream.queued_bytes -= len(fragment)
            stream.credit -= 1
            self._outgoing.append(relay.data_frame(number, fragment, final=final))


def added_credit(credit: int, granted: int) -> int:
    """Credit after a grant. Raises `Malformed` for more than 65,535 in all: an honest side never grants so much."""
    if credit + granted > relay.MAX_CREDIT:
        raise Malformed("a relay grant of too much credit")
    return credit + granted
