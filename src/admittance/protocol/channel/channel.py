"""The end-to-end channel: requests and answers both ways under OSCORE, by keys of EDHOC or a possession key.

A machine without I/O over any transport that carries whole CoAP messages. The initiator pins the responder's
credential, or shares a possession key with it; the responder lists who may come. Once open, both ends are alike.

What does not open under the channel's keys is dropped and counted, and nothing is said about it; too much of it ends
the channel. Requests are sent once: the transport repeats, or nobody does.
"""

from collections.abc import Callable, Hashable
from typing import Final, Self

from admittance.errors import (
    AdmittanceError,
    AuthenticationFailed,
    ChannelLost,
    ContextExhausted,
    Malformed,
    Refused,
    Unavailable,
)
from admittance.protocol.access.authz_info import (
    PossessionKey,
    PossessionOpening,
    Possessors,
    answer_update,
    is_update,
)
from admittance.protocol.channel.edhoc import ChannelKey, Responder
from admittance.protocol.channel.events import (
    Ended,
    Established,
    Event,
    ObservationEnded,
    RequestFailed,
    RequestReceived,
    ResponseReceived,
)
from admittance.protocol.channel.half_open import HalfOpen
from admittance.protocol.channel.handshake import Answering, EdhocOpening
from admittance.protocol.channel.incoming import Incoming
from admittance.protocol.channel.opening import Opening
from admittance.protocol.channel.oscore import oscore_option
from admittance.protocol.channel.outgoing import Outgoing
from admittance.protocol.channel.session import GRACE_S, Session
from admittance.wire.access import GrantedKey
from admittance.wire.channel import Credential, Entry
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import OSCORE

__all__ = [
    "Channel",
    "Ended",
    "Established",
    "Event",
    "ObservationEnded",
    "RequestFailed",
    "RequestReceived",
    "ResponseReceived",
]

REQUEST_TIMEOUT_S: Final = 30.0
HANDSHAKE_PAUSE_S: Final = 30.0
MAX_BAD_MESSAGES: Final = 64
# An off-path attacker can send datagrams in a peer's name: on a datagram transport far more are tolerated.
MAX_BAD_DATAGRAMS: Final = 1 << 14

STREAM_WHOLE_BYTES: Final = 3072
BLOCK_BYTES: Final = 1024


