"""T22. Means: everything that a guest has at one moment: a grant, a token whose key the device knows, an open stream,
a ticket, a login. Goal: use any of it after the grant was revoked, the window closed, or the device was released.
"""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from admittance.wire.relay import CloseCode
from tests.attack.granted_lock import Granting, give, token
from tests.attack.relay_site import Talking, ended, refused, ticket_of, until
from tests.attack.site import ON_SQLITE, Login, Site, code_of
from tests.relay_ends import AppStream


@pytest_asyncio.fixture(loop_scope="session")
async def granting(site: Site) -> AsyncIterator[Granting]:
    granting = Granting(site)
    yield granting
    await granting.end()


@pytest_asyncio.fixture(loop_scope="session")
async def talking(site: Site) -> AsyncIterator[Talking]:
    talking = Talking(site)
    yield talking
    await talking.end()


async def assert_shut(site: Site, talking: Talking, guest: Login, device_id: str, ticket: bytes) -> None:
    """Neither a token, a stream, nor a ticket is to be had, and one from before is worth nothing."""
    port = site.stage.ports.app_relay
    answer = await token(guest, device_id)
    assert answer.status_code in (400, 403), answer.text
    shut = {CloseCode.OFFLINE, CloseCode.REVOKED}
    assert await refused(talking.app(guest, device_id, port)) in shut
    assert await refused(talking.app_with(ticket, device_id, port)) in shut
    denied = await guest.send("POST", "/relay/tickets", {"device_id": device_id})
    assert (denied.status_code, code_of(denied)) in ((404, "not_found"), (403, "outside_window"))


async def inside(talking: Talking, site: Site, guest: Login, device_id: str) -> tuple[AppStream, bytes]:
    stream = await talking.app_within(guest, device_id, site.stage.ports.app_relay)
    return stream, await ticket_of(guest, device_id)


@ON_SQLITE
@pytest.mark.parametrize("ending", ["revoke", "release", "stolen", "window"])
async def test_nothing_of_a_grant_works_once_it_ended(
    site: Site, granting: Granting, talking: Talking, ending: str
) -> None:
    owner, guest = await site.somebody("owner"), await site.somebody("guest")
    device, lock = await granting.lock(owner)
    closes_at = int(time.time()) + (8 if ending == "window" else 3600)
    given = await give(owner, device.device_id, guest.email, ends_at=closes_at)
    answer = await token(guest, device.device_id)
    assert answer.status_code == 200, answer.text
    assert answer.json()["access_token"] in lock.keys
    stream, ticket = await inside(talking, site, guest, device.device_id)
    match ending:
        case "revoke":
            await owner.ask("DELETE", f"/api/grants/{given['grant']}")
            await until(lambda: not lock.keys)
            assert await ended(stream) == {CloseCode.REVOKED}
        case "window":
            assert all(key.expires_at <= closes_at for key in lock.access.keys)
            async with asyncio.timeout(20):
                assert await stream.closed() == CloseCode.REVOKED
            assert time.time() >= closes_at
        case _:
            await owner.ask("POST", f"/api/devices/{device.device_id}/{ending}")
            assert await ended(stream) <= {CloseCode.REVOKED, CloseCode.OFFLINE}
    await assert_shut(site, talking, guest, device.device_id, ticket)


@ON_SQLITE
async def test_a_grant_of_the_owner_before_is_nothing_to_the_next(
    site: Site, granting: Granting, talking: Talking
) -> None:
    owner, guest = await site.somebody("owner"), await site.somebody("guest")
    device, lock = await granting.lock(owner)
    await give(owner, device.device_id, guest.email)
    assert (await token(guest, device.device_id)).status_code == 200
    _stream, ticket = await inside(talking, site, guest, device.device_id)
    await owner.ask("POST", f"/api/devices/{device.device_id}/release")
    await lock.stop()
    await site.onboard(await site.somebody("next"), device)
    await assert_shut(site, talking, guest, device.device_id, ticket)


@ON_SQLITE
async def test_a_device_that_was_cut_off_drops_the_keys_when_it_is_back(site: Site, granting: Granting) -> None:
    """The attacker keeps the device off the network while the owner revokes."""
    owner, guest = await site.somebody("owner"), await site.somebody("guest")
    device, lock = await granting.lock(owner)
    given = await give(owner, device.device_id, guest.email)
    assert (await token(guest, device.device_id)).status_code == 200
    await lock.stop()
    await owner.ask("DELETE", f"/api/grants/{given['grant']}")
    assert lock.keys
    lock.start()
    await until(lambda: not lock.keys)


@ON_SQLITE
async def test_a_guest_that_logs_out_leaves_no_key(site: Site, granting: Granting) -> None:
    """A phone that was stolen: its login is ended, and the key that it holds with it."""
    owner, guest = await site.somebody("owner"), await site.account("leaver")
    device, lock = await granting.lock(owner)
    await give(owner, device.device_id, guest.email)
    assert (await token(guest, device.device_id)).status_code == 200
    await guest.log_out()
    await until(lambda: not lock.keys)
