"""A device over Bluetooth: the channel of owners and guests, strangers, and controllers that go."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import cbor2
import pytest
from bumble.core import BaseBumbleError
from bumble.device import Peer

from admittance.client.channel.ble_link import BleWay
from admittance.client.channel.content import Content
from admittance.client.channel.device_channel import DeviceChannel
from admittance.client.channel.opener import WaysOpener
from admittance.device.ble import peripheral
from admittance.device.ble.peripheral import BlePeripheral
from admittance.device.channel import conversation
from admittance.errors import AuthenticationFailed, ConfigurationError, DeviceOffline, Unavailable
from admittance.premises.air import Air
from admittance.protocol.channel.channel import Channel
from admittance.transport.ble import controller
from admittance.wire.gatt import SERVICE, TO_DEVICE
from tests.ble_world import air
from tests.unit.device.channel.apps import DEVICE, App, House

PATIENCE_S = 20.0


@asynccontextmanager
async def in_range(name: str, house: House) -> AsyncIterator[None]:
    """The house's device, in range."""
    running = asyncio.create_task(BlePeripheral(name, DEVICE, house.conversations, house.log).run())
    try:
        await until(lambda: "ble_opened" in house.logged)
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.02)


def channel_of(app: App, house: House, name: str) -> DeviceChannel:
    def make(datagrams: bool) -> Channel:
        return Channel.initiator(app.channel_key, house.credential, random=os.urandom, datagrams=datagrams)

    return DeviceChannel(DEVICE, WaysOpener([BleWay(DEVICE, name)], make, "refused"))


@pytest.fixture
async def name(tmp_path: Path) -> AsyncIterator[str]:
    async with air(tmp_path) as opened:
        yield opened


@pytest.fixture
def owner() -> App:
    return App("phone")


async def test_an_owner_talks_over_bluetooth(tmp_path: Path, name: str, owner: App) -> None:
    house = House(tmp_path, owner)
    async with in_range(name, house), channel_of(owner, house, name) as channel:
        assert cbor2.loads((await channel.get("/lamp")).payload) == {"level": 1}
        await channel.put("/lamp", Content.of_cbor({"level": 7}))
        assert house.level == 7


async def test_who_observes_is_told(tmp_path: Path, name: str, owner: App) -> None:
    house = House(tmp_path, owner)
    async with in_range(name, house), channel_of(owner, house, name) as channel:
        seen = []
        async for content in channel.observe("/lamp"):
            seen.append(cbor2.loads(content.payload)["level"])
            house.level += 1
            house.conversations.changed("/lamp")
            if len(seen) == 3:
                break
    assert seen == [1, 2, 3]


async def test_a_large_body_comes_whole(tmp_path: Path, name: str, owner: App) -> None:
    house = House(tmp_path, owner)
    async with in_range(name, house), channel_of(owner, house, name) as channel:
        body = os.urandom(20_000)
        answer = await channel.put("/echo", Content(body))
        assert answer.payload == body


async def test_two_apps_at_once_and_a_third_after_one_left(tmp_path: Path, name: str) -> None:
    apps = [App(f"app {number}") for number in range(3)]
    house = House(tmp_path, *apps)
    async with in_range(name, house), AsyncExitStack() as stack:
        first = await stack.enter_async_context(channel_of(apps[0], house, name))
        await stack.enter_async_context(channel_of(apps[1], house, name))
        await first.close()
        third = await stack.enter_async_context(channel_of(apps[2], house, name))
        assert cbor2.loads((await third.get("/lamp")).payload) == {"level": 1}


async def test_an_app_that_is_not_listed_is_refused(tmp_path: Path, name: str, owner: App) -> None:
    house = House(tmp_path, owner)
    async with in_range(name, house):
        with pytest.raises(AuthenticationFailed):
            async with channel_of(App("stranger"), house, name):
                pass


async def test_a_device_out_of_range(tmp_path: Path, name: str, owner: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("admittance.client.channel.ble_link.SCAN_S", 0.2)
    with pytest.raises(DeviceOffline):
        async with channel_of(owner, House(tmp_path, owner), name):
            pass


async def test_no_controller(tmp_path: Path, owner: App) -> None:
    house = House(tmp_path, owner)
    with pytest.raises(Unavailable):
        async with channel_of(owner, house, f"unix:{tmp_path / 'nowhere'}"):
            pass
    with pytest.raises(ConfigurationError):
        async with channel_of(owner, house, "carrier pigeon"):
            pass


async def test_a_stranger_that_says_nothing_holds_no_place(
    tmp_path: Path, name: str, owner: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "HANDSHAKE_S", 0.3)
    monkeypatch.setattr(peripheral, "MAX_PEERS", 1)
    house = House(tmp_path, owner)
    async with in_range(name, house), controller(name, "stranger") as stranger:
        address = await BleWay(DEVICE, name)._find(stranger)
        connection = await stranger.connect_le(address)
        gone = asyncio.Event()
        connection.on(connection.EVENT_DISCONNECTION, lambda _reason: gone.set())
        async with channel_of(owner, house, name) as channel:
            assert gone.is_set()
            assert (await channel.get("/lamp")).payload


async def test_what_is_no_chunk_ends_the_connection(tmp_path: Path, name: str, owner: App) -> None:
    house = House(tmp_path, owner)
    async with in_range(name, house), controller(name, "stranger") as stranger:
        peer = Peer(await stranger.connect_le(await BleWay(DEVICE, name)._find(stranger)))
        gone = asyncio.Event()
        peer.connection.on(peer.connection.EVENT_DISCONNECTION, lambda _reason: gone.set())
        (service,) = await peer.discover_service(SERVICE)
        written = (await peer.discover_characteristics([TO_DEVICE], service))[0]
        with suppress(BaseBumbleError, asyncio.CancelledError):
            await written.write_value(b"no chunk", with_response=True)
        async with asyncio.timeout(PATIENCE_S):
            await gone.wait()
        await until(lambda: not len(house.conversations))


async def test_a_device_whose_controller_went_is_there_again(
    tmp_path: Path, owner: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peripheral, "RETRY_S", 0.1)
    house = House(tmp_path, owner)
    path = tmp_path / "air.sock"
    first = Air()
    await first.start(path)
    async with in_range(f"unix:{path}", house), channel_of(owner, house, f"unix:{path}") as channel:
        await channel.get("/lamp")
        await first.close()
        await until(lambda: "ble_failed" in house.logged)
        second = Air()
        await second.start(path)
        try:
            await until(lambda: house.logged.count("ble_opened") == 2)
            assert cbor2.loads((await channel.get("/lamp")).payload) == {"level": 1}
        finally:
            await second.close()
