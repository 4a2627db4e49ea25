"""CoAP's message layer over UDP, without a socket (RFC 7252, section 4).

A confirmable message is sent again, with growing gaps, until its peer acknowledges or resets it; a message that comes
twice is delivered once, and answered again as it was the first time. What it keeps is bounded per peer and in all.
"""

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

from admittance.errors import Malformed
from admittance.wire.coap import codes, datagram
from admittance.wire.coap.datagram import HEADER_BYTES, Datagram, Type
from admittance.wire.coap.message import CoapMessage

ACK_TIMEOUT_S: Final = 2.0
ACK_RANDOM_FACTOR: Final = 1.5
MAX_RETRANSMIT: Final = 4
EXCHANGE_LIFETIME_S: Final = 247.0
ACK_DELAY_S: Final = 0.5

MAX_PEERS: Final = 256
MAX_IN_FLIGHT: Final = 4
MAX_QUEUED: Final = 64
MAX_REMEMBERED: Final = 128

Peer: TypeAlias = Hashable
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A request or a response of this peer, for the first time."""

    message: CoapMessage
    peer: Peer


@dataclass(frozen=True, slots=True)
class DeliveryFailed:
    """A confirmable message with this token was not acknowledged, or the peer wants none of it."""

    token: bytes
    peer: Peer


Event: TypeAlias = MessageReceived | DeliveryFailed


@dataclass(slots=True)
class _Confirmable:
    """A confirmable message that waits, or is in flight: then it is sent again at `due_at`."""

    message_id: int
    data: bytes
    token: bytes
    timeout_s: float = 0.0
    due_at: float = 0.0
    retransmitted: int = 0


@dataclass(slots=True)
class _Received:
    """A message that came, and the datagram that answered it, if one did."""

    at: float
    answer: bytes | None = None


@dataclass(slots=True)
class _Unanswered:
    """A request that came: of a confirmable one the message id, and when to acknowledge it without a response."""

    message_id: int | None
    acknowledge_at: float


@dataclass(slots=True)
class _Link:
    """All that is known of one peer."""

    next_id: int
    in_flight: dict[int, _Confirmable] = field(default_factory=dict)
    queued: deque[_Confirmable] = field(default_factory=deque)
    received: dict[int, _Received] = field(default_factory=dict)
    unanswered: dict[bytes, _Unanswered] = field(default_factory=dict)

    @property
    def is_idle(self) -> bool:
        return not (self.in_flight or self.queued)


class DatagramEndpoint:
    """The message layer of one UDP socket.

    `random` gives that many random bytes; `now` is monotonic, in seconds. A peer is what the socket calls an address.
    """

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._links: dict[Peer, _Link] = {}
        self._outgoing: list[tuple[bytes, Peer]] = []
        self._events: list[Event] = []

    def send(self, message: CoapMessage, peer: Peer, now: float, *, confirmable: bool = True) -> None:
        """Send a request or a response.

        A response to a request that is not yet acknowledged travels with the acknowledgement, one to a
        non-confirmable request is non-confirmable. Beyond `MAX_IN_FLIGHT` unacknowledged messages others wait; one
        beyond `MAX_QUEUED` fails. Raises `Misuse` for a message that fits no datagram.
        """
        link = self._link(peer)
        asked = link.unanswered.pop(message.token, None) if codes.is_response(message.code) else None
        if asked is not None and asked.message_id is not None:
            self._answer(link, peer, asked.message_id, message)
        elif asked is not None or not confirmable:
            self._transmit(Datagram(Type.NON_CONFIRMABLE, _take_id(link), message), peer)
        elif len(link.queued) == MAX_QUEUED:
            self._events.append(DeliveryFailed(message.token, peer))
        else:
            message_id = _take_id(link)
            data = datagram.encode(Datagram(Type.CONFIRMABLE, message_id, message))
            link.queued.append(_Confirmable(message_id, data, message.token))
            self._start_queued(link, peer, now)

    def receive(self, data: bytes, peer: Peer, now: float) -> None:
        """Take a datagram in. What does not decode is reset if it is confirmable, else ignored."""
        try:
            received = datagram.decode(data)
        except Malformed:
            if len(data) >= HEADER_BYTES and data[0] >> 4 == 1 << 2 | Type.CONFIRMABLE:
                self._transmit(_empty(Type.RESET, int.from_bytes(data[2:HEADER_BYTES], "big")), peer)
            return
        link = self._link(peer)
        if received.type in (Type.ACKNOWLEDGEMENT, Type.RESET):
            self._finish(link, received, peer, now)
        elif received.message.code == codes.EMPTY:
            self._transmit(_empty(Type.RESET, received.message_id), peer)
        elif received.message_id in link.received and not _is_outdated(link.received[received.message_id], now):
            answer = link.received[received.message_id].answer
            if answer is not None:
                self._outgoing.append((answer, peer))
        else:
            self._deliver(link, received, peer, now)

    def drain(self) -> tuple[tuple[bytes, Peer], ...]:
        """The datagrams to send now."""
        outgoing, self._outgoing = tuple(self._outgoing), []
        return outgoing

    def events(self) -> tuple[Event, ...]:
        """What happened since the last call."""
        events, self._events = tuple(self._events), []
        return events

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is to be called next."""
        due = [sent.due_at for link in self._links.values() for sent in link.in_flight.values()]
        due += [asked.acknowledge_at for link in self._links.values() for asked in _to_acknowledge(link).values()]
        return min(due, default=None)

    def handle_timeout(self, now: float) -> None:
        """Send again what is not acknowledged, give up what was sent five times, acknowledge what has no response."""
        for peer, link in list(self._links.items()):
            for token, asked in _to_acknowledge(link).items():
                if asked.acknowledge_at <= now and asked.message_id is not None:
                    del link.unanswered[token]
                    self._answer(link, peer, asked.message_id, CoapMessage(codes.EMPTY))
            for sent in list(link.in_flight.values()):
                if sent.due_at <= now:
                    self._retransmit(link, peer, sent, now)

    def forget(self, peer: Peer) -> None:
        """Drop all that is known of a peer, and what waits for it, without an event."""
        self._links.pop(peer, None)

    def _deliver(self, link: _Link, received: Datagram, peer: Peer, now: float) -> None:
        message, is_confirmable = received.message, received.type is Type.CONFIRMABLE
        _put_last(link.received, received.message_id, _Received(now))
        if codes.is_request(message.code):
            message_id = received.message_id if is_confirmable else None
            _put_last(link.unanswered, message.token, _Unanswered(message_id, now + ACK_DELAY_S))
        else:
            self._stop_request(link, message.token)
            self._start_queued(link, peer, now)
            if is_confirmable:
                self._answer(link, peer, received.message_id, CoapMessage(codes.EMPTY))
        self._events.append(MessageReceived(message, peer))

    def _finish(self, link: _Link, received: Datagram, peer: Peer, now: float) -> None:
        """An acknowledgement or a reset; one that matches nothing in flight is ignored."""
        sent = link.in_flight.pop(received.message_id, None)
        if sent is None:
            return
        if received.type is Type.RESET:
            self._events.append(DeliveryFailed(sent.token, peer))
        elif received.message.code != codes.EMPTY and received.message.token == sent.token:
            self._events.append(MessageReceived(received.message, peer))
        self._start_queued(link, peer, now)

    def _stop_request(self, link: _Link, token: bytes) -> None:
        """A response tells that its request arrived, even if the acknowledgement got lost."""
        for message_id, sent in list(link.in_flight.items()):
            if sent.token == token and codes.is_request(sent.data[1]):
                del link.in_flight[message_id]

    def _start_queued(self, link: _Link, peer: Peer, now: float) -> None:
        while link.queued and len(link.in_flight) < MAX_IN_FLIGHT:
            sent = link.queued.popleft()
            spread = int.from_bytes(self._random(2), "big") / 0xFFFF
            sent.timeout_s = ACK_TIMEOUT_S * (1 + (ACK_RANDOM_FACTOR - 1) * spread)
            sent.due_at = now + sent.timeout_s
            link.in_flight[sent.message_id] = sent
            self._outgoing.append((sent.data, peer))

    def _retransmit(self, link: _Link, peer: Peer, sent: _Confirmable, now: float) -> None:
        if sent.retransmitted == MAX_RETRANSMIT:
            del link.in_flight[sent.message_id]
            self._events.append(DeliveryFailed(sent.token, peer))
            self._start_queued(link, peer, now)
            return
        sent.retransmitted += 1
        sent.timeout_s *= 2
        sent.due_at = now + sent.timeout_s
        self._outgoing.append((sent.data, peer))

    def _answer(self, link: _Link, peer: Peer, message_id: int, message: CoapMessage) -> None:
        """Acknowledge a confirmable message, with a response or empty, now and whenever it comes again."""
        data = self._transmit(Datagram(Type.ACKNOWLEDGEMENT, message_id, message), peer)
        if message_id in link.received:
            link.received[message_id].answer = data

    def _transmit(self, outgoing: Datagram, peer: Peer) -> bytes:
        data = datagram.encode(outgoing)
        self._outgoing.append((data, peer))
        return data

    def _link(self, peer: Peer) -> _Link:
        """The link to a peer, now the one used last; the one unused for longest makes room, idle ones first."""
        link = self._links.pop(peer, None)
        if link is None:
            if len(self._links) >= MAX_PEERS:
                self._evict()
            link = _Link(int.from_bytes(self._random(2), "big"))
        self._links[peer] = link
        return link

    def _evict(self) -> None:
        idle = (peer for peer, link in self._links.items() if link.is_idle)
        peer = next(idle, next(iter(self._links)))
        link = self._links.pop(peer)
        lost = [*link.in_flight.values(), *link.queued]
        self._events += [DeliveryFailed(sent.token, peer) for sent in lost]


def _empty(type_: Type, message_id: int) -> Datagram:
    return Datagram(type_, message_id, CoapMessage(codes.EMPTY))


def _take_id(link: _Link) -> int:
    message_id = link.next_id
    link.next_id = message_id + 1 & 0xFFFF
    return message_id


def _is_outdated(received: _Received, now: float) -> bool:
    return now - received.at > EXCHANGE_LIFETIME_S


def _to_acknowledge(link: _Link) -> dict[bytes, _Unanswered]:
    return {token: asked for token, asked in link.unanswered.items() if asked.message_id is not None}


def _put_last(known: dict[Key, Value], key: Key, value: Value) -> None:
    """Add an entry as the newest one; the oldest of a full dictionary makes room."""
    known.pop(key, None)
    if len(known) == MAX_REMEMBERED:
        del known[next(iter(known))]
    known[key] = value
