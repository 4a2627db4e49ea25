"""Every way in which access ends is in the log of endings, and nothing else is."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.database import Database
from admittance.server.revocations.store import Ending, endings_after
from tests.device_world import FakeDevice, World

Way = Callable[[World, AuthenticatedAccount, FakeDevice], Awaitable[object]]


@pytest.fixture
def world(sqlite_database: Database, tmp_path: Path) -> World:
    return World(sqlite_database, tmp_path)


async def logged(world: World) -> list[tuple[str, str]]:
    async with world.database.read() as connection:
        rows: list[Ending] = await endings_after(connection, 0)
    return [(row.kind, row.key) for row in rows]


async def reset(world: World, _: AuthenticatedAccount, device: FakeDevice) -> None:
    device.resets = 1
    nonce, _ = world.services.enrolments.nonce(device.device_id)
    await world.services.enrolments.report_reset(device.reset_report(nonce))


async def activate_after_reset(world: World, owner: AuthenticatedAccount, device: FakeDevice) -> None:
    device.resets = 1
    await world.activate(owner, device)


async def released_by_operator(world: World, _: AuthenticatedAccount, device: FakeDevice) -> None:
    operator = await world.account("operator", operator=True)
    await world.services.lifecycle.announce_release(operator, device.device_id)
    world.clock.pass_s(30 * 86_400)
    assert await world.services.lifecycle.release_due() == 1


WAYS: dict[str, Way] = {
    "revoke": lambda world, owner, device: world.services.fleet.revoke(owner, device.device_id, "lost"),
    "release": lambda world, owner, device: world.services.fleet.release(owner, device.device_id),
    "stolen": lambda world, owner, device: world.services.lifecycle.report(owner, device.device_id, "stolen"),
    "decommission": lambda world, owner, device: world.services.lifecycle.decommission(
        owner, device.device_id, "old"
    ),
    "reset": reset,
    "activate_after_reset": activate_after_reset,
    "released_by_operator": released_by_operator,
}


@pytest.mark.parametrize("way", WAYS)
async def test_what_ends_a_devices_access_is_logged_once(world: World, way: str) -> None:
    owner, device = await world.account(), world.device()
    await world.take(device)
    await world.onboard(owner, device)
    await WAYS[way](world, owner, device)
    assert await logged(world) == [("device", device.device_id)]


async def test_whoever_had_nothing_loses_nothing(world: World) -> None:
    owner, device = await world.account(), world.device()
    await world.take(device)
    await world.onboard(owner, device)
    await world.enrol(device)
    await world.services.lifecycle.report(owner, device.device_id, "lost")
    await world.services.lifecycle.found(owner, device.device_id)
    assert await logged(world) == []


async def test_a_certificate_that_ran_out_under_an_open_connection_counts(world: World) -> None:
    owner, device = await world.account(), world.device()
    await world.take(device)
    await world.onboard(owner, device)
    world.clock.pass_s(30 * 86_400)
    await world.services.fleet.revoke(owner, device.device_id, "lost")
    assert await logged(world) == [("device", device.device_id)]
