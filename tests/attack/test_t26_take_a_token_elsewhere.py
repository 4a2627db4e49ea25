"""T26, at the server. Means: a guest's login, and a grant on one device. Goal: a key of another device, for more than
was granted, or in somebody else's name.
"""

import secrets
from collections.abc import AsyncIterator

import pytest_asyncio

from admittance.client.oauth.pkce import Pkce
from tests.attack.granted_lock import Granting, exchange, give, token
from tests.attack.oauth_site import Browser, app, code_form, register
from tests.attack.site import ON_SQLITE, Login, Site, invented, new_key


@pytest_asyncio.fixture(loop_scope="session")
async def granting(site: Site) -> AsyncIterator[Granting]:
    granting = Granting(site)
    yield granting
    await granting.end()


@ON_SQLITE
async def test_a_grant_on_one_device_opens_no_other(site: Site, granting: Granting) -> None:
    owner, guest = await site.somebody("owner"), await site.somebody("guest")
    (device, lock), (other, other_lock) = await granting.lock(owner), await granting.lock(owner)
    await give(owner, device.device_id, guest.email)
    await give(owner, other.device_id, "somebody-else@example.org")
    known, unknown = await token(guest, other.device_id), await token(guest, invented().device_id)
    assert known.status_code == unknown.status_code == 400
    assert known.json() == unknown.json()
    for resource in (
        f"https://other.example/d/{device.device_id}",
        f"{guest.origin}/d/{device.device_id}/../{other.device_id}",
        f"{guest.origin}/d/",
        guest.origin,
    ):
        assert (await exchange(guest, resource)).status_code == 400
    assert (lock.keys, other_lock.keys) == (set(), set())


@ON_SQLITE
async def test_no_key_does_more_than_was_granted(site: Site, granting: Granting) -> None:
    owner, guest = await site.somebody("owner"), await site.somebody("guest")
    device, lock = await granting.lock(owner)
    await give(owner, device.device_id, guest.email)
    for scope in ("GET:/lock", "PUT:/lock GET:/lock", "PUT:/*", "PUT:/server/access", "POST:/credentials"):
        answer = await token(guest, device.device_id, scope=scope)
        assert answer.status_code in (400, 403), answer.text
    assert lock.keys == set()
    assert (await token(guest, device.device_id, scope="PUT:/lock")).status_code == 200


@ON_SQLITE
async def test_another_account_gets_no_key_by_a_grant_that_it_can_read_of(site: Site, granting: Granting) -> None:
    """The stranger knows the grant's id, the device's and the guest's address, and has a guest's stolen token."""
    owner, guest, stranger = [await site.somebody(name) for name in ("owner", "guest", "stranger")]
    device, lock = await granting.lock(owner)
    given = await give(owner, device.device_id, guest.email)
    assert (await token(stranger, device.device_id)).status_code == 400
    for method, path in (("GET", ""), ("GET", "/history"), ("PATCH", ""), ("DELETE", "")):
        answer = await stranger.send(method, f"/api/grants/{given['grant']}{path}", {} if method == "PATCH" else None)
        assert answer.status_code == 404
    thief = Login(site.origin, site.attacker, guest.account_id, guest.email, guest.token, stranger.private_key)
    assert (await token(thief, device.device_id)).status_code in (400, 401)
    assert lock.keys == set()


@ON_SQLITE
async def test_a_token_for_another_resource_is_none_here(site: Site) -> None:
    """The app was let in at somebody else's API alone, and holds the key of its token."""
    resource = f"https://{secrets.token_hex(4)}.example"
    serving = ("--authentication", "client_secret_basic", "--grant", "client_credentials", "--audience", resource)
    await register(site, "Reports", *serving, "--scope", "reports")
    client, owner, pkce = await app(site), await site.somebody("owner"), Pkce.generate()
    code = await Browser(site).code(client, owner, pkce, resource=resource)
    thief = Login(site.origin, site.attacker, owner.account_id, owner.email, "", new_key())
    answer = await thief.post("/oauth/token", code_form(client, code, pkce))
    thief.token = answer.json()["access_token"]
    for method, path in (("GET", "/api/devices"), ("GET", "/api/account"), ("POST", "/relay/tickets")):
        assert (await thief.send(method, path)).status_code == 401, path
    assert (await exchange(thief, f"{site.origin}/d/{invented().device_id}")).status_code == 400
