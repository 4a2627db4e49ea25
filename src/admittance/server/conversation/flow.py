"""Whole CoAP messages over one end of a stream: fragments, and credit both ways."""

from collections import deque

from admittance.errors import Malformed, QuotaExceeded, TooLarge
from admittance.server.relay.ports import Stream
from admittance.wire import relay

MAX_QUEUED_BYTES = 4 * relay.MAX_MESSAGE_BYTES


class MessageFlow:
    """Sends as credit allows, keeps the rest for later, and grants credit for what it takes."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._credit = relay.INITIAL_CREDIT
        self._queued: deque[tuple[bytes, bool]] = deque()
        self._queued_bytes = 0
        self._window = relay.INITIAL_CREDIT
        self._parts: list[bytes] = []
        self._part_bytes = 0

    def send(self, message: bytes) -> None:
        """Send a message (1 to 65,536 bytes), now or as credit comes.

        Raises `TooLarge`, or `QuotaExceeded` when more than 262,144 bytes wait for credit already.
        """
        if len(message) > relay.MAX_MESSAGE_BYTES:
            raise TooLarge(f"A message may have at most {relay.MAX_MESSAGE_BYTES} bytes.")
        if self._queued_bytes + len(message) > MAX_QUEUED_BYTES:
            raise QuotaExceeded("The device takes no more for now.")
        fragments = relay.fragments(message)
        last = len(fragments) - 1
        self._queued.extend((fragment, index == last) for index, fragment in enumerate(fragments))
        self._queued_bytes += len(message)
        self._send_queued()

    def take_credit(self, frames: int) -> None:
        """The device takes that many fragments more. Raises `Malformed` beyond 65,535 in all."""
        if self._credit + frames > relay.MAX_CREDIT:
            raise Malformed("a relay grant of too much credit")
        self._credit += frames
        self._send_queued()

    def take(self, fragment: bytes, *, final: bool) -> bytes | None:
        """The message that `fragment` ends, if it ends one. Raises `Malformed` beyond 65,536 bytes or the credit."""
        if not self._window:
            raise Malformed("a relay fragment beyond the credit")
        self._window -= 1
        self._part_bytes += len(fragment)
        if self._part_bytes > relay.MAX_MESSAGE_BYTES:
            raise Malformed("a relayed message that is too long")
        self._parts.append(fragment)
        if self._window == relay.INITIAL_CREDIT - relay.CREDIT_BATCH:
            self._window += relay.CREDIT_BATCH
            self._stream.credit(relay.CREDIT_BATCH)
        if not final:
            return None
        message = b"".join(self._parts)
        self._parts.clear()
        self._part_bytes = 0
        return message

    def _send_queued(self) -> None:
        while self._queued and self._credit:
            fragment, final = self._queued.popleft()
            self._queued_bytes -= len(fragment)
            self._credit -= 1
            self._stream.data(fragment, final=final)
