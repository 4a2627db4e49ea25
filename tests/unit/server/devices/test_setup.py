from pathlib import Path

import pytest

from admittance.errors import Malformed
from admittance.protocol.provisioning.codes import button_code
from admittance.server.database import Database
from admittance.wire.device_id import device_id
from tests.device_world import World

UNKNOWN = device_id(b"nobody made this")
WINDOW = b"w" * 16


@pytest.fixture
def world(sqlite_database: Database, tmp_path: Path) -> World:
    return World(sqlite_database, tmp_path)


async def test_a_known_device_is_described_with_its_own_access_point(world: World) -> None:
    lock = world.device("lock")
    await world.take(lock)
    found = await world.services.setup.setup(lock.device_id, "ann")
    assert (found.model, found.display_name, found.presence) == ("lock", "Lock", "button")
    assert found.access_point.passphrase == lock.secrets.access_point_passphrase
    assert lock.secrets.access_point_passphrase not in repr(found)


async def test_unknown_ids_get_a_dummy_that_stays_the_same_and_looks_real(world: World) -> None:
    first, again = [await world.services.setup.setup(UNKNOWN, "ann") for _ in range(2)]
    assert first == again
    assert first.access_point.ssid == "PROV_" + UNKNOWN[2:8]
    assert len(first.access_point.passphrase) == 16
    codes = [await world.services.setup.presence_code(UNKNOWN, "ann", WINDOW) for _ in range(2)]
    assert codes[0] == codes[1]


async def test_the_presence_code_is_the_one_that_the_device_computes(world: World) -> None:
    lock = world.device("lock")
    await world.take(lock)
    assert lock.secrets.presence_key is not None
    code = await world.services.setup.presence_code(lock.device_id, "ann", WINDOW)
    assert code == button_code(lock.secrets.presence_key, WINDOW)


async def test_somebody_elses_device_looks_like_an_unknown_one(world: World) -> None:
    lock = world.device("lock")
    await world.take(lock)
    await world.onboard(await world.account("ann"), lock)
    mine = await world.services.setup.setup(lock.device_id, "ann")
    theirs = await world.services.setup.setup(lock.device_id, "bob")
    assert mine.access_point.passphrase == lock.secrets.access_point_passphrase
    assert theirs.access_point.passphrase != lock.secrets.access_point_passphrase
    assert lock.secrets.presence_key is not None
    assert (await world.services.setup.presence_code(lock.device_id, "bob", WINDOW)) != button_code(
        lock.secrets.presence_key, WINDOW
    )


async def test_what_is_no_device_id_is_malformed(world: World) -> None:
    with pytest.raises(Malformed):
        await world.services.setup.setup("AD<script>", "ann")
