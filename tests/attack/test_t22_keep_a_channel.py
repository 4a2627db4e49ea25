"""T22. Means: an app that a device lets in, with its keys, open channels through the relay and over the local
network, a login, admissions. Goal: go on with the device, or begin anew, after the app was removed, its time is over,
or the device has another owner, none, or was stolen; where no server is in between, too.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import select, update

from admittance.client.channel.credential_api import CredentialApi, entry_of
from admittance.device import control
from admittance.errors import AdmittanceError, AuthenticationFailed, DeviceOffline, NotAllowed
from admittance.protocol.channel.admission import sign_admission
from admittance.server.devices.store import devices
from admittance.server.enrolment.store import certificates
from admittance.wire.channel import GET, PUT, Admission, Permission
from tests.attack.apps import LOCK, LOCKED, UNLOCKED, App, watching
from tests.attack.relay_site import RelaySite
from tests.attack.site import Login
from tests.attack.world import Device, until

DEVICE = {"application": "lock", "local": "127.0.0.1:0"}
LOOK, TURN = Permission(LOCK, GET), Permission(LOCK, GET | PUT)


@dataclass
class Home:
    """Four locks of one owner; `app` set them up."""

    two_nodes: RelaySite
    folder: Path
    owner: Login
    app: App
    locks: list[Device]

    def another_app(self, name: str) -> App:
        """One more app with the owner's login, which no device lets in yet."""
        return self.app.another(self.folder / name)

    async def add(self, lock: Device, name: str) -> App:
        """One more app that a lock lets in as its owner's."""
        added, known = self.another_app(name), self.app.knows(lock)
        async with self.app.near(lock) as channel:
            await CredentialApi(channel).add(entry_of(added.card, "owner", known.epoch))
        added.learn(known)
        return added

    def admission(
        self, lock: Device, guest: App, *scope: Permission, by: App | None = None, age_s: int = 0, good_s: int = 3600
    ) -> bytes:
        """An owner's word that a lock shall let a guest in, `age_s` old and good for `good_s`."""
        now, epoch, owner = int(time.time()), self.app.knows(lock).epoch, by or self.app
        entry = entry_of(guest.card, "guest", epoch, expires_at=now + good_s, scope=scope)
        admission = Admission(lock.device_id, os.urandom(16), entry, now - age_s)
        return sign_admission(admission, owner.store.app_keys().signer(), owner.kid)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def home(two_nodes: RelaySite, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    world, folder, owner = two_nodes.world, tmp_path_factory.mktemp("apps"), await two_nodes.site.account("owner")
    app = app_of(owner, two_nodes, folder / "owner")
    locks = await asyncio.gather(*(world.owned(app.profile, **DEVICE) for _ in range(4)))
    for lock in locks:
        await lock.told("relay_connected")
    yield Home(two_nodes, folder, owner, app, locks)
    await world.power_cut()


def app_of(login: Login, two_nodes: RelaySite, folder: Path) -> App:
    return App.logged_in(login, two_nodes.site.keystore.people_ca.certificate_pem.decode(), folder)


async def assert_shut_out(app: App, lock: Device) -> None:
    """The device itself does not let the app in, on any way."""
    for way in app.ways(lock):
        assert isinstance(await app.refusal(way), AuthenticationFailed)


async def test_a_lost_phone_is_out_when_another_has_removed_it(home: Home) -> None:
    """And so is whoever it has let in meanwhile, but did not come yet."""
    lock = home.locks[0]
    lost, kept = await home.add(lock, "lost"), home.app
    async with (
        lost.far(lock) as far,
        lost.near(lock) as near,
        kept.far(lock) as channel,
        watching(far, near, channel) as (at_far, at_near, at_kept),
    ):
        await CredentialApi(channel).remove(lost.kid.hex())
        await until(lambda: isinstance(at_far.ended, NotAllowed), "The lost phone's stream ends.")
        for state, order in (("unlocked", UNLOCKED), ("locked", LOCKED)):
            await channel.put(LOCK, order)
            await until(lambda state=state: at_kept.states[-1] == state, "The other phone sees the lock turn.")
        assert at_far.states == at_near.states == ["locked"]
        with pytest.raises(AdmittanceError):
            await near.put(LOCK, UNLOCKED, timeout_s=1)
        assert (await channel.get(LOCK)).plain() == {"state": "locked"}
    await assert_shut_out(lost, lock)
    accomplice = home.another_app("accomplice")
    accomplice.learn(home.app.knows(lock), home.admission(lock, accomplice, TURN, by=lost, age_s=3600))
    await assert_shut_out(accomplice, lock)


async def test_a_guest_is_out_when_its_time_is_over(home: Home) -> None:
    lock, guest = home.locks[0], home.another_app("visitor")
    admission = home.admission(lock, guest, LOOK, good_s=3)
    ends_at = time.time() + 3
    guest.learn(home.app.knows(lock), admission)
    async with (
        guest.far(lock) as far,
        guest.near(lock) as near,
        home.app.far(lock) as channel,
        watching(far, near, channel) as (at_far, at_near, at_owner),
    ):
        await asyncio.sleep(ends_at + 1 - time.time())
        for state, order in (("unlocked", UNLOCKED), ("locked", LOCKED)):
            await channel.put(LOCK, order)
            await until(lambda state=state: at_owner.states[-1] == state, "The owner sees the lock turn.")
        assert at_far.states == at_near.states == ["locked"]
        await until(lambda: isinstance(at_far.ended, NotAllowed), "The guest's stream ends.")
    for replayed in (b"", admission):
        guest.learn(home.app.knows(lock), replayed)
        await assert_shut_out(guest, lock)


async def test_a_guest_that_was_removed_does_not_come_back(home: Home) -> None:
    """Not by the admission that let it in, nor by one that it kept, nor after the device was off."""
    lock, guest = home.locks[0], home.another_app("lodger")
    kept, given = home.admission(lock, guest, TURN, age_s=60), home.admission(lock, guest, LOOK)
    known = home.app.knows(lock)
    guest.learn(known, given)
    async with guest.far(lock) as channel:
        assert (await channel.get(LOCK)).plain() == {"state": "locked"}
    guest.learn(known, kept)
    async with guest.near(lock) as channel:
        with pytest.raises(NotAllowed):
            await channel.put(LOCK, UNLOCKED)
    async with guest.far(lock) as far, home.app.far(lock) as channel, watching(far) as (at_far,):
        await CredentialApi(channel).remove(guest.kid.hex())
        await until(lambda: isinstance(at_far.ended, NotAllowed), "The guest's stream ends.")
    for again in range(2):
        for replayed in (given, kept):
            guest.learn(known, replayed)
            await assert_shut_out(guest, lock)
        if not again:
            await restart(home, lock)
    async with home.app.far(lock) as channel:
        assert guest.kid.hex() not in {app.kid for app in await CredentialApi(channel).list()}


async def restart(home: Home, lock: Device) -> None:
    """Cut a device's power, and switch it on again."""
    assert lock.program is not None
    await lock.program.kill()
    await home.two_nodes.world.power_up(lock, **DEVICE)
    await lock.told("relay_connected")


async def test_an_old_owners_apps_are_out_when_the_device_was_given_away(home: Home) -> None:
    lock, owner = home.locks[1], home.app
    second = await home.add(lock, "second phone")
    world = home.two_nodes.world
    async with owner.far(lock) as far, second.near(lock) as near, watching(far, near) as (at_far, _):
        await home.owner.ask("POST", f"/api/devices/{lock.device_id}/release")
        await until(lambda: isinstance(at_far.ended, NotAllowed), "The old owner's stream ends.")
        await lock.told("epoch_ended")
        with pytest.raises(AdmittanceError):
            await near.put(LOCK, UNLOCKED, timeout_s=1)
    assert isinstance(await owner.refusal(owner.far(lock)), DeviceOffline)
    for app in (owner, second):
        assert isinstance(await app.refusal(app.near(lock)), AuthenticationFailed)

    heir = app_of(await home.two_nodes.site.account("heir"), home.two_nodes, home.folder / "heir")
    await lock.press()
    await world.set_up(heir.profile, await lock.next_code())
    assert heir.knows(lock).epoch == 2
    for app in (owner, second):
        assert isinstance(await app.refusal(app.far(lock)), DeviceOffline)
        assert isinstance(await app.refusal(app.near(lock)), AuthenticationFailed)
    async with heir.near(lock) as channel:
        assert [app.role for app in await CredentialApi(channel).list()] == ["server", "owner"]


async def test_a_stolen_device_that_was_off_lets_nobody_in_after_it_met_its_server(home: Home) -> None:
    """It was off for so long that its certificate has expired."""
    lock, owner, site = home.locks[2], home.app, home.two_nodes.site
    assert lock.program is not None
    await lock.program.kill()
    await home.owner.ask("POST", f"/api/devices/{lock.device_id}/stolen")
    key = select(devices.c.registry_key).where(devices.c.device_id == lock.device_id).scalar_subquery()
    expire = update(certificates).where(certificates.c.registry_key == key).values(not_after=int(time.time()) - 1)
    async with site.database() as database, database.transaction() as connection:
        await connection.execute(expire)
    await home.two_nodes.world.power_up(lock, **DEVICE)
    await lock.told("epoch_ended")
    assert isinstance(await owner.refusal(owner.far(lock)), DeviceOffline)
    assert isinstance(await owner.refusal(owner.near(lock)), AuthenticationFailed)
    assert (await lock.status())["credentials"] == 0


async def test_a_factory_reset_ends_every_channel(home: Home) -> None:
    lock, owner = home.locks[3], home.app
    async with owner.far(lock) as far, owner.near(lock) as near, watching(far, near) as watches:
        before = lock.events("access_point_opened")
        await control.ask(lock.state, "reset")
        await lock.told("access_point_opened", len(before) + 1)
        for channel in (far, near):
            with pytest.raises(AdmittanceError):
                await channel.put(LOCK, UNLOCKED, timeout_s=1)
        assert [watch.states for watch in watches] == [["locked"], ["locked"]]
    assert isinstance(await owner.refusal(owner.far(lock)), DeviceOffline)
    assert isinstance(await owner.refusal(owner.near(lock)), AuthenticationFailed)
