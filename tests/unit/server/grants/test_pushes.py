"""The device and the database agree after the next sync, whatever happened between."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from admittance.errors import AdmittanceError, Expired, NotFound, Unavailable
from admittance.server.database import Database
from admittance.server.grants import key_store, pushes
from admittance.server.grants.model import Grant
from admittance.server.grants.service import Change
from admittance.server.grants.tables import device_access, possession_keys
from admittance.wire import base64url
from tests.unit.server.grants.grant_world import Household, Lock, household


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def living(home: Household) -> set[bytes]:
    """The tokens that are good, as the database has it."""
    async with home.world.database.read() as connection:
        held = await key_store.held(connection, home.device_id, home.device.epoch)
    return {key.token for key in held if key.expires_at > home.now}


async def agreed(home: Household) -> bool:
    async with home.world.database.read() as connection:
        access = await key_store.find(connection, home.device_id)
    assert access is not None
    return not access.is_behind and access.due_at is None and access.sequence == home.lock.sequence


async def test_a_revocation_reaches_a_connected_device_within_a_second(home: Household) -> None:
    await home.services.start()
    grant = await home.give()
    await home.token()
    await home.services.grants.revoke(home.owner, grant.grant_id)
    async with asyncio.timeout(5):
        while home.lock.keys:
            await asyncio.sleep(0.01)
    assert home.lock.pushes[-1].base > 0
    with pytest.raises(Expired):
        await home.token()


async def test_a_device_that_was_away_is_told_when_it_connects(home: Household) -> None:
    grant = await home.give()
    await home.token()
    home.disconnect()
    await home.services.grants.revoke(home.owner, grant.grant_id)
    assert len(home.lock.keys) == 1
    await home.connect(home.nodes[1])
    await until(lambda: not home.lock.keys)


async def test_a_node_that_dies_between_push_and_acknowledgement_loses_nothing(home: Household) -> None:
    """The node is gone after the device took the key; another one finds that the device is to be told."""
    await home.give()
    home.lock.silent = True
    asked = asyncio.create_task(home.token())
    await until(lambda: bool(home.lock.keys))
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    home.lock.silent = False
    assert not await agreed(home)
    home.world.clock.pass_s(pushes.AGAIN_AFTER_S + 1)
    await home.nodes[1].services.start()
    async with asyncio.timeout(20):
        while not await agreed(home):
            await asyncio.sleep(0.02)
    assert set(home.lock.keys) == await living(home)


async def test_two_nodes_that_issue_at_once_stay_consistent(home: Household) -> None:
    await home.give()
    await home.log_in("session-3")
    tokens = await asyncio.gather(
        *(home.token(node=home.nodes[number % 2], session_id=f"session-{number}") for number in (1, 2, 3))
    )
    expected = {base64url.decode(token.access_token) for token in tokens}
    assert set(home.lock.keys) == await living(home) == expected
    assert await agreed(home)


async def test_a_revocation_while_a_token_is_issued_wins(home: Household) -> None:
    for _ in range(4):
        grant = await home.give()
        outcome, _ended = await asyncio.gather(
            home.token(),
            home.services.grants.revoke(home.owner, grant.grant_id),
            return_exceptions=True,
        )
        assert not isinstance(outcome, BaseException) or isinstance(outcome, AdmittanceError)
        await home.services.pushes.attached(home.device_id, home.device.epoch)
        assert home.lock.keys == {}
        assert await living(home) == set()


async def test_a_device_that_lost_what_it_had_is_told_everything(home: Household) -> None:
    await home.give()
    await home.token()
    await home.token(session_id="session-2")
    await home.connect(home.nodes[0], Lock(home.device.epoch))
    await until(lambda: home.lock.asked > 0)
    await home.services.start()
    async with asyncio.timeout(20):
        while set(home.lock.keys) != await living(home):
            await asyncio.sleep(0.02)
    assert len(home.lock.keys) == 2


async def test_a_server_whose_database_is_older_than_the_device_goes_on_beyond_it(home: Household) -> None:
    await home.give()
    home.lock.sequence = 40
    home.lock.keys = {}
    await home.token()
    assert home.lock.sequence == 41
    assert set(home.lock.keys) == await living(home)


async def test_a_device_of_another_epoch_gets_nothing(home: Household) -> None:
    await home.give()
    home.lock.epoch += 1
    with pytest.raises(Unavailable):
        await home.token()
    assert home.lock.keys == {}


async def test_a_login_that_ends_takes_its_keys_along(home: Household) -> None:
    await home.give()
    await home.token()
    await home.token(session_id="session-2")
    async with home.world.database.transaction() as connection:
        await home.world.logins.sessions.end(connection, "session-1", why="logout", now=home.now)
    await home.services.pushes.attached(home.device_id, home.device.epoch)
    assert len(home.lock.keys) == 1
    with pytest.raises(NotFound):
        await home.token()


async def test_master_secrets_are_not_in_the_database(home: Household) -> None:
    await home.give()
    await home.token()
    (key,) = home.lock.keys.values()
    async with home.world.database.read() as connection:
        row = (await connection.execute(select(possession_keys))).one()
        access = (await connection.execute(select(device_access))).one()
    assert key.master_secret not in row.sealed
    assert key.master_secret.hex() not in repr((row, access))


STEPS = st.lists(
    st.sampled_from(["issue", "issue-2", "revoke", "change", "away", "back", "lose", "pass", "silent", "heard"]),
    max_size=14,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_happens_device_and_database_agree_once_it_is_back(
    tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path, steps: list[str]
) -> None:
    async def run() -> None:
        folder = tmp_path_factory.mktemp("home")
        shutil.copy(migrated_sqlite, folder / "admittance.db")
        database = Database(f"sqlite+aiosqlite:///{folder / 'admittance.db'}")
        home = await household(database, folder)
        grants = [await home.give()]
        for step in steps:
            await _do(home, grants, step)
        home.lock.silent = False
        home.world.clock.pass_s(pushes.LONGEST_WAIT_S + 1)
        await home.connect(home.nodes[0])
        await home.services.start()
        async with asyncio.timeout(20):
            while not await agreed(home):
                await asyncio.sleep(0.01)
        good = {token for token, key in home.lock.keys.items() if key.expires_at > home.now}
        assert good == await living(home)
        await home.close()
        await database.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pushes, "ACKNOWLEDGE_WITHIN_S", 0.1)
        asyncio.run(run())


async def _do(home: Household, grants: list[Grant], step: str) -> None:
    match step:
        case "issue" | "issue-2":
            try:
                await home.token(session_id="session-2" if step == "issue-2" else "session-1")
            except AdmittanceError:
                return
        case "revoke":
            await home.services.grants.revoke(home.owner, grants[-1].grant_id)
            grants.append(await home.give())
        case "change":
            await home.services.grants.change(home.owner, grants[-1].grant_id, _shorter(grants[-1], home.now))
        case "away":
            home.disconnect()
        case "back":
            await home.connect(home.nodes[0])
        case "lose":
            await home.connect(home.nodes[0], Lock(home.device.epoch))
        case "pass":
            home.world.clock.pass_s(1300)
        case "silent":
            home.lock.silent = True
        case _:
            home.lock.silent = False


def _shorter(grant: Grant, now: int) -> Change:
    return Change({"ends_at": max(now + 60, grant.terms.ends_at - now % 3600)})
