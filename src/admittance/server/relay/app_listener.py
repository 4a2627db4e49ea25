"""An app's WebSocket: one stream to one device, one CoAP message in each binary message."""

import struct
from collections import deque
from typing import TYPE_CHECKING, Final

from picows import WSFrame, WSTransport

from admittance.errors import (
    AuthenticationFailed,
    DeviceOffline,
    Malformed,
    NotAllowed,
    NotFound,
    QuotaExceeded,
    Unavailable,
)
from admittance.server.relay.authentication import PresentedToken
from admittance.server.relay.connection import BINARY, CONTINUATION, CREDIT, PROVING, Connection
from admittance.server.relay.ports import Stream
from admittance.server.relay.settings import MAX_PENDING_BYTES
from admittance.server.relay.tickets import AppIdentity
from admittance.wire import message, relay
from admittance.wire.relay import CloseCode, CloseReason, RelayTicket

if TYPE_CHECKING:
    from admittance.server.relay.node import RelayNode

# The first byte of a WebSocket frame (RFC 6455, section 5.2).
_FIN: Final = 0x80
_IS_BINARY: Final = 0x02
_IS_CONTINUATION: Final = 0x00
_LONG: Final = struct.Struct(">BBH").pack
WATCH_EVERY_S: Final = 3600.0
_MAX_PAYLOAD = relay.MAX_PAYLOAD_BYTES


