"""When a channel is opened again, and by which network it goes."""

import asyncio
from pathlib import Path

import pytest

from admittance.client.channel.connecting import connect
from admittance.client.channel.device_channel import MAX_RETRY_S, Backoff
from admittance.errors import ChannelLost, NetworkFailure, RelayBusy, Unreachable
from tests.unit.client.channel.relay_world import DEVICE_ID, relay_world


def test_pauses_grow_to_half_a_minute() -> None:
    shortest, longest = Backoff(lambda low, high: low), Backoff(lambda low, high: high)
    error = ChannelLost("lost")
    assert [shortest.next_s(error) for _ in range(4)] == [0.2, 0.4, 0.8, 1.6]
    assert [longest.next_s(error) for _ in range(7)] == [1, 2, 4, 8, 16, MAX_RETRY_S, MAX_RETRY_S]
    assert [shortest.next_s(error) for _ in range(20)][-1] == MAX_RETRY_S


def test_an_answer_makes_pauses_short_again() -> None:
    backoff = Backoff(lambda low, high: low)
    for _ in range(5):
        backoff.next_s(ChannelLost("lost"))
    backoff.reset()
    assert backoff.next_s(ChannelLost("lost")) == 0.2


def test_a_relay_that_names_a_time_is_given_it() -> None:
    assert Backoff(lambda low, high: low).next_s(RelayBusy(7.5)) == 7.5


class Phone:
    """A phone's network that counts its connections, and can be left."""

    def __init__(self) -> None:
        self.connections: list[tuple[str, int]] = []
        self.away = False

    async def use_access_point(self, ssid: str, passphrase: str) -> None:
        self.away = True

    async def use_internet(self) -> None:
        self.away = False

    async def open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.away:
            raise Unreachable("The phone is on a device's access point.")
        self.connections.append((host, port))
        return await asyncio.open_connection(host, port)


async def test_a_phones_network_leads_to_the_relay(tmp_path: Path) -> None:
    phone = Phone()
    async with relay_world(tmp_path) as world:
        async with connect(world.store, DEVICE_ID, network=phone) as device:
            assert (await device.get("/value")).text() == "0"
        assert phone.connections == [("localhost", world.relay.port)]
        await phone.use_access_point("PROV", "")
        with pytest.raises(NetworkFailure):
            async with connect(world.store, DEVICE_ID, network=phone):
                pass


async def test_a_closed_channel_opens_again_for_the_next_request(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world, connect(world.store, DEVICE_ID) as device:
        await device.close()
        assert (await device.get("/value")).text() == "0"
        assert len(world.relay.upgrades) == 2


async def test_whoever_waits_shares_the_channel_that_is_opened(tmp_path: Path) -> None:
    async with relay_world(tmp_path) as world, connect(world.store, DEVICE_ID) as device:
        await device.close()
        await asyncio.gather(*(device.get("/value") for _ in range(5)))
        assert len(world.relay.upgrades) == 2
