"""A device on a real server's relay, and its owner's app at the other end; named by what happens to them."""

import asyncio
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from admittance.client.channel.connecting import connect
from admittance.client.channel.content import Content
from admittance.client.channel.device_channel import DeviceChannel
from admittance.client.session_store import SessionStore
from admittance.demo.household import Household, RunningDevice, until
from admittance.demo.processes import Program
from admittance.device import control
from admittance.errors import AdmittanceError, ChannelLost

pytestmark = pytest.mark.asyncio(loop_scope="module")

LAMP = ("--presence", "display", "--seal", "hybrid", "--certified")
LOCK = ("--poll-s", "0.5", "--application", "lock")
PATIENCE_S = 30.0
MOST_KB = 48 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lock(home: Household) -> RunningDevice:
    """A lock of the household's owner, on the relay."""
    device = await home.make("lamp-a", *LAMP)
    await home.switch_on(device, *LOCK)
    photo = await home.photograph(device)
    await home.provision(photo, *home.wifi(home.stage.wifi_password))
    await on_relay(device)
    return device


async def on_relay(device: RunningDevice) -> None:
    await until(lambda: device.told("relay_connected") > 0, f"{device.model} is on the relay.")


def talk(home: Household, device: RunningDevice) -> AbstractAsyncContextManager[DeviceChannel]:
    return connect(SessionStore(home.profile), device.device_id)


async def state_of(channel: DeviceChannel) -> Any:
    """The lock's state, as soon as there is a way to it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return (await channel.get("/lock", timeout_s=5)).plain()["state"]
            except AdmittanceError:
                await asyncio.sleep(0.1)


def ordered(state: str) -> Content:
    return Content.of_cbor({"state": state})


async def test_an_owner_sets_and_reads_the_lock_and_sees_who_is_listed(home: Household, lock: RunningDevice) -> None:
    async with talk(home, lock) as channel:
        await channel.put("/lock", ordered("unlocked"))
        assert await state_of(channel) == "unlocked"
        info = (await channel.get("/info")).plain()
        assert (info["device_id"], info["epoch"]) == (lock.device_id, 1)
        listed = (await channel.get("/credentials")).plain()
        assert [role for _, role, _, _ in listed] == ["server", "owner"]
        assert "</lock>" in (await channel.get("/.well-known/core")).payload.decode()
    status = await control.ask(lock.state, "status")
    assert (status["credentials"], status["relay"]) == (2, f"wss://localhost:{home.stage.ports.device_relay}")


async def test_an_observation_outlives_a_device_that_is_killed(home: Household, lock: RunningDevice) -> None:
    async with talk(home, lock) as channel, aclosing(channel.observe("/lock")) as states:
        first = (await anext(states)).plain()
        assert first == {"state": "unlocked"}
        assert lock.program is not None
        await lock.program.kill()
        await home.switch_on(lock, *LOCK)
        async with asyncio.timeout(PATIENCE_S):
            assert (await anext(states)).plain() == first
        await channel.put("/lock", ordered("locked"))
        async with asyncio.timeout(PATIENCE_S):
            while (await anext(states)).plain() != {"state": "locked"}:
                pass
    assert (lock.state / "application" / "bolt").read_text().splitlines() == ["unlocked", "locked"]


async def test_a_device_comes_back_to_a_server_that_was_killed(home: Household, lock: RunningDevice) -> None:
    seen = lock.told("relay_connected")
    async with talk(home, lock) as channel:
        assert await state_of(channel) == "locked"
        assert home.stage.server is not None
        await home.stage.server.kill()
        await home.stage.serve()
        await until(lambda: lock.told("relay_connected") > seen, "The lock is on the relay again.")
        assert await state_of(channel) == "locked"


async def test_an_order_to_a_lock_that_dies_is_reported_and_carried_out_once_at_most(
    home: Household, lock: RunningDevice
) -> None:
    assert lock.program is not None
    async with talk(home, lock) as channel:
        asking = asyncio.create_task(channel.put("/lock", ordered("unlocked")))
        await asyncio.sleep(0)
        await lock.program.kill()
        (outcome,) = await asyncio.gather(asking, return_exceptions=True)
        await home.switch_on(lock, *LOCK)
        state = await state_of(channel)
    moves = (lock.state / "application" / "bolt").read_text().splitlines()[2:]
    if isinstance(outcome, Content):
        assert (state, moves) == ("unlocked", ["unlocked"])
    else:
        assert isinstance(outcome, ChannelLost)
        possible = [("locked", []), ("unknown", []), ("unknown", ["unlocked"]), ("unlocked", ["unlocked"])]
        assert (state, moves) in possible


async def test_a_device_without_tls_is_reached_all_the_same(home: Household) -> None:
    device = await home.make("lamp-b", *LAMP)
    await home.switch_on(device, "--relay-plain", *LOCK)
    await home.provision(await home.photograph(device), *home.wifi(home.stage.wifi_password))
    await on_relay(device)
    async with talk(home, device) as channel:
        assert await state_of(channel) == "locked"
    status = await control.ask(device.state, "status")
    assert status["relay"].startswith("ws://")
    assert device.told("channel_established") == 2


async def test_a_talking_device_stays_below_48_mb(home: Household, lock: RunningDevice) -> None:
    async with talk(home, lock) as channel:
        await state_of(channel)
    assert lock.program is not None
    highest_kb = next(int(line.split()[1]) for line in _status_of(lock.program) if line.startswith("VmHWM:"))
    assert highest_kb < MOST_KB


async def test_a_factory_reset_leaves_nobody_to_talk_to(home: Household, lock: RunningDevice) -> None:
    before = lock.told("access_point_opened")
    await control.ask(lock.state, "reset")
    await until(lambda: lock.told("access_point_opened") > before, "The lock was reset.")
    status = await control.ask(lock.state, "status")
    assert (status["credentials"], status["relay"]) == (0, None)
    assert not (lock.state / "application" / "bolt").exists()


def _status_of(program: Program) -> list[str]:
    return Path(f"/proc/{program.pid}/status").read_text().splitlines()
