"""Two and three nodes in one process, over a real NATS and PostgreSQL."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from admittance.errors import DeviceOffline, QuotaExceeded, Unavailable
from admittance.server.bus.local import LocalBus
from admittance.server.bus.nats import NatsBus, NatsServers
from admittance.server.bus.port import Bus
from admittance.server.database import Database
from admittance.server.relay import arrivals, membership
from admittance.server.relay.cluster import Cluster
from admittance.server.relay.ports import DevicePort, Stream, StreamSink
from admittance.server.revocations.feed import EndingsFeed, announce_endings
from admittance.server.revocations.store import record_ending
from admittance.wire.relay import CloseReason
from tests.nats import NatsServer

WITHIN_S = 15.0
LAMP, LOCK = "ADLAMP", "ADLOCK"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.005)


class End:
    """Either end of a stream: what it got. A device's answers each message."""

    def __init__(self, answer_to: StreamSink | None = None) -> None:
        self.got: list[object] = []
        self._answer_to = answer_to

    def data(self, fragment: bytes, *, final: bool) -> None:
        self.got.append(fragment)
        if self._answer_to is not None:
            self._answer_to.data(fragment.upper(), final=final)

    def credit(self, frames: int) -> None:
        self.got.append(frames)

    def closed(self, reason: CloseReason) -> None:
        self.got.append(reason)

    def close(self, reason: CloseReason) -> None:
        self.got.append(reason)


class Device:
    """A connected device."""

    def __init__(self, device_id: str, arrival: int) -> None:
        self.device_id = device_id
        self.arrival = arrival
        self.streams: list[End] = []
        self.sinks: list[StreamSink] = []
        self.refuses = False

    async def open(self, sink: StreamSink) -> Stream:
        if self.refuses:
            raise QuotaExceeded("full")
        self.sinks.append(sink)
        self.streams.append(End(sink))
        return self.streams[-1]


