import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from admittance.errors import ChannelLost, DeviceOffline, Misuse, Throttled, Unavailable
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.bus.local import LocalBus
from admittance.server.conversation import calls, conversation
from admittance.server.conversation.conversation import Conversation
from admittance.server.conversation.resources import ConversingDevice, Resources
from admittance.server.conversation.service import ConversationService
from admittance.server.database import Database
from admittance.server.relay.ports import Need
from admittance.server.relay.presence import arrive
from admittance.wire import message
from admittance.wire.coap import codes, stream
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import OSCORE, path_options
from admittance.wire.message import Message
from admittance.wire.readings import EndedNotice, ServerTime
from admittance.wire.relay import CloseReason
from tests.device_world import FakeDevice, World
from tests.unit.server.conversation.device_end import DeviceEnd, Handle, new_key

PING = CoapMessage(codes.GET, options=path_options("/ping"))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


@dataclass
class Site:
    """Nodes of one server, and one of its devices."""

    world: World
    owner: AuthenticatedAccount
    device: FakeDevice
    key: ChannelKey
    bus: LocalBus = field(default_factory=LocalBus)
    nodes: list[ConversationService] = field(default_factory=list)
    settled: list[bool] = field(default_factory=list)
    wanted: bool = False
    waiting: asyncio.Event = field(default_factory=asyncio.Event)

    async def node(self, name: str) -> ConversationService:
        made = ConversationService(
            node_id=name,
            database=self.world.database,
            bus=self.bus,
            key=ChannelKey(self.world.keystore.channel_key),
            resources=self.resources(),
            wants_readings=self._wants,
            randomness=os.urandom,
        )
        await made.start()
        self.nodes.append(made)
        return made

    def resources(self) -> Resources:
        async def count(device: ConversingDevice, payload: bytes) -> Message:
            assert device == ConversingDevice(self.device.device_id, self.device.epoch)
            return ServerTime(len(payload))

        async def wait(_device: ConversingDevice, payload: bytes) -> Message:
            await self.waiting.wait()
            return ServerTime(0)

        return {("POST", "/count"): count, ("POST", "/wait"): wait}

    def end(self, handle: Handle = lambda _: CoapMessage(codes.CHANGED), *, silent: bool = False) -> DeviceEnd:
        return DeviceEnd(self.key, self.world.keystore.channel_spki, handle, silent=silent)

    def attach(self, node: ConversationService, end: DeviceEnd, need: Need = "none") -> Conversation:
        made = node.attach(self.device.device_id, self.device.epoch, end, need=need, settled=self.settled.append)
        end.sink = made
        return made

    async def _wants(self, device_id: str) -> bool:
        return self.wanted and device_id == self.device.device_id


