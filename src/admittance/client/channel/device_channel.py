"""Requests and observations to one device, over whatever channel there is."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from types import TracebackType
from typing import Final, Protocol, Self

from admittance.client.channel.content import Content
from admittance.client.channel.refusals import check_success
from admittance.client.channel.session import Session
from admittance.errors import (
    AdmittanceError,
    AuthenticationFailed,
    Conflict,
    NetworkFailure,
    NotAllowed,
    QuotaExceeded,
    RelayBusy,
    Unavailable,
)
from admittance.protocol.channel.events import ResponseReceived
from admittance.wire.coap import codes, options
from admittance.wire.coap.message import CoapMessage

REQUEST_TIMEOUT_S: Final = 30.0
FIRST_RETRY_S: Final = (0.2, 1.0)
MAX_RETRY_S: Final = 30.0
BUSY_RETRIES: Final = 3


class Opener(Protocol):
    """Makes channels to one device."""

    async def __call__(self) -> Session:
        """Raises an `AdmittanceError` whose message names cause and next step."""


class DeviceChannel:
    """Made by `connect`; use it as an async context manager.

    A channel that was lost is opened again by the next request. A request that was under way then fails with
    `ChannelLost` and is not repeated, because the device may have carried it out; an observation goes on by itself.

    Args:
        device_id: of the device at the other end.
        opener: makes a channel whenever there is none.
        sleep: waits, as `asyncio.sleep` does.
        told: takes a sentence for people about a channel that an observation lost or has again.
    """

    def __init__(
        self,
        device_id: str,
        opener: Opener,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.device_id = device_id
        self._opener = opener
        self._sleep = sleep
        self._told = told
        self._session: Session | None = None
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Open the channel. Raises why it can't be."""
        await self._connected()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the channel; the next request would open another."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, path: str, *, timeout_s: float = REQUEST_TIMEOUT_S) -> Content:
        """The content of a resource, such as ``/sensors/temperature``.

        Raises:
            ChannelLost: the channel ended before the answer.
            Unavailable: no answer in `timeout_s`, no channel for now, or the device can't answer now.
            NetworkFailure, AuthenticationFailed: no channel.
            NotAllowed, NotFound, Conflict, TooLarge, Throttled, DeviceRefused: the device's answer.
            Malformed: the path is none, or the device did not understand.
        """
        return await self._ask(_request(codes.GET, path), timeout_s)

    async def put(self, path: str, content: Content, *, timeout_s: float = REQUEST_TIMEOUT_S) -> Content:
        """Set a resource. Raises as `get` does."""
        return await self._ask(_request(codes.PUT, path, content), timeout_s)

    async def post(
        self, path: str, content: Content | None = None, *, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> Content:
        """Hand something to a resource. Raises as `get` does."""
        return await self._ask(_request(codes.POST, path, content), timeout_s)

    async def delete(self, path: str, *, timeout_s: float = REQUEST_TIMEOUT_S) -> Content:
        """Remove a resource. Raises as `get` does."""
        return await self._ask(_request(codes.DELETE, path), timeout_s)

    async def observe(self, path: str, *, timeout_s: float = REQUEST_TIMEOUT_S) -> AsyncGenerator[Content, None]:
        """Yield a resource's content now and whenever it changes (RFC 7641), until the iteration is closed.

        It outlives the channel: a lost one is opened again, with growing pauses. Raises as `get` does before the
        first content; later only what no waiting mends. `Conflict` if the resource can't be observed.
        """
        request = _request(codes.GET, path)
        async with aclosing(self.notifications(request, timeout_s=timeout_s)) as answers:
            async for answer in answers:
                check_success(answer.message)
                if not answer.more:
                    raise Conflict(f"{path} cannot be observed. Use get.")
                yield Content.of_message(answer.message)

    async def request(self, message: CoapMessage, *, timeout_s: float = REQUEST_TIMEOUT_S) -> CoapMessage:
        """Send a request as it is, and return the answer whatever its code. Raises as `get` does."""
        session = await self._connected()
        return await session.request(message, timeout_s)

    async def notifications(
        self, message: CoapMessage, *, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> AsyncGenerator[ResponseReceived, None]:
        """Observe by a request of its own options, and yield the answers as they are; the last has no `more`.

        Otherwise as `observe`.
        """
        request = message.without(options.OBSERVE).with_options((options.OBSERVE, b""))
        backoff = Backoff()
        begun = False
        session: Session | None = None
        while True:
            try:
                session = await self._connected()
                async with aclosing(session.observe(request, timeout_s)) as answers:
                    async for answer in answers:
                        if begun and not answer.more and codes.is_success(answer.message.code):
                            raise Unavailable("The device ended the observation.")
                        if begun and backoff.tries:
                            self._told("The channel is there again.")
                        begun = True
                        backoff.reset()
                        yield answer
                        if not answer.more:
                            return
            except (Unavailable, NetworkFailure, QuotaExceeded) as error:
                if not begun:
                    raise
                if session is not None and isinstance(session.ended, NotAllowed | AuthenticationFailed):
                    raise session.ended from error
                if not backoff.tries:
                    self._told(f"{error}\nThe observation goes on when there is a channel again.")
                await self._sleep(backoff.next_s(error))

    async def _ask(self, message: CoapMessage, timeout_s: float) -> Content:
        answer = await self.request(message, timeout_s=timeout_s)
        check_success(answer)
        return Content.of_message(answer)

    async def _connected(self) -> Session:
        """The channel that is open, or a new one; whoever waits for it shares it."""
        async with self._opening:
            session = self._session
            if session is not None and session.ended is None:
                return session
            await self.close()
            self._session = await self._open()
            return self._session

    async def _open(self) -> Session:
        """Open a channel; a relay that is busy for a moment is asked again."""
        for _ in range(BUSY_RETRIES):
            try:
                return await self._opener()
            except RelayBusy as error:
                await self._sleep(min(error.retry_after_s, MAX_RETRY_S))
        return await self._opener()


class Backoff:
    """Pauses between tries: the first after 0.2 to 1 s, then twice as long each, at most 30 s, with jitter."""

    def __init__(self, jitter: Callable[[float, float], float] = random.uniform) -> None:
        self._jitter = jitter
        self.tries = 0

    def reset(self) -> None:
        self.tries = 0

    def next_s(self, error: AdmittanceError) -> float:
        """Seconds to wait after one more failure, at least what the relay asked for."""
        shortest, longest = (min(bound * 2**self.tries, MAX_RETRY_S) for bound in FIRST_RETRY_S)
        self.tries = min(self.tries + 1, 10)
        asked_s = error.retry_after_s if isinstance(error, RelayBusy) else 0.0
        return max(asked_s, self._jitter(shortest, longest))


def _request(code: int, path: str, content: Content | None = None) -> CoapMessage:
    """Raises `Malformed` for what is no path."""
    path, _, query = path.partition("?")
    chosen: list[tuple[int, bytes]] = list(options.path_options(path))
    if content is not None and content.content_format is not None:
        chosen.append((options.CONTENT_FORMAT, options.encode_uint(content.content_format)))
    chosen += [(options.URI_QUERY, part.encode()) for part in query.split("&") if part]
    return CoapMessage(code, b"", tuple(chosen), b"" if content is None else content.payload)
