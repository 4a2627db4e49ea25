"""Who holds a device: the newest connection, on both databases, whatever nodes do at the same time or fail to do."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import event

from admittance.errors import Unavailable
from admittance.server.database import Database
from admittance.server.relay import arrivals as arriving
from admittance.server.relay import presence
from admittance.server.relay.arrivals import DeviceArrivals
from admittance.server.relay.presence import Whereabouts

NOW = 1_800_000_000
WITHIN_S = 10.0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.005)


async def node_of(database: Database, device_id: str) -> str | None:
    async with database.read() as connection:
        return await presence.find_node(connection, device_id)


async def until_held(database: Database, device_id: str, node_id: str | None) -> None:
    async with asyncio.timeout(WITHIN_S):
        while await node_of(database, device_id) != node_id:
            await asyncio.sleep(0.01)


class Node:
    """A node's arrivals, and what they told it."""

    def __init__(self, database: Database, node_id: str, *, is_shared: bool = True) -> None:
        self.told: dict[str, int] = {}
        self.superseded: dict[str, int] = {}
        self.arrivals = DeviceArrivals(
            database=database,
            clock=lambda: NOW,
            node_id=node_id,
            is_shared=is_shared,
            arrived_here=self.told.update,
            superseded=self.hear,
        )

    def hear(self, older: Mapping[str, int]) -> None:
        self.superseded |= older
        for device_id, arrival in older.items():
            self.arrivals.departed(device_id, arrival)

    async def crash(self) -> None:
        """Stop without telling anybody."""
        assert self.arrivals._writing is not None
        self.arrivals._writing.cancel()
        await asyncio.gather(self.arrivals._writing, return_exceptions=True)


@asynccontextmanager
async def nodes(database: Database, *names: str) -> AsyncIterator[list[Node]]:
    made = [Node(database, name) for name in names]
    for node in made:
        await node.arrivals.start()
    yield made
    for node in made:
        await node.arrivals.close()


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arriving, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(arriving, "DEAD_AFTER_S", 0.2)


async def test_a_device_is_where_it_connected_last(database: Database) -> None:
    async with nodes(database, "one", "two") as (one, two):
        first = await one.arrivals.arrived("lamp")
        assert await node_of(database, "lamp") == "one"
        second = await two.arrivals.arrived("lamp")
        assert second > first
        assert await node_of(database, "lamp") == "two"
        assert one.arrivals.older(two.told) == {"lamp": first}
        assert two.arrivals.older(one.told) == {}


async def test_a_departure_of_an_older_connection_changes_nothing(database: Database) -> None:
    async with nodes(database, "one", "two") as (one, two):
        first = await one.arrivals.arrived("lamp")
        await two.arrivals.arrived("lamp")
        one.arrivals.departed("lamp", first)
        await one.arrivals.arrived("other")
        assert await node_of(database, "lamp") == "two"


async def test_a_device_that_left_is_nowhere_and_its_next_arrival_is_newer(database: Database) -> None:
    async with nodes(database, "one") as (one,):
        first = await one.arrivals.arrived("lamp")
        one.arrivals.departed("lamp", first)
        await until_held(database, "lamp", None)
        async with database.read() as connection:
            assert await presence.whereabouts(connection, ["lamp", "never"]) == {"lamp": Whereabouts(None, NOW)}
        assert await one.arrivals.arrived("lamp") > first


async def test_of_connections_at_once_one_is_the_newest(database: Database) -> None:
    async with nodes(database, "one", "two") as both:
        numbers = await asyncio.gather(*(node.arrivals.arrived("lamp") for node in both * 5))
        assert sorted(numbers) == list(range(1, 11))
        newest = both[numbers.index(10) % 2]
        assert await node_of(database, "lamp") == ("one" if newest is both[0] else "two")


async def test_nodes_that_write_many_at_once_wait_for_each_other(database: Database) -> None:
    ids = [f"device-{number}" for number in range(100)]
    async with nodes(database, "one", "two") as both:
        arrived = [node.arrivals.arrived(each) for node in both for each in ids]
        numbers = await asyncio.gather(*arrived)
        assert sorted(numbers) == sorted([1, 2] * 100)
        for node, own in zip(both, (numbers[:100], numbers[100:]), strict=True):
            for each, arrival in zip(reversed(ids), reversed(own), strict=True):
                node.arrivals.departed(each, arrival)
        await until_held(database, ids[0], None)
        await until_held(database, ids[-1], None)


