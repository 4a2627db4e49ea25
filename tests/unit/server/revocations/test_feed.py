"""The feed of endings: nothing is missed in whatever order transactions commit, and a node knows when it is blind."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.demo.postgres import postgres
from admittance.errors import Unavailable
from admittance.server.bus.local import LocalBus
from admittance.server.database import Database
from admittance.server.revocations import feed as feeds
from admittance.server.revocations.feed import EndingsFeed, Position, announce_endings
from admittance.server.revocations.store import Ending, endings, last_ending, record_ending

WITHIN_S = 10.0
NOW = 1_800_000_000.0


class Recorder:
    def __init__(self) -> None:
        self.heard: list[tuple[str, ...]] = []

    def ended(self, kind: str, key: str, number: int) -> None:
        self.heard.append((kind, key))

    def blinded(self) -> None:
        self.heard.append(("blinded",))

    def sighted(self) -> None:
        self.heard.append(("sighted",))


class Breakable:
    """A database whose reads can be made to fail or to hang."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.failure: Exception | None = None
        self.hangs = False

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        if self.failure is not None:
            raise self.failure
        if self.hangs:
            await asyncio.Event().wait()
        async with self._database.read() as connection:
            yield connection


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.005)


async def end(database: Database, kind: str, key: str) -> None:
    async with database.transaction() as connection:
        await record_ending(connection, kind, key, NOW)  # type: ignore[arg-type]


@asynccontextmanager
async def feeding(database: object, bus: LocalBus | None = None) -> AsyncIterator[tuple[EndingsFeed, Recorder]]:
    bus = bus or LocalBus()
    await bus.start()
    feed, recorder = EndingsFeed(database=database, bus=bus), Recorder()  # type: ignore[arg-type]
    feed.listen(recorder)
    await feed.start()
    yield feed, recorder
    await feed.close()
    await bus.close()


async def test_what_ended_before_the_start_is_not_told_and_what_ends_later_is_told_once(database: Database) -> None:
    await end(database, "device", "before")
    async with feeding(database) as (_, recorder):
        await end(database, "device", "first")
        await end(database, "token", "second")
        await until(lambda: len(recorder.heard) == 2)
        await end(database, "account", "third")
        await until(lambda: len(recorder.heard) == 3)
    assert recorder.heard == [("device", "first"), ("token", "second"), ("account", "third")]


async def test_an_announced_ending_is_read_at_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "POLL_EVERY_S", 3600.0)
    bus = LocalBus()
    announce_endings(database, bus)
    async with feeding(database, bus) as (_, recorder):
        await end(database, "device", "one")
        await until(lambda: recorder.heard == [("device", "one")])


