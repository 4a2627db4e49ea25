"""Tells the other nodes, through the database, which devices this one holds, and finds out what they took over.

One task writes: arrivals and departures in batches, each a short transaction, and a look at the rows every second,
which mends whatever a lost write or a lost message left wrong.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import structlog

from admittance.errors import Unavailable
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.relay import presence

BATCH = 500
LOOK_EVERY_S = 1.0
RETRY_AFTER_S = 0.25
DEAD_AFTER_S = 3.0
COMPARE_EVERY = 30
LEAVE_WITHIN_S = 2.0

Told = Callable[[Mapping[str, int]], None]

log = structlog.stdlib.get_logger(__name__)


class DeviceArrivals:
    """`arrived_here` hears of what was written, `superseded` of connections here that are no longer the newest."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        node_id: str,
        is_shared: bool,
        arrived_here: Told,
        superseded: Told,
    ) -> None:
        self._database = database
        self._clock = clock
        self._node_id = node_id
        self._is_shared = is_shared
        self._arrived_here = arrived_here
        self._superseded = superseded
        self._held: dict[str, int] = {}
        self._arriving: list[tuple[str, asyncio.Future[int]]] = []
        self._departing: dict[str, int] = {}
        self._due = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        self._beats: dict[str, tuple[int, float]] = {}
        self._looks = 0

    async def start(self) -> None:
        """Make the node known, and let go what nodes held that are gone. Raises `Unavailable`."""
        async with self._database.transaction() as connection:
            if self._is_shared:
                await presence.beat(connection, self._node_id)
            else:
                await presence.forget_nodes(connection)
            await presence.forget_strangers(connection, int(self._clock()))
        self._writing = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Let go everything."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        for _, future in self._arriving:
            if not future.done():
                future.set_exception(Unavailable("The relay node is stopping."))
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(LEAVE_WITHIN_S), self._database.transaction() as connection:
                await presence.remove_node(connection, self._node_id, int(self._clock()))

    async def arrived(self, device_id: str) -> int:
        """See `admittance.server.relay.ports.Arrivals`."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._arriving.append((device_id, future))
        self._due.set()
        return await future

    def departed(self, device_id: str, arrival: int) -> None:
        """See `admittance.server.relay.ports.Arrivals`."""
        if self._held.get(device_id) == arrival:
            del self._held[device_id]
            self._departing[device_id] = arrival
            self._due.set()

    def older(self, arrivals: Mapping[str, int]) -> dict[str, int]:
        """The connections here that are older than those arrivals elsewhere."""
        held = {device_id: self._held.get(device_id) for device_id in arrivals}
        return {device_id: own for device_id, own in held.items() if own is not None and own < arrivals[device_id]}

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        look_at = loop.time() + LOOK_EVERY_S
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(look_at):
                    await self._due.wait()
            self._due.clear()
            try:
                while self._arriving:
                    await self._write_arrivals()
                if self._departing:
                    await self._write_departures()
                if loop.time() >= look_at:
                    await self._look()
                    look_at = loop.time() + LOOK_EVERY_S
            except Exception as error:
                is_expected = isinstance(error, Unavailable)
                log.warning("presence_not_written", reason=str(error), exc_info=None if is_expected else error)
                await asyncio.sleep(RETRY_AFTER_S)
                self._due.set()

    async def _write_arrivals(self) -> None:
        """Write a batch; a device that is in it twice takes turns."""
        batch: dict[str, asyncio.Future[int]] = {}
        rest: list[tuple[str, asyncio.Future[int]]] = []
        for device_id, future in self._arriving:
            if device_id in batch or len(batch) == BATCH:
                rest.append((device_id, future))
            else:
                batch[device_id] = future
        self._arriving = rest
        try:
            async with self._database.transaction() as connection:
                written = await presence.arrive(connection, self._node_id, batch, int(self._clock()))
        except BaseException as error:
            for future in batch.values():
                if not future.done():
                    future.set_exception(Unavailable("The database does not take the device's arrival."))
            if isinstance(error, Unavailable):
                return
            raise
        self._held |= written
        self._arrived_here(written)
        for device_id, future in batch.items():
            if future.done():
                self.departed(device_id, written[device_id])
            else:
                future.set_result(written[device_id])

    async def _write_departures(self) -> None:
        departing, self._departing = self._departing, {}
        try:
            async with self._database.transaction() as connection:
                await presence.depart(connection, departing, int(self._clock()))
        except BaseException:
            self._departing = departing | self._departing
            raise

    async def _look(self) -> None:
        if self._is_shared:
            await self._beat()
        self._looks += 1
        async with self._database.read() as connection:
            count = await presence.count_held(connection, self._node_id)
        if count != len(self._held) or self._looks % COMPARE_EVERY == 0:
            await self._compare()

    async def _beat(self) -> None:
        """Count a beat, and let go what nodes hold that have not beaten for `DEAD_AFTER_S`."""
        async with self._database.transaction() as connection:
            beats = await presence.beat(connection, self._node_id)
        now = asyncio.get_running_loop().time()
        before = self._beats
        self._beats = {
            node_id: before[node_id] if node_id in before and before[node_id][0] == count else (count, now)
            for node_id, count in beats.items()
            if node_id != self._node_id
        }
        for node_id, (count, since) in self._beats.items():
            if now - since < DEAD_AFTER_S:
                continue
            async with self._database.transaction() as connection:
                removed = await presence.remove_node(connection, node_id, int(self._clock()), beats=count)
            if removed:
                log.warning("relay_node_gone", node=node_id)

    async def _compare(self) -> None:
        """Mend the differences between what this node holds and what the rows say."""
        async with self._database.read() as connection:
            rows = await presence.held_by(connection, self._node_id)
            missing = [device_id for device_id, arrival in self._held.items() if rows.get(device_id) != arrival]
            rightful = await presence.newest(connection, missing)
        self._departing |= {device_id: arrival for device_id, arrival in rows.items() if device_id not in self._held}
        lost = {device_id: self._held[device_id] for device_id in missing if device_id in self._held}
        back = {
            device_id: arrival
            for device_id, arrival in lost.items()
            if device_id in rightful and rightful[device_id] == (arrival, None)
        }
        if back:
            async with self._database.transaction() as connection:
                await presence.come_back(connection, self._node_id, back, int(self._clock()))
        older = {
            device_id: arrival
            for device_id, arrival in lost.items()
            if device_id not in rightful or rightful[device_id].arrival > arrival
        }
        if older:
            self._superseded(older)