@pytest.fixture
async def site(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[Site]:
    world, key = World(sqlite_database, tmp_path), new_key()
    owner, device = await world.account(), world.device()
    device.channel = key.credential.spki
    await world.take(device)
    await world.onboard(owner, device)
    made = Site(world, owner, device, key)
    await made.bus.start()
    yield made
    for node in made.nodes:
        await node.close()
    await made.bus.close()


async def test_a_request_opens_a_channel_and_is_answered(site: Site) -> None:
    node, end = await site.node("a"), site.end()
    site.attach(node, end)
    answers = await asyncio.gather(*(node.request(site.device.device_id, PING, 5) for _ in range(3)))
    assert [answer.code for answer in answers] == [codes.CHANGED] * 3
    assert (end.handshakes, [asked.path for asked in end.asked]) == (1, ["/ping"] * 3)


async def test_a_request_of_64_kib_goes_both_ways(site: Site) -> None:
    body = os.urandom(60_000)
    node, end = await site.node("a"), site.end(handle=lambda asked: CoapMessage(codes.CHANGED, payload=asked.payload))
    site.attach(node, end)
    request = CoapMessage(codes.POST, options=path_options("/echo"), payload=body)
    assert (await node.request(site.device.device_id, request, 5)).payload == body


async def test_another_node_asks_the_node_that_holds_the_device(site: Site) -> None:
    holding, asking = await site.node("a"), await site.node("b")
    site.attach(holding, site.end(handle=lambda asked: CoapMessage(codes.CONTENT, payload=b"pong")))
    with pytest.raises(DeviceOffline):
        await asking.request(site.device.device_id, PING, 5)
    async with site.world.database.transaction() as connection:
        await arrive(connection, "a", [site.device.device_id], 0)
    answer = await asking.request(site.device.device_id, PING, 5)
    assert (answer.code, answer.payload) == (codes.CONTENT, b"pong")


async def test_errors_come_back_over_the_bus_as_they_are(site: Site) -> None:
    holding, asking = await site.node("a"), await site.node("b")
    async with site.world.database.transaction() as connection:
        await arrive(connection, "a", [site.device.device_id], 0)
    with pytest.raises(DeviceOffline):
        await asking.request(site.device.device_id, PING, 5)
    site.attach(holding, site.end(handle=lambda _: None))
    with pytest.raises(ChannelLost):
        await asking.request(site.device.device_id, PING, 0.3)
    async with site.world.database.transaction() as connection:
        await arrive(connection, "gone", [site.device.device_id], 0)
    with pytest.raises(Unavailable):
        await asking.request(site.device.device_id, PING, 5)


async def test_what_is_no_call_is_answered_with_an_error(site: Site) -> None:
    await site.node("a")
    with pytest.raises(Unavailable):
        calls.response_of(message.encode(calls.Returned(b"", "something_new")))
    returned = message.decode(await site.bus.request(calls.subject("a"), b"\x80", 1), calls.Returned)
    assert returned.error == "malformed"


async def test_a_device_that_says_nothing_is_given_up_in_time(site: Site) -> None:
    node = await site.node("a")
    site.attach(node, site.end(silent=True))
    with pytest.raises(ChannelLost):
        await node.request(site.device.device_id, PING, 0.2)
    with pytest.raises(Misuse):
        await node.request(site.device.device_id, PING, 61)


async def test_requests_fail_when_the_device_goes_while_they_wait(site: Site) -> None:
    node, end = await site.node("a"), site.end(handle=lambda _: None)
    sink = site.attach(node, end)
    asked = asyncio.create_task(node.request(site.device.device_id, PING, 5))
    await until(lambda: bool(end.asked))
    sink.closed(CloseReason.OFFLINE)
    with pytest.raises(ChannelLost):
        await asked
    with pytest.raises(DeviceOffline):
        await node.request(site.device.device_id, PING, 5)


async def test_a_newer_connection_of_the_device_is_the_one_that_is_asked(site: Site) -> None:
    node, old, new = await site.node("a"), site.end(), site.end()
    first = site.attach(node, old)
    site.attach(node, new)
    first.closed(CloseReason.SUPERSEDED)
    await node.request(site.device.device_id, PING, 5)
    assert (len(old.asked), len(new.asked)) == (0, 1)


async def test_the_device_asks_the_server_over_the_same_channel(site: Site) -> None:
    node, end = await site.node("a"), site.end()
    site.attach(node, end)
    await node.request(site.device.device_id, PING, 5)
    end.ask(CoapMessage(codes.POST, options=path_options("/count"), payload=bytes(5000)))
    end.ask(CoapMessage(codes.POST, options=path_options("/other")))
    await until(lambda: len(end.answers) == 2)
    found = {answer.code: answer for answer in end.answers if isinstance(answer, CoapMessage)}
    assert message.decode(found[codes.CHANGED].payload, ServerTime) == ServerTime(5000)
    assert codes.NOT_FOUND in found


async def test_no_more_than_eight_requests_of_a_device_are_worked_on_at_once(site: Site) -> None:
    node, end = await site.node("a"), site.end()
    site.attach(node, end)
    await node.request(site.device.device_id, PING, 5)
    for _ in range(conversation.MAX_ANSWERING + 1):
        end.ask(CoapMessage(codes.POST, options=path_options("/wait")))
    await until(lambda: len(end.answers) == 1)
    site.waiting.set()
    await until(lambda: len(end.answers) == conversation.MAX_ANSWERING + 1)
    answered = [answer.code for answer in end.answers if isinstance(answer, CoapMessage)]
    assert answered == [codes.UNAVAILABLE] + [codes.CHANGED] * conversation.MAX_ANSWERING


async def test_no_more_than_32_requests_wait_for_a_device(site: Site) -> None:
    node, end = await site.node("a"), site.end(handle=lambda _: None)
    sink = site.attach(node, end)
    asked = [
        asyncio.create_task(node.request(site.device.device_id, PING, 5)) for _ in range(conversation.MAX_ASKING)
    ]
    await until(lambda: len(end.asked) > 0)
    with pytest.raises(Throttled):
        await node.request(site.device.device_id, PING, 5)
    sink.closed(CloseReason.OFFLINE)
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {ChannelLost}


async def test_a_channel_opens_by_itself_where_readings_are_wanted(site: Site) -> None:
    site.wanted = True
    node, end = await site.node("a"), site.end()
    site.attach(node, end)
    await until(lambda: end.handshakes == 1)


async def test_a_channel_opens_once_the_owner_agreed_on_another_node(site: Site) -> None:
    node, end = await site.node("a"), site.end()
    site.attach(node, end)
    await asyncio.sleep(0)
    assert end.handshakes == 0
    site.bus.publish(calls.WAKE, site.device.device_id.encode())
    site.bus.publish(calls.WAKE, b"\xff unknown")
    await until(lambda: end.handshakes == 1)


async def test_a_kept_channel_that_ended_opens_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "FIRST_RETRY_S", 0.01)
    site.wanted = True
    node, end = await site.node("a"), site.end()
    site.attach(node, end)
    await until(lambda: end.handshakes == 1)
    for _ in range(100):
        end.send_raw(b"\x00")
        end.send_raw(stream.encode(CoapMessage(codes.POST, options=((OSCORE, b"\x09\x00\x17"),), payload=b"made up")))
    await until(lambda: end.handshakes == 2)
    assert (await node.request(site.device.device_id, PING, 5)).code == codes.CHANGED


