"""One channel to a device over one link, from the handshake until either ends."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final, Self, TypeAlias

from admittance.client.channel.link import Link
from admittance.errors import AdmittanceError, AuthenticationFailed, ChannelLost, Unavailable
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
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage

HANDSHAKE_TIMEOUT_S: Final = 20.0

# Notifications that nobody took yet; beyond these the oldest are dropped, since the newest says all (RFC 7641, 1.3).
MAX_WAITING_ANSWERS: Final = 64

_Answers: TypeAlias = "asyncio.Queue[ResponseReceived | AdmittanceError]"


class Session:
    """Pumps messages between a link and a channel. Made by `open`; `ended` tells why it is over."""

    def __init__(self, link: Link, channel: Channel, refused: str) -> None:
        self._link = link
        self._refused = refused
        self._channel = channel
        self._waiting: dict[int, _Answers] = {}
        self._established: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.ended: AdmittanceError | None = None

    @classmethod
    async def open(cls, link: Link, channel: Channel, refused: str) -> Self:
        """Run the handshake; `refused` is what people are told where the device refuses it.

        Raises `AuthenticationFailed` when either side does not accept the other, `Unavailable` when the device does
        not answer in time, and what the link raises; the link is closed then.
        """
        session = cls(link, channel, refused)
        session._tasks = [asyncio.create_task(session._receive()), asyncio.create_task(session._send())]
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                await session._established
        except BaseException as error:
            await session.close()
            if isinstance(error, TimeoutError):
                raise Unavailable(
                    f"The device did not answer the handshake within {HANDSHAKE_TIMEOUT_S:.0f} s. Try again."
                ) from None
            raise
        return session

    async def request(self, message: CoapMessage, timeout_s: float) -> CoapMessage:
        """Send a request, once, and wait for its answer, whatever its code.

        Raises `ChannelLost` when the channel ends before the answer, `Unavailable` when the answer is late.
        """
        handle, answers = self._ask(message, timeout_s)
        try:
            return (await _next(answers)).message
        finally:
            self._forget(handle)

    async def observe(self, message: CoapMessage, timeout_s: float) -> AsyncGenerator[ResponseReceived, None]:
        """Send a request with Observe 0, and yield its answers in order until one is the last.

        Raises as `request` does; the observation is cancelled when the iteration ends.
        """
        handle, answers = self._ask(message, timeout_s)
        try:
            more = True
            while more:
                answer = await _next(answers)
                more = answer.more
                yield answer
        finally:
            self._forget(handle)

    async def close(self) -> None:
        """End the channel and its link; what waits is reported as lost."""
        self._end(ChannelLost("The channel was closed."))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._established.done() and not self._established.cancelled():
            self._established.exception()
        await self._link.close()

    def _ask(self, message: CoapMessage, timeout_s: float) -> tuple[int, _Answers]:
        handle = self._channel.request(message, time.monotonic(), timeout_s=timeout_s)
        answers = self._waiting[handle] = asyncio.Queue()
        self._news.set()
        return handle, answers

    def _forget(self, handle: int) -> None:
        if self._waiting.pop(handle, None) is not None and self.ended is None:
            self._channel.cancel(handle)
            self._news.set()

    async def _receive(self) -> None:
        try:
            while True:
                message = await self._link.receive()
                self._channel.receive(message, time.monotonic())
                self._dispatch()
                self._news.set()
        except AdmittanceError as error:
            self._end(error)

    async def _send(self) -> None:
        """Send what the channel has to send, and wake it at its time."""
        try:
            while True:
                self._news.clear()
                for message in self._channel.drain():
                    await self._link.send(message)
                self._dispatch()
                await self._rest()
        except AdmittanceError as error:
            self._end(error)

    async def _rest(self) -> None:
        """Wait for news, or for the channel's next time."""
        deadline = self._channel.next_timeout()
        wait_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._news.wait()
            return
        self._channel.handle_timeout(time.monotonic())
        self._dispatch()

    def _dispatch(self) -> None:
        for event in self._channel.events():
            self._handle(event)

    def _handle(self, event: Event) -> None:
        match event:
            case Established():
                if not self._established.done():
                    self._established.set_result(None)
            case ResponseReceived():
                self._answer(event.handle, event, last=not event.more)
            case RequestFailed():
                self._answer(event.handle, event.error, last=True)
            case RequestReceived():
                self._channel.respond(event.handle, CoapMessage(codes.NOT_FOUND))
                self._news.set()
            case Ended():
                self._end(event.error if self._established.done() else self._refusal(event.error))
            case ObservationEnded():
                pass

    def _answer(self, handle: int, answer: ResponseReceived | AdmittanceError, *, last: bool) -> None:
        answers = self._waiting.pop(handle, None) if last else self._waiting.get(handle)
        if answers is None:
            return
        if answers.qsize() >= MAX_WAITING_ANSWERS:
            answers.get_nowait()
        answers.put_nowait(answer)

    def _refusal(self, error: AdmittanceError) -> AdmittanceError:
        """Why the handshake failed, with the next step."""
        if not isinstance(error, AuthenticationFailed):
            return error
        refusal = AuthenticationFailed(self._refused)
        refusal.__cause__ = error
        return refusal

    def _end(self, error: AdmittanceError) -> None:
        """Report everything that waits, once, as lost."""
        if self.ended is not None:
            return
        self.ended = error
        if not self._established.done():
            self._established.set_exception(error)
        self._channel.lost(error)
        self._dispatch()
        self._news.set()


async def _next(answers: _Answers) -> ResponseReceived:
    answer = await answers.get()
    if isinstance(answer, AdmittanceError):
        raise answer
    return answer
