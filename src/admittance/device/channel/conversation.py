"""One end-to-end channel of the device, whatever carries its messages."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, Protocol

from admittance.device.resources.dispatch import Dispatcher
from admittance.errors import AdmittanceError, ChannelLost, Refused, TooLarge
from admittance.protocol.channel.channel import Channel
from admittance.protocol.channel.events import (
    Ended,
    Established,
    Event,
    ObservationEnded,
    RequestFailed,
    RequestReceived,
    ResponseReceived,
)
from admittance.protocol.coap.blockwise import MAX_BODY_BYTES
from admittance.wire.access import Holder
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import OBSERVE
from admittance.wire.relay import CloseReason

MAX_REQUESTS: Final = 16
HANDSHAKE_S: Final = 10.0


class Carrier(Protocol):
    """What carries the messages of one conversation: a stream of the relay, or a peer on the local network."""

    def send(self, message: CoapMessage) -> None:
        """Send a message. Raises `QuotaExceeded` where too much waits, `TooLarge`."""

    def close(self, reason: CloseReason) -> None:
        """End the conversation for the other side."""


class Surroundings(Protocol):
    """What a conversation needs of the device."""

    @property
    def dispatcher(self) -> Dispatcher: ...

    def monotonic(self) -> float: ...

    def standing(self, holder: Holder) -> Holder | None:
        """What the credential or key of `holder` stands for now; None if it may no longer talk."""

    def established(self, conversation: "Conversation") -> None:
        """The peer proved its key."""

    def settled(self) -> None:
        """A request was answered, and may have changed who is listed."""

    def ended(self, conversation: "Conversation") -> None:
        """Nothing comes from the conversation any more."""


class _Observation:
    """Who observes, what, and whether the next state is being made ready, or has to be once more."""

    def __init__(self, holder: Holder, message: CoapMessage) -> None:
        self.holder = holder
        self.message = message
        self.path = message.path
        self.is_busy = False
        self.is_stale = False


class Conversation:
    """See the module."""

    def __init__(self, channel: Channel, carrier: Carrier, surroundings: Surroundings) -> None:
        self._channel = channel
        self._carrier = carrier
        self._surroundings = surroundings
        self._tasks: set[asyncio.Task[None]] = set()
        self._observations: dict[int, _Observation] = {}
        self._waiting: dict[int, asyncio.Future[CoapMessage]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._handshake_limit: asyncio.TimerHandle | None = None
        self._is_over = False
        self.holder: Holder | None = None
        """Who is at the other end; None before the handshake."""

    def limit_handshake(self) -> None:
        """End the conversation if its peer proves nothing within 10 s."""
        self._handshake_limit = asyncio.get_running_loop().call_later(HANDSHAKE_S, self._end_unproven)

    def receive(self, message: CoapMessage) -> None:
        """Take a message of the carrier's. What does not hold is answered or ignored, as the channel decides."""
        if not self._is_over:
            self._channel.receive(message, self._surroundings.monotonic())
            self._settle()

    async def request(self, message: CoapMessage, timeout_s: float) -> CoapMessage:
        """The answer of the other end. Raises `ChannelLost` and what else ends a request of a channel."""
        if self._is_over:
            raise ChannelLost("The channel has ended.")
        handle = self._channel.request(message, self._surroundings.monotonic(), timeout_s=timeout_s)
        answer: asyncio.Future[CoapMessage] = asyncio.get_running_loop().create_future()
        self._waiting[handle] = answer
        self._settle()
        try:
            return await answer
        finally:
            self._waiting.pop(handle, None)
            if answer.cancelled() and not self._is_over:
                self._channel.cancel(handle)
                self._settle()

    def changed(self, path: str) -> None:
        """Send the present state of the resource at `path` to who observes it here."""
        for handle, observation in self._observations.items():
            if observation.path == path:
                self._refresh(handle, observation)

    def end(self, reason: CloseReason) -> None:
        """End the conversation from this side."""
        if not self._is_over:
            self._finish(ChannelLost("The device ended the channel."))
            self._carrier.close(reason)

    def lost(self) -> None:
        """The carrier is gone."""
        if not self._is_over:
            self._finish(ChannelLost("The connection was lost."))

    @property
    def is_standing(self) -> bool:
        """Whether the peer may still talk; before the handshake nothing stands against it."""
        return self.holder is None or self._surroundings.standing(self.holder) is not None

    def _settle(self) -> None:
        """Send what is to be sent, and deal with what happened, until there is nothing more of either."""
        while not self._is_over:
            messages, events = self._channel.drain(), self._channel.events()
            if not messages and not events:
                break
            for message in messages:
                self._send(message)
            for event in events:
                self._handle(event)
        self._arm()

    def _send(self, message: CoapMessage) -> None:
        if self._is_over:
            return
        try:
            self._carrier.send(message)
        except Refused:
            self.end(CloseReason.QUOTA)

    def _handle(self, event: Event) -> None:
        match event:
            case Established(holder=holder):
                self.holder = holder
                self._surroundings.established(self)
            case RequestReceived(handle=handle, holder=holder, message=message):
                self._take(handle, holder, message)
            case ResponseReceived(handle=handle, message=message):
                self._answer_arrived(handle, message)
            case RequestFailed(handle=handle, error=error):
                self._answer_failed(handle, error)
            case ObservationEnded(handle=handle):
                self._observations.pop(handle, None)
            case Ended(error=error):
                self._finish(error)
                self._carrier.close(CloseReason.NORMAL)

    def _take(self, handle: int, known: Holder | None, message: CoapMessage) -> None:
        holder = None if known is None else self._surroundings.standing(known)
        if holder is None:
            self.end(CloseReason.REVOKED)
        elif len(self._tasks) >= MAX_REQUESTS:
            self._channel.respond(handle, CoapMessage(codes.UNAVAILABLE))
        elif self._is_observed(message):
            observation = self._observations[handle] = _Observation(holder, message)
            self._refresh(handle, observation)
        else:
            self._spawn(self._answer(handle, holder, message))

    def _is_observed(self, message: CoapMessage) -> bool:
        """The channel leaves the Observe option only where it can notify."""
        return message.option(OBSERVE) is not None and self._surroundings.dispatcher.is_observable(message)

    async def _answer(self, handle: int, holder: Holder, message: CoapMessage) -> None:
        answer = await self._surroundings.dispatcher.answer(holder, message)
        if not self._is_over:
            self._respond(handle, answer)
            self._settle()
        self._surroundings.settled()

    def _respond(self, handle: int, answer: CoapMessage) -> None:
        try:
            self._channel.respond(handle, answer)
        except TooLarge:
            self._channel.respond(handle, CoapMessage(codes.INTERNAL))

    def _refresh(self, handle: int, observation: _Observation) -> None:
        observation.is_stale = True
        if not observation.is_busy:
            observation.is_busy = True
            self._spawn(self._notify(handle, observation))

    async def _notify(self, handle: int, observation: _Observation) -> None:
        """Send states until the last one sent is the present one: states in between may be left out (RFC 7641)."""
        while observation.is_stale:
            observation.is_stale = False
            holder = self._surroundings.standing(observation.holder)
            if holder is None:
                self.end(CloseReason.REVOKED)
                return
            answer = await self._surroundings.dispatcher.answer(holder, observation.message)
            if self._is_over or handle not in self._observations:
                return
            if codes.is_success(answer.code) and len(answer.payload) <= MAX_BODY_BYTES:
                self._channel.notify(handle, answer)
            else:
                del self._observations[handle]
                self._respond(handle, answer)
            self._settle()
        observation.is_busy = False

    def _answer_arrived(self, handle: int, message: CoapMessage) -> None:
        answer = self._waiting.get(handle)
        if answer is not None and not answer.done():
            answer.set_result(message)

    def _answer_failed(self, handle: int, error: AdmittanceError) -> None:
        answer = self._waiting.get(handle)
        if answer is not None and not answer.done():
            answer.set_exception(error)

    def _end_unproven(self) -> None:
        if self.holder is None:
            self.end(CloseReason.IDLE)

    def _finish(self, error: AdmittanceError) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._channel.lost(error)
        for timer in (self._timer, self._handshake_limit):
            if timer is not None:
                timer.cancel()
        self._observations.clear()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(error)
        self._surroundings.ended(self)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = None if self._is_over else self._channel.next_timeout()
        if due is not None:
            delay_s = max(0.0, due - self._surroundings.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._time_passed)

    def _time_passed(self) -> None:
        self._channel.handle_timeout(self._surroundings.monotonic())
        self._settle()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
