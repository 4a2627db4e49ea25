"""The bus of a single process: messages go from one part of it to another."""

import asyncio
from collections import defaultdict

import structlog

from admittance.errors import Misuse, Unavailable
from admittance.server.bus.port import MAX_MESSAGE_BYTES, Handler, Responder

log = structlog.stdlib.get_logger(__name__)


class LocalBus:
    """Delivers on the running event loop, after the caller has gone on."""

    is_shared = False

    def __init__(self) -> None:
        self._handlers: defaultdict[str, list[Handler]] = defaultdict(list)
        self._responders: dict[str, Responder] = {}
        self._started = False

    @property
    def connected(self) -> bool:
        return self._started

    async def start(self) -> None:
        self._started = True

    async def close(self) -> None:
        self._started = False
        self._handlers.clear()
        self._responders.clear()

    def publish(self, subject: str, data: bytes) -> None:
        if len(data) > MAX_MESSAGE_BYTES:
            raise Misuse("A message is too long for the bus.")
        if self._started:
            asyncio.get_running_loop().call_soon(self._deliver, subject, data)

    async def subscribe(self, subject: str, handler: Handler) -> None:
        self._handlers[subject].append(handler)

    async def request(self, subject: str, data: bytes, timeout_s: float) -> bytes:
        responder = self._responders.get(subject)
        if responder is None or not self._started:
            raise Unavailable("Nobody answers on the bus.")
        try:
            async with asyncio.timeout(timeout_s):
                return await responder(data)
        except TimeoutError:
            raise Unavailable("No answer came over the bus in time.") from None
        except Exception as error:
            log.error("bus_responder_failed", subject=subject, exc_info=error)
            raise Unavailable("The answer on the bus failed.") from None

    async def serve(self, subject: str, responder: Responder) -> None:
        self._responders[subject] = responder

    def _deliver(self, subject: str, data: bytes) -> None:
        for handler in tuple(self._handlers.get(subject, ())):
            try:
                handler(data)
            except Exception as error:
                log.error("bus_handler_failed", subject=subject, exc_info=error)