class AppConnection(Connection):
    """Awaits the ticket, if the upgrade brought no token; is proven; ends. A `StreamSink` to the device's side.

    `presented` is the token of the upgrade, whose proof was checked already.
    """

    __slots__ = (
        "_credit",
        "_in_message",
        "_incoming",
        "_outgoing",
        "_pending",
        "_pending_bytes",
        "_presented",
        "_stream",
        "_taken",
        "_touched",
        "device_id",
        "identity",
    )

    def __init__(self, node: "RelayNode", device_id: str, presented: PresentedToken | None) -> None:
        super().__init__(node, node.settings.app_allowance)
        self.device_id = device_id
        self.identity: AppIdentity | None = None
        self._presented = presented
        self._stream: Stream | None = None
        self._credit = 0
        self._incoming = 0
        self._pending: deque[tuple[bytes, bool]] = deque()
        self._pending_bytes = 0
        self._outgoing: list[tuple[bytes, bool]] = []
        self._touched = False
        self._in_message = False
        self._taken = 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        super().on_ws_connected(transport)
        if self._presented is not None:
            self.pause(PROVING)
            self.node.spawn(self._prove(self._presented))
            self._presented = None

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.silent = 0
        if frame.msg_type != BINARY or not frame.fin or frame.rsv1 or frame.rsv2 or frame.rsv3 or self._incoming:
            self._unusual(frame)
            return
        size = frame.payload_size
        if self._credit and 0 < size <= _MAX_PAYLOAD and self._stream is not None and not self._pending:
            self._credit -= 1
            self.idle = 0
            node = self.node
            node.more_follows = not frame.last_in_buffer
            self._stream.data(frame.get_payload_as_bytes(), final=True)
            node.more_follows = False
            if not self._meter.spend(1, size):
                self.make_up()
        else:
            self._take(frame.get_payload_as_bytes(), final=True)

    def data(self, fragment: bytes, *, final: bool) -> None:
        """See `StreamSink.data`."""
        self._outgoing.append((fragment, final))
        if not self._touched:
            self._touched = True
            self.node.touched(self)

    def credit(self, frames: int) -> None:
        """See `StreamSink.credit`."""
        if self._credit + frames > relay.MAX_CREDIT:
            self._end(CloseCode.MALFORMED, CloseReason.PROTOCOL)
            return
        self._credit += frames
        if self._pending:
            self._send_pending()

    def closed(self, reason: CloseReason) -> None:
        """See `StreamSink.closed`."""
        self._stream = None
        self.flush()
        text = self.node.retry_after() if reason.close_code is CloseCode.UNAVAILABLE else ""
        self.close(reason.close_code, text)

    def flush(self) -> None:
        """Send what the device sent in this turn, in one write."""
        self._touched = False
        outgoing, self._outgoing = self._outgoing, []
        if self.closing or not outgoing:
            return
        if len(outgoing) == 1:
            fragment, final = outgoing[0]
            self.transport.send(CONTINUATION if self._in_message else BINARY, fragment, final)
            self._in_message = not final
        else:
            self.transport.underlying_transport.write(self._framed(outgoing))
        self.idle = 0
        self.node.counters.to_apps += len(outgoing)
        self._taken += len(outgoing)
        if self._taken >= relay.CREDIT_BATCH and not self.blocked:
            self._grant()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._taken >= relay.CREDIT_BATCH:
            self._grant()

    def end(self, reason: CloseReason) -> None:
        """End the stream from this side, and the connection with it."""
        text = self.node.retry_after() if reason.close_code is CloseCode.UNAVAILABLE else ""
        self._end(reason.close_code, reason, text)

    def sweep(self, idle_sweeps: int) -> None:
        if self.identity is not None and self.node.clock() >= self.identity.expires_at:
            self._end(CloseCode.NOT_AUTHENTICATED, CloseReason.NORMAL)
        super().sweep(idle_sweeps)

    def _watch_access(self) -> None:
        """End the stream when what the account may do with the device ends, and not a moment later."""
        until = None if self.identity is None else self.identity.access_until
        if until is None or self.closing:
            return
        left_s = until - self.node.clock()
        if left_s > 0:
            self.node.loop.call_later(min(left_s, WATCH_EVERY_S), self._watch_access)
        else:
            self._end(CloseCode.REVOKED, CloseReason.REVOKED)

    def too_slow(self) -> None:
        self._end(CloseCode.IDLE, CloseReason.IDLE)

    def idled(self) -> None:
        self._end(CloseCode.IDLE, CloseReason.IDLE)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        super().on_ws_disconnected(transport)
        self._end_stream(CloseReason.NORMAL)

    def _end(self, code: CloseCode, reason: CloseReason, text: str = "") -> None:
        self._end_stream(reason)
        self.close(code, text)

    def _end_stream(self, reason: CloseReason) -> None:
        stream, self._stream = self._stream, None
        self._pending.clear()
        if stream is not None:
            stream.close(reason)

    def _framed(self, fragments: list[tuple[bytes, bool]]) -> bytes:
        """WebSocket frames (RFC 6455, section 5.2) of fragments, of which none is longer than 8,192 bytes."""
        parts = []
        for fragment, final in fragments:
            first = (_IS_CONTINUATION if self._in_message else _IS_BINARY) | (_FIN if final else 0)
            self._in_message = not final
            size = len(fragment)
            parts.append(bytes((first, size)) if size < 126 else _LONG(first, 126, size))
            parts.append(fragment)
        return b"".join(parts)

    def _grant(self) -> None:
        if self._stream is not None:
            self._stream.credit(self._taken)
            self._taken = 0

    def _unusual(self, frame: WSFrame) -> None:
        """A part of a longer message, or a frame that carries no data."""
        is_first = frame.msg_type == BINARY and not self._incoming
        is_next = frame.msg_type == CONTINUATION and self._incoming
        if frame.rsv1 or frame.rsv2 or frame.rsv3 or not (is_first or is_next):
            if frame.msg_type in (BINARY, CONTINUATION):
                self._end(CloseCode.MALFORMED, CloseReason.PROTOCOL)
            else:
                self.control(frame)
            return
        self._take(frame.get_payload_as_bytes(), final=bool(frame.fin))

    def _take(self, payload: bytes, *, final: bool) -> None:
        if self.closing:
            return
        self._incoming += len(payload)
        if self.identity is None and not self.paused & PROVING:
            self._take_ticket(payload, final=final)
            return
        if self._incoming > relay.MAX_MESSAGE_BYTES:
            self._end(CloseCode.TOO_LARGE, CloseReason.TOO_LARGE)
        elif not payload:
            self._end(CloseCode.MALFORMED, CloseReason.PROTOCOL)
        elif self._pending_bytes + len(payload) > MAX_PENDING_BYTES:
            self._end(CloseCode.QUOTA, CloseReason.QUOTA)
        else:
            self._queue(payload, final=final)
            if not self._meter.spend(1, len(payload)):
                self.make_up()

    def _queue(self, payload: bytes, *, final: bool) -> None:
        fragments = relay.fragments(payload)
        last = len(fragments) - 1
        self._pending.extend((fragment, final and index == last) for index, fragment in enumerate(fragments))
        self._pending_bytes += len(payload)
        if final:
            self._incoming = 0
        self._send_pending()

    def _send_pending(self) -> None:
        """Send what there is credit for; read no more while something is left."""
        stream = self._stream
        while stream is not None and self._pending and self._credit:
            fragment, final = self._pending.popleft()
            self._pending_bytes -= len(fragment)
            self._credit -= 1
            self.idle = 0
            stream.data(fragment, final=final)
        if self._pending:
            self.pause(CREDIT)
        else:
            self.resume(CREDIT)

    def _take_ticket(self, payload: bytes, *, final: bool) -> None:
        self._incoming = 0
        try:
            ticket = message.decode(payload, RelayTicket, relay.MAX_HANDSHAKE_BYTES)
        except Malformed:
            self.close(CloseCode.MALFORMED)
            return
        if not final:
            self.close(CloseCode.MALFORMED)
            return
        self.pause(PROVING)
        self.node.spawn(self._prove(ticket))

    async def _prove(self, shown: PresentedToken | RelayTicket) -> None:
        try:
            stream = await self.node.admit_app(self, shown)
        except AuthenticationFailed:
            self.close(CloseCode.NOT_AUTHENTICATED)
        except (NotFound, DeviceOffline):
            self.close(CloseCode.OFFLINE)
        except NotAllowed:
            self.close(CloseCode.REVOKED)
        except QuotaExceeded:
            self.close(CloseCode.QUOTA)
        except Unavailable:
            self.close(CloseCode.UNAVAILABLE, self.node.retry_after())
        else:
            self._opened(stream)

    def _opened(self, stream: Stream) -> None:
        if self.closing:
            stream.close(CloseReason.NORMAL)
            return
        self._stream = stream
        self._credit = relay.INITIAL_CREDIT
        self._watch_access()
        self._send_pending()
        self.resume(PROVING)
