"""The bus: what every implementation does, and what becomes of it when NATS goes and comes back."""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Callable

import pytest

from admittance.errors import Misuse, Unavailable
from admittance.server.bus.credentials import BusCredentials
from admittance.server.bus.local import LocalBus
from admittance.server.bus.nats import NatsBus, NatsServers
from admittance.server.bus.port import MAX_MESSAGE_BYTES, Bus
from tests.nats import NatsServer, nats_server

WITHIN_S = 10.0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.01)


def nats_bus(server: NatsServer, **settings: object) -> NatsBus:
    return NatsBus(NatsServers(urls=[server.url], **settings))  # type: ignore[arg-type]


@pytest.fixture(params=["local", "nats"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    made: Bus = LocalBus()
    if request.param == "nats":
        url: str = request.getfixturevalue("nats_url")
        made = NatsBus(NatsServers(urls=[url], prefix=f"test-{secrets.token_hex(6)}"))
    await made.start()
    assert made.connected
    yield made
    await made.close()


async def test_every_subscriber_of_a_subject_gets_each_message_in_order(bus: Bus) -> None:
    heard: list[tuple[str, bytes]] = []
    await bus.subscribe("news", lambda data: heard.append(("first", data)))
    await bus.subscribe("news", lambda data: heard.append(("second", data)))
    await bus.subscribe("other", lambda data: heard.append(("other", data)))
    for number in range(50):
        bus.publish("news", b"%d" % number)
    await until(lambda: len(heard) == 100)
    for name in ("first", "second"):
        assert [data for who, data in heard if who == name] == [b"%d" % number for number in range(50)]


async def test_a_message_is_delivered_after_its_sender_went_on(bus: Bus) -> None:
    heard: list[bytes] = []
    await bus.subscribe("news", heard.append)
    bus.publish("news", b"later")
    assert heard == []
    await until(lambda: heard == [b"later"])


async def test_a_handler_that_fails_takes_the_next_message(bus: Bus) -> None:
    heard: list[int] = []

    def handle(data: bytes) -> None:
        heard.append(10 // int(data))

    await bus.subscribe("numbers", handle)
    for data in (b"0", b"5"):
        bus.publish("numbers", data)
    await until(lambda: heard == [2])


async def test_requests_are_answered_at_the_same_time(bus: Bus) -> None:
    both = asyncio.Barrier(2)

    async def answer(data: bytes) -> bytes:
        await both.wait()
        return data.upper()

    await bus.serve("shout", answer)
    answers = await asyncio.gather(*(bus.request("shout", word, WITHIN_S) for word in (b"a", b"b")))
    assert answers == [b"A", b"B"]


async def test_a_request_that_nobody_serves_is_refused_at_once(bus: Bus) -> None:
    with pytest.raises(Unavailable, match="Nobody"):
        await bus.request("silence", b"", WITHIN_S)


async def test_a_responder_that_fails_or_is_slow_is_no_answer(bus: Bus) -> None:
    async def fail(_data: bytes) -> bytes:
        raise ZeroDivisionError

    async def sleep(_data: bytes) -> bytes:
        await asyncio.sleep(WITHIN_S)
        return b""

    await bus.serve("failing", fail)
    await bus.serve("slow", sleep)
    with pytest.raises(Unavailable, match="failed"):
        await bus.request("failing", b"", WITHIN_S)
    with pytest.raises(Unavailable, match="in time"):
        await bus.request("slow", b"", 0.05)


async def test_the_longest_message_arrives_and_a_longer_one_is_a_mistake(bus: Bus) -> None:
    heard: list[bytes] = []
    await bus.subscribe("long", heard.append)
    bus.publish("long", bytes(MAX_MESSAGE_BYTES))
    await until(lambda: [len(data) for data in heard] == [MAX_MESSAGE_BYTES])
    with pytest.raises(Misuse):
        bus.publish("long", bytes(MAX_MESSAGE_BYTES + 1))


async def test_what_was_published_before_closing_goes_out(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("admittance.server.bus.nats.CLOSE_WITHIN_S", WITHIN_S)
    servers = NatsServers(urls=[nats_url], prefix=f"test-{secrets.token_hex(6)}")
    leaving, staying = NatsBus(servers), NatsBus(servers)
    heard: list[bytes] = []
    await asyncio.gather(leaving.start(), staying.start())
    await staying.subscribe("last", heard.append)
    staying.publish("last", b"subscribed")
    await until(lambda: heard == [b"subscribed"])
    for _ in range(3):
        leaving.publish("last", bytes(100_000))
    await leaving.close()
    assert not leaving.connected
    await until(lambda: len(heard) == 4)
    await staying.close()


async def test_servers_that_share_a_nats_do_not_hear_each_other(nats_url: str) -> None:
    heard: dict[str, list[bytes]] = {"one": [], "two": []}
    buses = {name: NatsBus(NatsServers(urls=[nats_url], prefix=f"{secrets.token_hex(4)}-{name}")) for name in heard}
    for name, each in buses.items():
        await each.start()
        await each.subscribe("news", heard[name].append)
    for name, each in buses.items():
        each.publish("news", name.encode())
    await until(lambda: all(heard.values()))
    assert heard == {"one": [b"one"], "two": [b"two"]}
    for each in buses.values():
        await each.close()


async def test_subscriptions_hold_when_nats_was_killed_and_started_again(own_nats: NatsServer) -> None:
    bus = nats_bus(own_nats)
    await bus.start()
    heard: list[bytes] = []

    async def answer(data: bytes) -> bytes:
        return data

    await bus.subscribe("news", heard.append)
    await bus.serve("echo", answer)
    own_nats.kill()
    await until(lambda: not bus.connected)
    bus.publish("news", b"lost")
    with pytest.raises(Unavailable, match="not connected"):
        await bus.request("echo", b"", WITHIN_S)
    own_nats.start()
    await until(lambda: bus.connected)
    bus.publish("news", b"kept")
    await until(lambda: heard == [b"kept"])
    assert await bus.request("echo", b"again", WITHIN_S) == b"again"
    await bus.close()


async def test_a_bus_that_starts_before_nats_connects_once_that_is_there(
    own_nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("admittance.server.bus.nats.CONNECT_WITHIN_S", 0.2)
    own_nats.kill()
    bus = nats_bus(own_nats)
    heard: list[bytes] = []
    await bus.subscribe("news", heard.append)
    await bus.start()
    assert not bus.connected
    monkeypatch.undo()
    own_nats.start()
    await until(lambda: bus.connected)
    bus.publish("news", b"there")
    await until(lambda: heard == [b"there"])
    await bus.close()


async def test_tls_and_a_password_are_used_and_needed() -> None:
    settings = "authorization { user: node, password: s3cret }\n"
    with nats_server(tls=True, settings=settings) as server:
        context = ssl.create_default_context(cafile=server.ca_file)
        known = nats_bus(server, tls=context, credentials=BusCredentials(user="node", password="s3cret"))
        await known.start()
        assert known.connected
        await known.close()
        for refused in (
            nats_bus(server, tls=context, credentials=BusCredentials(user="node", password="wrong")),
            nats_bus(server, tls=ssl.create_default_context(), credentials=known._servers.credentials),
        ):
            starting = asyncio.create_task(refused._connection())
            with pytest.raises(Exception, match=r"(?i)authorization|certificate|servers"):
                await starting


async def test_nothing_is_said_to_a_nats_without_tls_where_tls_is_asked_for(nats_url: str) -> None:
    bus = NatsBus(NatsServers(urls=[nats_url.replace("nats:", "tls:")], tls=ssl.create_default_context()))
    with pytest.raises(Exception, match="no TLS"):
        await bus._connection()