async def test_a_node_lets_go_of_everything_when_it_stops(database: Database) -> None:
    async with nodes(database, "one", "two") as (one, two):
        await one.arrivals.arrived("lamp")
        await two.arrivals.arrived("lock")
        await one.arrivals.close()
        assert await node_of(database, "lamp") is None
        assert await node_of(database, "lock") == "two"


@pytest.mark.usefixtures("quickly")
async def test_what_a_dead_node_held_does_not_linger(database: Database) -> None:
    async with nodes(database, "one", "two") as (one, two):
        await one.arrivals.arrived("lamp")
        await two.arrivals.arrived("lock")
        await one.crash()
        await until_held(database, "lamp", None)
        assert await node_of(database, "lock") == "two"


@pytest.mark.usefixtures("quickly")
async def test_a_node_that_was_taken_for_dead_claims_its_devices_again(database: Database) -> None:
    async with nodes(database, "one") as (one,):
        await one.arrivals.arrived("lamp")
        async with database.transaction() as connection:
            await presence.remove_node(connection, "one", NOW)
        await until_held(database, "lamp", "one")
        assert one.superseded == {}


@pytest.mark.usefixtures("quickly")
async def test_a_node_that_did_not_hear_the_bus_finds_out_what_was_taken_over(database: Database) -> None:
    async with nodes(database, "one", "two") as (one, two):
        first = await one.arrivals.arrived("lamp")
        await two.arrivals.arrived("lamp")
        await until(lambda: bool(one.superseded))
        assert one.superseded == {"lamp": first}
        assert await node_of(database, "lamp") == "two"


@pytest.mark.usefixtures("quickly")
async def test_rows_of_devices_that_a_node_does_not_hold_are_mended(database: Database) -> None:
    async with nodes(database, "one") as (one,):
        await one.arrivals.arrived("lamp")
        async with database.transaction() as connection:
            await presence.arrive(connection, "one", ["ghost"], NOW)
        await until_held(database, "ghost", None)
        assert await node_of(database, "lamp") == "one"


@pytest.mark.parametrize("is_shared", [False, True])
async def test_a_node_that_starts_lets_go_what_crashed_ones_held(database: Database, is_shared: bool) -> None:
    async with database.transaction() as connection:
        await presence.arrive(connection, "crashed", ["lamp"], NOW)
    node = Node(database, "new", is_shared=is_shared)
    await node.arrivals.start()
    assert await node_of(database, "lamp") is None
    await node.arrivals.close()


async def test_a_connection_that_ends_while_it_is_written_is_let_go(database: Database) -> None:
    async with nodes(database, "one") as (one,):
        waiting = asyncio.create_task(one.arrivals.arrived("lamp"))
        await asyncio.sleep(0)
        waiting.cancel()
        await until(lambda: bool(one.told))
        await until_held(database, "lamp", None)


async def test_an_arrival_that_cannot_be_written_is_refused(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> dict[str, int]:
        raise Unavailable("gone")

    async with nodes(sqlite_database, "one") as (one,):
        with monkeypatch.context() as patch:
            patch.setattr(presence, "arrive", fail)
            with pytest.raises(Unavailable):
                await one.arrivals.arrived("lamp")
        assert await one.arrivals.arrived("lamp") == 1


async def test_a_departure_that_cannot_be_written_is_written_later(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arriving, "RETRY_AFTER_S", 0.01)
    failures: list[int] = []
    write = presence.depart

    async def fail_once(*arguments: object) -> None:
        if not failures:
            failures.append(1)
            raise Unavailable("gone")
        await write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(presence, "depart", fail_once)
    async with nodes(sqlite_database, "one") as (one,):
        one.arrivals.departed("lamp", await one.arrivals.arrived("lamp"))
        await until_held(sqlite_database, "lamp", None)
    assert failures == [1]


async def test_arrivals_at_once_share_a_transaction(sqlite_database: Database) -> None:
    commits: list[int] = []
    async with nodes(sqlite_database, "one") as (one,):
        event.listen(sqlite_database.engine.sync_engine, "commit", lambda _: commits.append(1))
        await asyncio.gather(*(one.arrivals.arrived(f"device-{number}") for number in range(arriving.BATCH + 1)))
    assert len(commits) <= 4