async def test_nothing_is_announced_of_a_transaction_that_is_rolled_back(database: Database) -> None:
    bus = LocalBus()
    announced: list[bytes] = []
    await bus.start()
    await bus.subscribe(feeds.SUBJECT, announced.append)
    announce_endings(database, bus)

    async def fail() -> None:
        async with database.transaction() as connection:
            await record_ending(connection, "device", "kept", NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with database.transaction():
        pass
    await end(database, "device", "gone")
    await until(lambda: bool(announced))
    await asyncio.sleep(0)
    assert len(announced) == 1


async def test_an_ending_that_commits_after_a_later_one_is_told(empty_postgres: str) -> None:
    database = Database(empty_postgres)
    await database.migrate()
    async with feeding(database) as (_, recorder):
        async with database.transaction() as slow:
            await record_ending(slow, "device", "slow", NOW)
            await end(database, "device", "quick")
            await until(lambda: recorder.heard == [("device", "quick")])
        await until(lambda: len(recorder.heard) == 2)
        await end(database, "device", "next")
        await until(lambda: len(recorder.heard) == 3)
    assert recorder.heard == [("device", "quick"), ("device", "slow"), ("device", "next")]
    await database.close()


async def test_an_ending_under_way_when_the_node_started_is_told(empty_postgres: str) -> None:
    database = Database(empty_postgres)
    await database.migrate()
    async with database.transaction() as slow:
        await record_ending(slow, "device", "slow", NOW)
        await end(database, "device", "quick")
        recorder = Recorder()
        feed = EndingsFeed(database=database, bus=LocalBus())
        feed.listen(recorder)
        await feed.start()
    await until(lambda: recorder.heard == [("device", "slow")])
    await feed.close()
    await database.close()


async def test_the_newest_ending_of_an_access_is_known_to_whoever_looks(database: Database) -> None:
    for key in ("lamp", "lock", "lamp"):
        await end(database, "device", key)
    await end(database, "token", "lamp")
    async with database.read() as connection:
        assert await last_ending(connection, "device", "lamp") == 3
        assert await last_ending(connection, "device", "never") == 0


async def test_purging_the_log_hides_nothing_that_comes_after(database: Database) -> None:
    await end(database, "device", "one")
    async with feeding(database) as (_, recorder):
        async with database.transaction() as connection:
            await connection.execute(delete(endings))
        await end(database, "device", "two")
        await until(lambda: recorder.heard == [("device", "two")])
    async with feeding(database) as (_, recorder):
        async with database.transaction() as connection:
            await connection.execute(delete(endings))
        await end(database, "device", "three")
        await until(lambda: recorder.heard == [("device", "three")])


@pytest.mark.parametrize("fault", ["fails", "hangs"])
async def test_a_node_that_cannot_read_is_blind_until_it_reads_again(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    times = {"POLL_EVERY_S": 0.02, "MIN_READ_S": 0.01, "BLIND_AFTER_S": 0.06, "GIVE_UP_AFTER_S": 0.05}
    for name, value in times.items():
        monkeypatch.setattr(feeds, name, value)
    database = Breakable(sqlite_database)
    async with feeding(database) as (feed, recorder):
        assert not feed.is_blind
        if fault == "fails":
            database.failure = Unavailable("gone")
        else:
            database.hangs = True
        await until(lambda: feed.is_blind)
        await end(sqlite_database, "device", "meanwhile")
        database.failure, database.hangs = None, False
        await until(lambda: not feed.is_blind)
    assert recorder.heard == [("blinded",), ("device", "meanwhile"), ("sighted",)]


def processes_of(url: str) -> list[int]:
    """A PostgreSQL's first process and those that serve its connections."""
    first = int((Path(url.partition("host=")[2]) / "data" / "postmaster.pid").read_text().split()[0])
    return [first, *map(int, Path(f"/proc/{first}/task/{first}/children").read_text().split())]


async def test_a_node_is_blind_while_postgresql_stands_still() -> None:
    with postgres() as url:
        database = Database(url)
        await database.migrate()
        async with feeding(database) as (feed, recorder):
            await asyncio.sleep(0)
            for process in (stopped := processes_of(url)):
                os.kill(process, signal.SIGSTOP)
            try:
                await until(lambda: feed.is_blind)
            finally:
                for process in stopped:
                    os.kill(process, signal.SIGCONT)
            await until(lambda: not feed.is_blind)
            assert recorder.heard == [("blinded",), ("sighted",)]
        await database.close()


async def test_a_failed_read_alone_blinds_nobody(sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "POLL_EVERY_S", 0.01)
    monkeypatch.setattr(feeds, "RETRY_AFTER_S", 0.01)
    database = Breakable(sqlite_database)
    async with feeding(database) as (_, recorder):
        database.failure = RuntimeError("once")
        await asyncio.sleep(0.05)
        database.failure = None
        await end(sqlite_database, "token", "one")
        await until(lambda: bool(recorder.heard))
    assert recorder.heard == [("token", "one")]


async def test_a_listener_that_fails_keeps_nobody_from_hearing(sqlite_database: Database) -> None:
    class Failing(Recorder):
        def ended(self, kind: str, key: str, number: int) -> None:
            raise ZeroDivisionError

    bus, recorder = LocalBus(), Recorder()
    feed = EndingsFeed(database=sqlite_database, bus=bus)
    feed.listen(Failing())
    feed.listen(recorder)
    await feed.start()
    await end(sqlite_database, "device", "one")
    await end(sqlite_database, "device", "two")
    await until(lambda: len(recorder.heard) == 2)
    await feed.close()


@given(
    committed=st.permutations(range(1, 13)),
    rolled_back=st.sets(st.integers(1, 12)),
    batches=st.lists(st.integers(1, 5), min_size=1),
    start=st.integers(0, 12),
)
def test_in_whatever_order_rows_appear_each_is_told_once(
    committed: list[int], rolled_back: set[int], batches: list[int], start: int
) -> None:
    order = [number for number in committed if number not in rolled_back]
    table = [Ending(number, "device", "d") for number in sorted(order[:start])]
    position = Position(max((row.number for row in table), default=0), 0.0)
    position.skip([row for row in table if row.number > position.floor])
    told: list[int] = []
    rest, step = order[start:], 0
    while rest:
        count = batches[step % len(batches)]
        table = sorted([*table, *(Ending(number, "device", "d") for number in rest[:count])])
        rest, step = rest[count:], step + 1
        for _ in range(2):
            told += [row.number for row in position.advance([r for r in table if r.number > position.floor], 1.0)]
    assert sorted(told) == sorted(order[start:])


def test_a_number_that_never_comes_is_given_up() -> None:
    position = Position(0, 0.0)
    assert position.advance([Ending(3, "device", "d")], 10.0) == [Ending(3, "device", "d")]
    assert position.floor == 0
    assert position.advance([Ending(3, "device", "d")], 10.0 + feeds.GAP_TTL_S) == []
    assert position.floor == 3


def test_the_numbers_looked_for_are_bounded() -> None:
    position = Position(0, 0.0)
    position.advance([Ending(10 * feeds.MAX_GAPS, "device", "d")], 0.0)
    assert position.floor == 9 * feeds.MAX_GAPS - 1