@pytest.mark.parametrize("is_genuine", [True, False])
async def test_a_device_without_tls_proves_its_channel_key_first(site: Site, is_genuine: bool) -> None:
    node, end = await site.node("a"), site.end()
    if not is_genuine:
        end.key = new_key()
        end.restart()
    site.attach(node, end, "proof")
    await until(lambda: bool(site.settled))
    assert site.settled == [is_genuine]


async def test_a_device_that_says_nothing_has_proved_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("admittance.server.conversation.service.SETTLE_S", 0.1)
    node = await site.node("a")
    site.attach(node, site.end(silent=True), "proof")
    await until(lambda: bool(site.settled))
    assert site.settled == [False]


async def test_an_ended_device_is_told_so_and_serves_nobody_else(site: Site) -> None:
    [owner_row] = await site.world.services.fleet.list(site.owner)
    assert owner_row.record.channel_spki == site.key.credential.spki
    await site.world.services.fleet.release(site.owner, site.device.device_id)
    node, end = await site.node("a"), site.end()
    site.attach(node, end, "notice")
    await until(lambda: bool(site.settled))
    assert site.settled == [True]
    [told] = end.asked
    assert (told.path, message.decode(told.payload, EndedNotice)) == ("/server/ended", EndedNotice(site.device.epoch))
    with pytest.raises(DeviceOffline):
        await node.request(site.device.device_id, PING, 1)


async def test_a_connected_device_is_told_when_its_access_ends(site: Site) -> None:
    node, end = await site.node("a"), site.end()
    site.attach(node, end)
    await site.world.services.lifecycle.report(site.owner, site.device.device_id, "stolen")
    node.tell_ended(site.device.device_id, site.settled.append)
    await until(lambda: bool(site.settled))
    node.tell_ended("AD" + "A" * 20, site.settled.append)
    await until(lambda: len(site.settled) == 2)
    assert (site.settled, [asked.path for asked in end.asked]) == ([True, False], ["/server/ended"])


async def test_a_device_whose_epoch_goes_on_is_not_told_to_forget_it(site: Site) -> None:
    """Only its certificate was superseded, as when its owner provisions it again after a reset."""
    node, end = await site.node("a"), site.end()
    site.device.resets = 1
    await site.world.activate(site.owner, site.device)
    site.attach(node, end, "notice")
    await until(lambda: bool(site.settled))
    assert (site.settled, end.asked) == ([False], [])


async def test_nothing_is_settled_once_the_device_is_gone(site: Site) -> None:
    node, end = await site.node("a"), site.end(handle=lambda _: None)
    await site.world.services.fleet.revoke(site.owner, site.device.device_id, "broken")
    sink = site.attach(node, end, "notice")
    await until(lambda: bool(end.asked))
    sink.closed(CloseReason.OFFLINE)
    await asyncio.sleep(0.05)
    assert site.settled == []


async def test_a_device_that_told_no_channel_key_has_no_conversation(site: Site) -> None:
    other = site.world.device()
    await site.world.take(other)
    node = await site.node("a")
    node.attach(other.device_id, 1, site.end(), need="none", settled=site.settled.append)
    with pytest.raises(Unavailable):
        await node.request(other.device_id, PING, 1)
