import os
from pathlib import Path

import pytest

from admittance.server.database import Database
from admittance.server.devices import store
from admittance.server.devices.secrets import SecretBox
from tests.device_world import World


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    return World(database, tmp_path)


async def test_devices_are_taken_and_their_secrets_kept_under_the_key_encryption_key(world: World) -> None:
    lamp, lock = world.device("lamp", certified=True), world.device("lock", "symmetric")
    summary = await world.take(lamp, lock)
    assert (summary.lines, summary.added, summary.known, summary.failed) == (2, 2, 0, 0)
    async with world.database.read() as connection:
        kept, certified = [await store.find(connection, each.device_id) for each in (lock, lamp)]
    assert kept is not None
    assert kept.secrets is not None
    assert certified is not None
    assert (kept.assurance, certified.assurance) == ("listed", "certified")
    assert kept.state == "listed"
    assert lock.secrets.access_point_passphrase.encode() not in kept.secrets
    assert lock.secrets.seal_key is not None
    assert lock.secrets.seal_key not in kept.secrets
    assert SecretBox(world.foundation.envelope).open(lock.device_id, kept.secrets) == lock.secrets


async def test_the_same_manifest_again_changes_nothing(world: World) -> None:
    devices = [world.device() for _ in range(3)]
    await world.take(*devices[:2])
    summary = await world.take(*devices)
    assert (summary.added, summary.known, summary.failed) == (1, 2, 0)


async def test_an_owned_device_is_left_as_it_is(world: World) -> None:
    device = world.device()
    await world.take(device)
    await world.onboard(await world.account(), device)
    assert (await world.take(device)).known == 1
    async with world.database.read() as connection:
        record = await store.find(connection, device.device_id)
    assert record is not None
    assert record.state == "active"


async def test_bad_lines_are_reported_with_their_number_and_do_not_stop_the_rest(world: World) -> None:
    good, other = world.device(), world.device()
    lines = [
        b"{not json}\n",
        world.manifest_line(good),
        b"\n",
        world.manifest_line(other, model="unheard-of"),
        world.manifest_line(other, presence="button"),
        world.manifest_line(other, secrets=os.urandom(80)),
        world.manifest_line(good),
    ]
    summary = await world.importer.run(lines)
    assert (summary.lines, summary.added, summary.known, summary.failed) == (6, 1, 1, 4)
    assert [error.line for error in summary.errors] == [1, 4, 5, 6]
    assert "unheard-of" in summary.errors[1].reason


async def test_a_certificate_of_an_unknown_maker_is_refused(world: World, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    stranger = World(world.database, tmp_path / "other")
    device = stranger.device(certified=True)
    summary = await world.importer.run([world.manifest_line(device)])
    assert summary.failed == 1
    assert "maker" in summary.errors[0].reason


async def test_a_line_that_contradicts_the_registry_is_an_error(world: World) -> None:
    device = world.device("lamp")
    await world.take(device)
    summary = await world.importer.run([world.manifest_line(device, model="vault")])
    assert summary.failed == 1


async def test_batches_are_reported_as_they_are_committed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("admittance.server.devices.manifest_import.BATCH_LINES", 2)
    seen: list[int] = []
    lines = [world.manifest_line(world.device()) for _ in range(5)]
    await world.importer.run(lines, lambda summary: seen.append(summary.added))
    assert seen == [2, 4, 5]
