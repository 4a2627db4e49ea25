"""Reads on each node whose access ended: half a second after it was committed at the latest, sooner when announced.

The database is what counts; the bus only says that there is something to read. A node that could not read for
`BLIND_AFTER_S` is blind, and its listeners let nobody do anything until it reads again.
"""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from admittance.server.bus.port import Bus
from admittance.server.database import Database
from admittance.server.relay.ports import EndingsListener
from admittance.server.revocations.store import SIGNAL, Ending, endings_after, last_number

SUBJECT = "ended"
POLL_EVERY_S = 0.5
MIN_READ_S = 0.3
GIVE_UP_AFTER_S = 3.0
RETRY_AFTER_S = 0.1
BLIND_AFTER_S = 1.0
GAP_TTL_S = 120.0
MAX_GAPS = 1000

log = structlog.stdlib.get_logger(__name__)


class Position:
    """What of the log was read. A number below others that is missing may belong to a transaction that has yet to
    commit, so it is looked for again until it came, or was missing for `GAP_TTL_S`: then it was rolled back."""

    def __init__(self, last: int, now: float) -> None:
        self._last = last
        self._gaps = dict.fromkeys(range(max(1, last - MAX_GAPS + 1), last + 1), now + GAP_TTL_S)

    @property
    def floor(self) -> int:
        """Everything up to here is settled."""
        return min(self._gaps) - 1 if self._gaps else self._last

    def skip(self, rows: list[Ending]) -> None:
        """Count rows as read that were there before this node began."""
        for row in rows:
            self._gaps.pop(row.number, None)

    def advance(self, rows: list[Ending], now: float) -> list[Ending]:
        """Those of `rows`, all that is above `floor`, that are new."""
        new = [row for row in rows if row.number > self._last or row.number in self._gaps]
        for row in new:
            for number in range(self._last + 1, row.number):
                self._gaps[number] = now + GAP_TTL_S
            self._last = max(self._last, row.number)
            self._gaps.pop(row.number, None)
        given_up = [number for number, until in self._gaps.items() if until <= now]
        for number in given_up + sorted(self._gaps)[: max(0, len(self._gaps) - MAX_GAPS)]:
            self._gaps.pop(number, None)
        return new


class EndingsFeed:
    """`database` should be one that nothing else keeps busy. Listeners are called on the event loop."""

    def __init__(self, *, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._listeners: list[EndingsListener] = []
        self._announced = asyncio.Event()
        self._position = Position(0, 0.0)
        self._read_at = 0.0
        self._is_blind = False
        self._reading: asyncio.Task[None] | None = None

    @property
    def is_blind(self) -> bool:
        """Whether endings can't be read now."""
        return self._is_blind

    async def start(self) -> None:
        """Begin with what is in the log now. Nobody may connect before. Raises `Unavailable`."""
        now = asyncio.get_running_loop().time()
        async with self._database.read() as connection:
            position = Position(await last_number(connection), now)
            position.skip(await endings_after(connection, position.floor))
        self._position, self._read_at = position, now
        await self._bus.subscribe(SUBJECT, lambda _data: self._announced.set())
        self._reading = asyncio.create_task(self._run())

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def listen(self, listener: EndingsListener) -> None:
        self._listeners.append(listener)

    async def _run(self) -> None:
        while True:
            pause_s = POLL_EVERY_S if await self._read() else RETRY_AFTER_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._announced.wait()

    async def _read(self) -> bool:
        """Read once, and tell what is new; returns whether this node sees now.

        A driver may take seconds to give up a read of a database that stands still: nobody waits for that.
        """
        loop = asyncio.get_running_loop()
        self._announced.clear()
        began = loop.time()
        reading = asyncio.create_task(self._rows())
        try:
            await asyncio.wait({reading}, timeout=max(MIN_READ_S, self._read_at + BLIND_AFTER_S - began))
            if not reading.done():
                self._close_eyes("no answer in time")
                await asyncio.wait({reading}, timeout=GIVE_UP_AFTER_S)
        finally:
            reading.cancel()
        await asyncio.wait({reading})
        failure = "given up" if reading.cancelled() else reading.exception()
        now = loop.time()
        if failure is not None:
            if now - self._read_at >= BLIND_AFTER_S:
                self._close_eyes(f"{type(failure).__name__}: {failure}")
            return False
        for ending in self._position.advance(reading.result(), now):
            self._tell(ending)
        if now - began >= BLIND_AFTER_S:
            return False
        self._read_at = began
        if self._is_blind:
            self._is_blind = False
            log.warning("endings_readable")
            self._each(lambda listener: listener.sighted())
        return True

    async def _rows(self) -> list[Ending]:
        async with self._database.read() as connection:
            return await endings_after(connection, self._position.floor)

    def _close_eyes(self, reason: str) -> None:
        if not self._is_blind:
            self._is_blind = True
            self._each(lambda listener: listener.blinded())
            log.error("endings_unreadable", reason=reason)

    def _tell(self, ending: Ending) -> None:
        log.info("access_ended", kind=ending.kind, number=ending.number)
        self._each(lambda listener: listener.ended(ending.kind, ending.key, ending.number))

    def _each(self, tell: Callable[[EndingsListener], None]) -> None:
        for listener in self._listeners:
            try:
                tell(listener)
            except Exception as error:
                log.error("endings_listener_failed", exc_info=error)


def announce_endings(database: Database, bus: Bus) -> None:
    """From now on tell all nodes at once when a transaction of this process ended somebody's access."""
    database.listen(SIGNAL, lambda: bus.publish(SUBJECT, b""))
