"""What the WebSockets of devices and apps have in common: heartbeats, control frames, allowance, and the close."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from admittance.protocol.relay.limits import Allowance, Meter
from admittance.server.relay.gate import source_of
from admittance.server.transports import resume_reading
from admittance.wire.relay import CloseCode

if TYPE_CHECKING:
    from admittance.server.relay.node import RelayNode

BINARY: Final = WSMsgType.BINARY
CONTINUATION: Final = WSMsgType.CONTINUATION
TEXT: Final = WSMsgType.TEXT
PING: Final = WSMsgType.PING
PONG: Final = WSMsgType.PONG

SILENT_SWEEPS: Final = 3

# Why nothing is read for now: bits of `Connection.paused`.
PROVING: Final = 1
CREDIT: Final = 2
ALLOWANCE: Final = 4


class Connection(WSListener):
    """One WebSocket. `silent` and `idle` count sweeps since the last frame, and since the last that carried data.

    `_write` takes WebSocket frames: to let picows make them costs more. It may not be used after a close was sent.
    """

    __slots__ = ("_meter", "_write", "blocked", "closing", "idle", "node", "paused", "silent", "transport")

    transport: WSTransport
    _write: Callable[[bytes], None]

    def __init__(self, node: "RelayNode", allowance: Allowance) -> None:
        self.node = node
        self._meter = Meter(allowance, node.time())
        self.silent = self.idle = self.blocked = self.paused = 0
        self.closing = False

    @property
    def descriptor(self) -> int:
        return int(self.transport.underlying_transport.get_extra_info("socket").fileno())

    @property
    def source(self) -> str:
        """The other side's IP address."""
        return source_of(self.transport.underlying_transport.get_extra_info("peername"))

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self._write = transport.underlying_transport.write
        transport.request.headers.clear()
        transport.response.headers.clear()
        self.node.opened(self)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.closing = True
        self.node.gone(self)

    def pause_writing(self) -> None:
        """The other side takes less than it is sent."""
        self.blocked = 1

    def resume_writing(self) -> None:
        self.blocked = 0

    def close(self, code: CloseCode, reason: str = "") -> None:
        """Say why and end; the other side has `CLOSE_TIMEOUT_S` to answer."""
        if self.closing:
            return
        self.closing = True
        if self.paused:
            self.paused = 0
            resume_reading(self.transport.underlying_transport, self.node.loop)
        self.transport.send_close(cast(WSCloseCode, int(code)), reason.encode())
        self.node.closing(self)

    def abort(self) -> None:
        """End without a word."""
        self.transport.underlying_transport.abort()

    def sweep(self, idle_sweeps: int) -> None:
        """Called at even intervals: ask a silent peer for a sign of life, give one up that stays silent."""
        if self.blocked:
            self.blocked += 1
        self.silent += 1
        self.idle += 1
        if self.silent >= SILENT_SWEEPS or self.blocked > SILENT_SWEEPS:
            self.node.counters.silent += 1
            self.too_slow()
        elif self.idle > idle_sweeps:
            self.idled()
        elif self.silent > 1 and not self.closing:
            self.transport.send_ping()

    def too_slow(self) -> None:
        """The peer is silent, or takes nothing."""
        self.close(CloseCode.IDLE)

    def idled(self) -> None:
        """Nothing was carried for too long."""

    def pause(self, why: int) -> None:
        """Read nothing for a reason."""
        if not self.paused and not self.closing:
            self.transport.underlying_transport.pause_reading()
        self.paused |= why

    def resume(self, why: int) -> None:
        """A reason is gone; read again if it was the last."""
        if not self.paused:
            return
        self.paused &= ~why
        if not self.paused and not self.closing:
            self.silent = 0
            resume_reading(self.transport.underlying_transport, self.node.loop)

    def make_up(self) -> None:
        """More came than is allowed: read nothing until it is made up for."""
        if not self.paused & ALLOWANCE:
            self.pause(ALLOWANCE)
            self._resume_when_made_up()

    def _resume_when_made_up(self) -> None:
        owed_s = self._meter.owed_s(self.node.time())
        if owed_s and not self.closing:
            self.node.loop.call_later(owed_s, self._resume_when_made_up)
        else:
            self.resume(ALLOWANCE)

    def control(self, frame: WSFrame) -> None:
        """Take a frame that carries no data: ping, pong, close; or one that is against the rules."""
        if frame.msg_type == PING or frame.msg_type == PONG:
            if frame.msg_type == PING and not self.closing:
                self.transport.send_pong(frame.get_payload_as_bytes())
            if not self._meter.spend(1, frame.payload_size):
                self.make_up()
        elif frame.msg_type == WSMsgType.CLOSE:
            self._answer_close()
        else:
            self.close(CloseCode.MALFORMED)

    def _answer_close(self) -> None:
        if not self.closing:
            self.closing = True
            self.transport.send_close(WSCloseCode.OK)
        self.transport.disconnect()
