"""One conversation of the server with a device: a channel on stream 0, made when it is needed.

Everything happens on the event loop of the node that holds the device. `Conversation` drives a `Channel` and does
nothing else; who may ask what is its callers' business.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from admittance.errors import AdmittanceError, ChannelLost, Malformed, Throttled, Unavailable
from admittance.protocol.channel.channel import Channel
from admittance.protocol.channel.events import (
    Ended,
    Established,
    Event,
    RequestFailed,
    RequestReceived,
    ResponseReceived,
)
from admittance.server.conversation.flow import MessageFlow
from admittance.server.conversation.resources import ConversingDevice
from admittance.server.relay.ports import Stream
from admittance.wire.coap import codes, stream
from admittance.wire.coap.message import CoapMessage
from admittance.wire.relay import CloseReason

MAX_ANSWERING = 8
"""Requests of a device that are worked on at once; others get 5.03."""

MAX_ASKING = 32
"""Requests to a device that wait for their answers at once."""

FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 300.0

log = structlog.stdlib.get_logger(__name__)

OpenChannel = Callable[[ConversingDevice], Awaitable[Channel]]
"""A new channel to the device, not yet begun. Raises `AdmittanceError`."""

Answer = Callable[[ConversingDevice, CoapMessage], Awaitable[CoapMessage]]


class Spawn(Protocol):
    """Starts a task and holds it until it ends."""

    def __call__(self, work: Awaitable[None]) -> "asyncio.Task[None]": ...


class Conversation:
    """The sink of a device's stream 0. `open_channel` and `answer` are called while the stream is open."""

    def __init__(
        self,
        device: ConversingDevice,
        stream: Stream,
        *,
        open_channel: OpenChannel,
        answer: Answer,
        spawn: Spawn,
        on_closed: Callable[["Conversation"], None],
    ) -> None:
        self.device = device
        self._stream = stream
        self._flow = MessageFlow(stream)
        self._open_channel = open_channel
        self._answer = answer
        self._spawn = spawn
        self._on_closed = on_closed
        self._channel: Channel | None = None
        self._opening: asyncio.Task[None] | None = None
        self._is_open = True
        self._is_kept = False
        self._asked: dict[int, asyncio.Future[CoapMessage]] = {}
        self._proof: asyncio.Future[None] | None = None
        self._answering = 0
        self._timer: asyncio.TimerHandle | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._retry_after_s = FIRST_RETRY_S

    async def request(self, message: CoapMessage, timeout_s: float) -> CoapMessage:
        """Ask the device; carried out at most once.

        Raises `ChannelLost` when the channel or the time ended before the answer, `Unavailable` when there was no
        channel to send it, `Throttled` when too many requests wait already.
        """
        if len(self._asked) >= MAX_ASKING:
            raise Throttled(1)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._ask(message, timeout_s)
        except TimeoutError:
            raise ChannelLost("The device did not answer in time.") from None

    async def establish(self, timeout_s: float) -> None:
        """Wait until the device has proved its channel key. Raises `AdmittanceError`."""
        try:
            async with asyncio.timeout(timeout_s):
                channel = await self._begun()
                if not channel.is_established:
                    self._proof = self._proof or asyncio.get_running_loop().create_future()
                    await asyncio.shield(self._proof)
        except TimeoutError:
            raise Unavailable("The device did not open a channel in time.") from None

    @property
    def is_open(self) -> bool:
        """Whether the device is still there."""
        return self._is_open

    def keep(self, delay_s: float = 0.0) -> None:
        """Have a channel after `delay_s`, and another whenever it ends, until the stream is over."""
        self._is_kept = True
        self._retry_after_s = FIRST_RETRY_S
        if self._channel is None:
            self._try_again(delay_s)

    def data(self, fragment: bytes, *, final: bool) -> None:
        """From the device. What no channel is there for is dropped."""
        if not self._is_open:
            return
        try:
            whole = self._flow.take(fragment, final=final)
        except Malformed as error:
            self._failed(error)
            return
        message = None if whole is None else _decoded(whole)
        if message is not None and self._channel is not None:
            self._channel.receive(message, self._now())
            self._pump()

    def credit(self, frames: int) -> None:
        if not self._is_open:
            return
        try:
            self._flow.take_credit(frames)
        except Malformed as error:
            self._failed(error)

    def closed(self, reason: CloseReason) -> None:
        """The device is gone: everything that waits fails."""
        if not self._is_open:
            return
        self._is_open = False
        if self._retry is not None:
            self._retry.cancel()
        self._drop_channel(ChannelLost(f"The device's connection is over ({reason.name.lower()})."))
        self._on_closed(self)

    async def _ask(self, message: CoapMessage, timeout_s: float) -> CoapMessage:
        channel = await self._begun()
        handle = channel.request(message, self._now(), timeout_s=timeout_s)
        answered: asyncio.Future[CoapMessage] = asyncio.get_running_loop().create_future()
        self._asked[handle] = answered
        self._pump()
        try:
            return await answered
        finally:
            if self._asked.pop(handle, None) is not None and self._channel is channel:
                channel.cancel(handle)
                self._pump()

    async def _begun(self) -> Channel:
        """The channel, at least begun. Raises `Unavailable` where none can be."""
        if self._channel is None and self._is_open:
            if self._opening is None:
                self._opening = self._spawn(self._open())
            await asyncio.shield(self._opening)
        if self._channel is None:
            raise Unavailable("There is no channel to this device now.")
        return self._channel

    async def _open(self) -> None:
        try:
            channel = await self._open_channel(self.device)
        except AdmittanceError as error:
            log.warning("conversation_not_opened", device_id=self.device.device_id, error=error.code)
            self._opening = None
            self._try_again_later()
            return
        self._opening = None
        if self._is_open:
            self._channel = channel
            channel.handle_timeout(self._now())
            self._pump()

    def _pump(self) -> None:
        """Send what the channel has to send, hear what it tells, and come back when it is due."""
        channel = self._channel
        while channel is not None:
            events = channel.events()
            outgoing = channel.drain()
            try:
                for message in outgoing:
                    self._flow.send(stream.encode(message))
            except AdmittanceError as error:
                self._failed(error)
                return
            for event in events:
                self._heard(event)
            if self._channel is not channel:
                return
            if not events and not outgoing:
                self._wait_for(channel)
                return

    def _heard(self, event: Event) -> None:
        match event:
            case Established():
                self._retry_after_s = FIRST_RETRY_S
                self._settle_proof(None)
            case RequestReceived():
                self._take_request(event)
            case ResponseReceived():
                self._settle(event.handle, event.message)
            case RequestFailed():
                self._settle(event.handle, event.error)
            case Ended():
                self._failed(event.error)
            case _:
                pass

    def _take_request(self, event: RequestReceived) -> None:
        if self._channel is None:
            return
        if self._answering >= MAX_ANSWERING:
            self._channel.respond(event.handle, CoapMessage(codes.UNAVAILABLE))
            return
        self._answering += 1
        self._spawn(self._respond(self._channel, event))

    async def _respond(self, channel: Channel, event: RequestReceived) -> None:
        try:
            response = await self._answer(self.device, event.message)
        finally:
            self._answering -= 1
        if self._channel is channel:
            channel.respond(event.handle, response)
            self._pump()

    def _settle(self, handle: int, outcome: CoapMessage | AdmittanceError) -> None:
        answered = self._asked.pop(handle, None)
        if answered is None or answered.done():
            return
        if isinstance(outcome, AdmittanceError):
            answered.set_exception(outcome)
        else:
            answered.set_result(outcome)

    def _settle_proof(self, error: AdmittanceError | None) -> None:
        proof, self._proof = self._proof, None
        if proof is None:
            return
        if error is None:
            proof.set_result(None)
        else:
            proof.set_exception(error)

    def _failed(self, error: AdmittanceError) -> None:
        log.info("conversation_ended", device_id=self.device.device_id, error=error.code)
        self._drop_channel(error)
        self._try_again_later()

    def _drop_channel(self, error: AdmittanceError) -> None:
        if self._channel is not None:
            self._channel.lost(error)
            self._channel = None
        self._settle_proof(error)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lost = error if isinstance(error, Unavailable) else ChannelLost("The channel to the device ended.")
        for handle in tuple(self._asked):
            self._settle(handle, lost)

    def _try_again_later(self) -> None:
        if self._is_kept:
            self._try_again(self._retry_after_s)
            self._retry_after_s = min(self._retry_after_s * 2, LONGEST_RETRY_S)

    def _try_again(self, delay_s: float) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._retry = asyncio.get_running_loop().call_later(delay_s, self._open_kept)

    def _open_kept(self) -> None:
        if self._is_open and self._channel is None and self._opening is None:
            self._opening = self._spawn(self._open())

    def _wait_for(self, channel: Channel) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = channel.next_timeout()
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._time_passed)

    def _time_passed(self) -> None:
        self._timer = None
        if self._channel is not None:
            self._channel.handle_timeout(self._now())
            self._pump()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _decoded(data: bytes) -> CoapMessage | None:
    """What does not decode is dropped, as the channel drops what does not open."""
    try:
        return stream.decode(data)
    except Malformed:
        return None