class Channel:
    """One end of a channel. `now` is a monotonic clock's time in seconds, `random` gives so many random bytes.

    After each call the program sends what `drain` gives and handles what `events` gives, and calls `handle_timeout`
    at `next_timeout`.
    """

    def __init__(
        self,
        *,
        random: Callable[[int], bytes],
        open_to: Callable[[frozenset[bytes], bytes], Opening] | None,
        answering: Answering | None,
        admission: bytes,
        datagrams: bool,
    ) -> None:
        """For `initiator`, `possessor` and `responder`, which see."""
        self._open_to = open_to
        self._answering = answering
        self._admission = admission
        self._max_bad = MAX_BAD_DATAGRAMS if datagrams else MAX_BAD_MESSAGES
        whole_bytes = BLOCK_BYTES if datagrams else STREAM_WHOLE_BYTES
        self._outbox: list[CoapMessage] = []
        self._events: list[Event] = []
        self._next_handle = 0
        self._outgoing = Outgoing(random, self._send, whole_bytes, BLOCK_BYTES)
        self._incoming = Incoming(self._send, self._take_handle, whole_bytes, BLOCK_BYTES)
        self._opening: Opening | None = None
        self._may_open_at = float("-inf")
        self._session: Session | None = None
        self._replaced: Session | None = None
        self._bad_messages = 0
        self._now = float("-inf")
        self._ended: AdmittanceError | None = None

    @classmethod
    def initiator(
        cls,
        own: ChannelKey,
        peer: Credential,
        *,
        random: Callable[[int], bytes],
        admission: bytes = b"",
        datagrams: bool = False,
    ) -> Self:
        """The end that opens the channel, to `peer` and nobody else.

        `admission` is posted first, for a guest whom the device may not list yet. `datagrams` tells that the
        transport is UDP: bodies go in smaller parts.
        """

        def open_to(taken: frozenset[bytes], admission: bytes) -> Opening:
            return EdhocOpening(own, peer, admission, taken, random)

        return cls(random=random, open_to=open_to, answering=None, admission=admission, datagrams=datagrams)

    @classmethod
    def possessor(cls, key: PossessionKey, *, random: Callable[[int], bytes], datagrams: bool = False) -> Self:
        """The end that opens the channel by a possession key, to whoever has the key besides."""

        def open_to(taken: frozenset[bytes], _admission: bytes) -> Opening:
            return PossessionOpening(key, taken, random)

        return cls(random=random, open_to=open_to, answering=None, admission=b"", datagrams=datagrams)

    @classmethod
    def responder(
        cls,
        own: ChannelKey,
        find: Callable[[bytes], Entry],
        *,
        random: Callable[[int], bytes],
        admit: Callable[[bytes], None] | None = None,
        half_open: "HalfOpen[Responder[Entry]] | None" = None,
        possessors: Possessors | None = None,
        peer: Hashable = None,
        datagrams: bool = False,
    ) -> Self:
        """The end that is opened, by whoever `find` knows.

        `find` gives the entry of a kid that may talk now, and raises `Refused` for others; it is asked again for each
        request. `admit` lists the guest of an admission that comes before the handshake. `half_open` may be shared by
        all channels of a program; `peer` tells this one's peer from others there. With `possessors` a possession key
        opens it, too.
        """
        shared = half_open if half_open is not None else HalfOpen()
        answering = Answering(own, find, admit, shared, possessors, random, peer)
        return cls(random=random, open_to=None, answering=answering, admission=b"", datagrams=datagrams)

    @property
    def is_established(self) -> bool:
        return self._session is not None and self._ended is None

    def request(self, message: CoapMessage, now: float, timeout_s: float = REQUEST_TIMEOUT_S) -> int:
        """Ask the peer; the handle of what `ResponseReceived` or `RequestFailed` will tell. Its token is given back
        in the answers and never sent.

        May be called before the channel is open. Raises `ChannelLost` if it is over, `TooLarge` and `QuotaExceeded`.
        """
        if self._ended is not None:
            raise ChannelLost(f"The channel is over: {self._ended}")
        handle = self._take_handle()
        self._outgoing.add(handle, message, now, timeout_s)
        self._run(now)
        return handle

    def respond(self, handle: int, message: CoapMessage) -> None:
        """Answer a request for good. Without effect if nobody waits for the answer any more. Raises `TooLarge`."""
        if self._ended is None:
            self._guarded(lambda: self._incoming.respond(handle, message, self._now))

    def notify(self, handle: int, message: CoapMessage) -> None:
        """Answer a request with an Observe option, which stays open; an error answer ends it.

        Raises `Misuse` if the request observes nothing, and `TooLarge`.
        """
        if self._ended is None:
            self._guarded(lambda: self._incoming.notify(handle, message, self._now))

    def cancel(self, handle: int) -> None:
        """Forget a request of ours; end it at the peer if it observes."""
        if self._ended is None:
            self._guarded(lambda: self._outgoing.cancel(handle))

    def receive(self, message: CoapMessage, now: float) -> None:
        """Take a message from the transport, whatever it holds."""
        if self._ended is not None:
            return
        self._guarded(lambda: self._receive(message, now))
        self._run(now)

    def drain(self) -> tuple[CoapMessage, ...]:
        """The messages to send, in this order."""
        messages, self._outbox = tuple(self._outbox), []
        return messages

    def events(self) -> tuple[Event, ...]:
        """What happened since the last call, in order."""
        self._collect()
        events, self._events = tuple(self._events), []
        return events

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is due: minus infinity, thus at once, for an initiator that has not begun."""
        if self._ended is not None:
            return None
        times = [self._outgoing.next_timeout(), self._incoming.next_timeout()]
        if self._opening is not None:
            times.append(self._opening.deadline)
        elif self._open_to is not None:
            times.append(max(self._may_open_at, self._session.renew_at if self._session else self._may_open_at))
        if self._replaced is not None:
            times.append(self._replaced.ends_at)
        return min((time for time in times if time is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        if self._ended is not None:
            return
        self._incoming.handle_timeout(now)
        self._guarded(lambda: self._outgoing.handle_timeout(now))
        self._run(now)

    def lost(self, reason: AdmittanceError) -> None:
        """The transport is gone, or the program gives the channel up: whatever waits is reported."""
        if self._ended is not None:
            return
        self._ended = reason
        self._outgoing.lose_all(reason)
        for session in self._sessions():
            self._incoming.lose(session)
        if self._answering is not None:
            self._answering.close()
        self._collect()
        self._events.append(Ended(reason))
        self._session = self._replaced = self._opening = None

    def _receive(self, message: CoapMessage, now: float) -> None:
        is_protected = message.option(OSCORE) is not None
        if codes.is_request(message.code):
            if is_protected:
                self._receive_request(message, now)
            else:
                self._receive_unprotected(message, now)
        elif self._opening is not None and message.token == self._opening.token:
            self._continue(lambda opening: opening.receive(message, now), now)
        elif is_protected:
            self._receive_response(message, now)
        elif message.code == codes.UNAUTHORIZED and self._outgoing.session_of(message.token) is not None:
            # The peer may have restarted without this session, or somebody says so: new keys will tell.
            self._begin_opening(now)

    def _receive_unprotected(self, request: CoapMessage, now: float) -> None:
        if self._answering is None:
            self._send(CoapMessage(codes.UNAUTHORIZED, request.token))
            return
        taken = frozenset(session.recipient_id for session in self._sessions())
        response, opened = self._answering.receive(request, taken, now)
        self._send(response)
        if opened is not None:
            self._establish(opened, now)

    def _receive_request(self, outer: CoapMessage, now: float) -> None:
        kid = oscore_option(outer).kid
        session = next((session for session in self._sessions() if session.recipient_id == kid), None)
        unproven = None
        if session is None and self._answering is not None:
            session = unproven = self._answering.unproven(kid, now)
        if session is None:
            self._send(CoapMessage(codes.UNAUTHORIZED, outer.token))
            raise AuthenticationFailed("A request names keys that are not there.")
        session.check(now)
        request, exchange = session.context.unprotect_request(outer)
        session.messages += 1
        if session.find is not None:
            try:
                session.holder = session.find()
            except Refused as error:
                self.lost(AuthenticationFailed(f"The peer may not talk any more: {error}"))
                return
        if unproven is not None and self._answering is not None:
            self._answering.proven(unproven, now)
            self._establish(unproven, now)
        if isinstance(session.holder, GrantedKey) and is_update(request):
            self._incoming.answer(session, exchange, answer_update(request, session.holder))
        else:
            self._incoming.receive(session, request, exchange, now)

    def _receive_response(self, outer: CoapMessage, now: float) -> None:
        """An answer to nothing of ours came too late, or was made up: it costs nothing to ignore it."""
        session = self._outgoing.session_of(outer.token)
        if session is None:
            return
        session.messages += 1
        self._outgoing.receive(outer, now)

    def _begin_opening(self, now: float) -> None:
        if self._open_to is None or self._opening is not None or now < self._may_open_at:
            return
        self._may_open_at = now + HANDSHAKE_PAUSE_S
        taken = frozenset(session.recipient_id for session in self._sessions())
        self._opening = self._open_to(taken, self._admission)
        self._admission = b""
        self._continue(lambda opening: opening.begin(now), now)

    def _continue(self, step: Callable[[Opening], CoapMessage | Session | None], now: float) -> None:
        """Go on with the handshake. One that fails ends the channel, unless older keys are still good."""
        if self._opening is None:
            return
        try:
            result = step(self._opening)
        except (AuthenticationFailed, Unavailable) as error:
            self._opening = None
            if self._session is None:
                self.lost(error)
            return
        if isinstance(result, CoapMessage):
            self._send(result)
        elif result is not None:
            self._opening = None
            self._establish(result, now)

    def _establish(self, new: Session, now: float) -> None:
        self._collect()
        if self._replaced is not None:
            self._end_session(self._replaced)
        old = self._session
        self._session, self._replaced = new, old
        if old is not None:
            old.ends_at = now + GRACE_S
        if old is None or (old.holder and old.holder.kid) != (new.holder and new.holder.kid):
            self._events.append(Established(new.holder))
        self._incoming.end_observations(new)
        self._outgoing.renew(new, now)

    def _end_session(self, session: Session) -> None:
        self._outgoing.lose(session)
        self._incoming.lose(session)
        if session is self._replaced:
            self._replaced = None

    def _run(self, now: float) -> None:
        """Do what the time, or what just happened, asks for."""
        self._now = now
        self._guarded(lambda: self._renew_keys(now))
        session = self._session
        if session is not None and self._ended is None:
            self._guarded(lambda: self._outgoing.start(session))
        self._collect()

    def _renew_keys(self, now: float) -> None:
        if self._ended is not None:
            return
        if self._replaced is not None and self._replaced.ends_at is not None and now >= self._replaced.ends_at:
            self._end_session(self._replaced)
        if self._session is not None:
            self._session.check(now)
        if self._opening is not None:
            self._continue(lambda opening: opening.handle_timeout(now), now)
        elif self._session is None or self._session.is_worn(now):
            self._begin_opening(now)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Count what does not hold, and end the channel when it is too much or the keys are used up."""
        try:
            step()
        except (Malformed, AuthenticationFailed):
            self._bad_messages += 1
            if self._bad_messages >= self._max_bad:
                self.lost(AuthenticationFailed("Too many messages did not hold: somebody tampers with the channel."))
        except ContextExhausted as error:
            self.lost(error)

    def _sessions(self) -> tuple[Session, ...]:
        return tuple(session for session in (self._session, self._replaced) if session is not None)

    def _send(self, message: CoapMessage) -> None:
        self._outbox.append(message)

    def _take_handle(self) -> int:
        self._next_handle += 1
        return self._next_handle

    def _collect(self) -> None:
        for source in (self._outgoing, self._incoming):
            self._events += source.events
            source.events = []