class Node:
    """A node whose connections are only pretended. `LocalDevices` and `EndingsListener`."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self.bus = bus
        self.cluster = Cluster(database=database, bus=bus, clock=time.time)
        self.feed = EndingsFeed(database=database, bus=bus)
        self.devices: dict[str, Device] = {}
        self.ended_connections: list[tuple[str, CloseReason]] = []
        self.heard: list[tuple[str, ...]] = []
        self.feed.listen(self)

    def port(self, device_id: str) -> DevicePort | None:
        return self.devices.get(device_id)

    def end(self, device_id: str, arrival: int, reason: CloseReason) -> None:
        device = self.devices.get(device_id)
        if device is not None and device.arrival == arrival:
            self.disconnect(device_id)
            self.ended_connections.append((device_id, reason))

    def ended(self, kind: str, key: str, number: int) -> None:
        self.heard.append((kind, key))

    def blinded(self) -> None:
        self.heard.append(("blinded",))

    def sighted(self) -> None:
        self.heard.append(("sighted",))

    async def connect(self, device_id: str) -> Device:
        device = self.devices[device_id] = Device(device_id, await self.cluster.arrived(device_id))
        return device

    def disconnect(self, device_id: str) -> None:
        device = self.devices.pop(device_id)
        self.cluster.departed(device_id, device.arrival)
        for sink in device.sinks:
            sink.closed(CloseReason.OFFLINE)

    async def start(self) -> None:
        await self.bus.start()
        await self.feed.start()
        await self.cluster.start(self)

    async def stop(self) -> None:
        await self.cluster.close()
        await self.feed.close()
        await self.bus.close()

    async def crash(self) -> None:
        """End as a process that is killed: nothing more is said, and nothing heard."""
        self.bus.publish = lambda subject, data: None  # type: ignore[method-assign]
        for task in (self.cluster._arrivals._writing, self.cluster._membership._ticking):
            assert task is not None
            task.cancel()
        await self.feed.close()
        await self.bus.close()


Start = Callable[[], Awaitable[Node]]


@asynccontextmanager
async def cluster_of(url: str, database_url: str) -> AsyncIterator[Start]:
    prefix, made, databases = f"test-{secrets.token_hex(6)}", [], []

    async def start() -> Node:
        databases.append(Database(database_url))
        node = Node(databases[-1], NatsBus(NatsServers(urls=[url], prefix=prefix)))
        await node.start()
        made.append(node)
        return node

    yield start
    for node in made:
        await node.stop()
    for database in databases:
        await database.close()


@pytest.fixture
async def migrated(empty_postgres: str) -> str:
    database = Database(empty_postgres)
    await database.migrate()
    await database.close()
    return empty_postgres


@pytest.fixture
async def start(nats_url: str, migrated: str) -> AsyncIterator[Start]:
    async with cluster_of(nats_url, migrated) as made:
        yield made


async def open_at(node: Node, device_id: str, sink: StreamSink) -> Stream:
    return await (await node.cluster.find(device_id)).open(sink)


async def exchange(node: Node, device_id: str) -> tuple[Stream, End]:
    app = End()
    stream = await open_at(node, device_id, app)
    stream.data(b"hello", final=True)
    await until(lambda: app.got == [b"HELLO"])
    return stream, app


async def until_meeting(*nodes: Node) -> None:
    """Until every node has heard every other."""
    await until(lambda: all(len(node.cluster._membership._heard) == len(nodes) for node in nodes))


async def test_an_app_talks_with_a_device_on_another_node_or_its_own(start: Start) -> None:
    one, two, three = [await start() for _ in range(3)]
    await one.connect(LAMP)
    await two.connect(LOCK)
    for node in (one, two, three):
        for device_id in (LAMP, LOCK):
            stream, _ = await exchange(node, device_id)
            stream.close(CloseReason.NORMAL)
    await until(lambda: all(CloseReason.NORMAL in end.got for end in one.devices[LAMP].streams))
    assert await three.cluster.node_of(LAMP) == one.cluster.node_id


async def test_many_streams_of_many_messages_arrive_whole_and_in_order(start: Start) -> None:
    one, two = await start(), await start()
    await two.connect(LAMP)
    apps = [End() for _ in range(10)]
    streams = [await open_at(one, LAMP, app) for app in apps]
    messages = [secrets.token_hex(200).encode() for _ in range(100)]
    for message in messages:
        for stream in streams:
            stream.data(message, final=True)
    await until(lambda: all(len(app.got) == len(messages) for app in apps))
    for app in apps:
        assert app.got == [message.upper() for message in messages]


async def test_a_device_that_is_nowhere_or_refuses_is_told(start: Start) -> None:
    one, two = await start(), await start()
    with pytest.raises(DeviceOffline):
        await one.cluster.find(LAMP)
    (await two.connect(LAMP)).refuses = True
    with pytest.raises(QuotaExceeded):
        await open_at(one, LAMP, End())
    two.disconnect(LAMP)

    async def is_offline() -> bool:
        try:
            await open_at(one, LAMP, End())
        except DeviceOffline:
            return await one.cluster.node_of(LAMP) is None
        return False

    async with asyncio.timeout(WITHIN_S):
        while not await is_offline():
            await asyncio.sleep(0.01)


async def test_the_newest_connection_of_a_device_wins_on_all_nodes(start: Start) -> None:
    one, two = await start(), await start()
    await one.connect(LAMP)
    _, app = await exchange(two, LAMP)
    await two.connect(LAMP)
    await until(lambda: one.ended_connections == [(LAMP, CloseReason.SUPERSEDED)])
    await until(lambda: app.got == [b"HELLO", CloseReason.OFFLINE])
    await exchange(one, LAMP)
    assert len(two.devices[LAMP].streams) == 1


async def test_streams_fail_at_once_when_a_node_dies_and_the_device_is_reached_elsewhere(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "DEAD_AFTER_S", 1.5)
    one, two, three = [await start() for _ in range(3)]
    await until_meeting(one, two, three)
    await two.connect(LAMP)
    await two.connect(LOCK)
    _, app = await exchange(one, LAMP)
    await two.crash()
    await until(lambda: app.got[-1] is CloseReason.UNAVAILABLE)
    with pytest.raises(DeviceOffline):
        await one.cluster.find(LOCK)
    await three.connect(LAMP)
    await exchange(one, LAMP)
    async with asyncio.timeout(WITHIN_S):
        while await one.cluster.node_of(LOCK) is not None:
            await asyncio.sleep(0.05)


async def test_a_node_that_leaves_says_so(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = await start(), await start()
    await until_meeting(one, two)
    monkeypatch.setattr(membership, "DEAD_AFTER_S", 3600.0)
    await two.connect(LAMP)
    _, app = await exchange(one, LAMP)
    await two.cluster.close()
    await until(lambda: app.got[-1] is CloseReason.UNAVAILABLE)
    assert await one.cluster.node_of(LAMP) is None


async def test_a_revocation_reaches_every_node_also_one_whose_bus_is_cut_off(start: Start, migrated: str) -> None:
    one, two, cut_off = [await start() for _ in range(3)]
    await cut_off.bus.close()
    database = Database(migrated)
    announce_endings(database, one.bus)
    async with database.transaction() as connection:
        await record_ending(connection, "device", LAMP, time.time())
    await database.close()
    await until(lambda: all(node.heard == [("device", LAMP)] for node in (one, two, cut_off)))


async def test_a_node_without_bus_keeps_its_own_streams_and_fails_the_others(start: Start) -> None:
    one, two = await start(), await start()
    await until_meeting(one, two)
    await one.connect(LOCK)
    await two.connect(LAMP)
    _, across = await exchange(one, LAMP)
    local, here = await exchange(one, LOCK)
    await one.bus.close()
    await until(lambda: across.got[-1] is CloseReason.UNAVAILABLE)
    await until(lambda: two.devices[LAMP].streams[-1].got[-1] is CloseReason.UNAVAILABLE)
    local.data(b"still", final=True)
    assert here.got == [b"HELLO", b"STILL"]
    with pytest.raises(Unavailable):
        await one.cluster.find(LAMP)


async def test_nodes_find_each_other_again_when_nats_was_killed_and_started_again(
    own_nats: NatsServer, migrated: str
) -> None:
    async with cluster_of(own_nats.url, migrated) as start:
        one, two = await start(), await start()
        await until_meeting(one, two)
        await two.connect(LAMP)
        _, app = await exchange(one, LAMP)
        own_nats.kill()
        await until(lambda: app.got[-1] is CloseReason.UNAVAILABLE)
        await until(lambda: two.devices[LAMP].streams[0].got[-1] is CloseReason.UNAVAILABLE)
        own_nats.start()
        await until_meeting(one, two)
        await exchange(one, LAMP)


async def test_what_was_sent_while_nats_was_away_for_a_moment_is_not_silently_lost(
    own_nats: NatsServer, migrated: str
) -> None:
    async with cluster_of(own_nats.url, migrated) as start:
        one, two = await start(), await start()
        await until_meeting(one, two)
        await two.connect(LAMP)
        stream, app = await exchange(one, LAMP)
        own_nats.kill()
        await until(lambda: not one.bus.connected)
        stream.data(b"lost", final=True)
        own_nats.start()
        await until(lambda: app.got[-1] is CloseReason.UNAVAILABLE)
        await until(lambda: two.devices[LAMP].streams[0].got[-1] is CloseReason.UNAVAILABLE)


async def test_a_process_that_stood_still_does_not_take_the_others_for_dead(start: Start) -> None:
    one, two = await start(), await start()
    await until_meeting(one, two)
    await two.connect(LAMP)
    stream, app = await exchange(one, LAMP)
    time.sleep(1.3)
    await asyncio.sleep(0.3)
    stream.data(b"still here", final=True)
    await until(lambda: app.got == [b"HELLO", b"STILL HERE"])


async def test_a_node_of_which_only_messages_arrive_is_not_taken_for_dead(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As just after its bus was cut off: streams that were opened since would fail before its first beat came."""
    one, two = await start(), await start()
    await until_meeting(one, two)
    await two.connect(LAMP)
    stream, app = await exchange(one, LAMP)
    monkeypatch.setattr(two.cluster._membership, "_say", lambda what: None)
    for number in range(1, 9):
        await asyncio.sleep(membership.DEAD_AFTER_S / 4)
        stream.data(b"still here", final=True)
        await until(lambda expected=number: app.got[1:] == [b"STILL HERE"] * expected)
    await until(lambda: app.got[-1] is CloseReason.UNAVAILABLE)


async def test_a_single_process_is_its_own_cluster(sqlite_database: Database) -> None:
    node = Node(sqlite_database, LocalBus())
    await node.start()
    await node.connect(LAMP)
    await exchange(node, LAMP)
    assert await node.cluster.node_of(LAMP) == node.cluster.node_id
    node.disconnect(LAMP)
    with pytest.raises(DeviceOffline):
        await node.cluster.find(LAMP)
    assert await node.cluster.node_of(LAMP) is None
    await node.stop()


async def test_what_is_no_batch_and_no_beat_does_no_harm(start: Start) -> None:
    one, two = await start(), await start()
    await until_meeting(one, two)
    for subject in (membership.SUBJECT, f"link.{two.cluster.node_id}", "arrivals"):
        one.bus.publish(subject, b"\xff" * 30)
    await two.connect(LAMP)
    await exchange(one, LAMP)
