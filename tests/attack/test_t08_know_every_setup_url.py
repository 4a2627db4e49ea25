"""T08. Means: a photo of every setup code, and an account. Goal: learn which devices exist and whose they are, or
enter one without standing before it.
"""

import os
from typing import Any

import httpx

from admittance.client.api import ApiClient
from admittance.errors import Throttled, WrongCode
from admittance.protocol.provisioning.client import read_version, run
from admittance.wire import base64url
from admittance.wire.protocomm.version import Admit
from tests.attack.site import LOCK, ON_SQLITE, Login, Site, code_of, invented, seen
from tests.attack.world import Device, Guest, World

OF_FIXED_LENGTH = ("challenge", "ssid", "passphrase", "username", "code", "device_id")


async def _ids(site: Site) -> dict[str, str]:
    """A device id of each kind that must look alike to a stranger."""
    owner = await site.somebody("owner")
    claimed, enrolled, revoked, released = (site.take() for _ in range(4))
    await site.claim(owner, claimed)
    for device in (enrolled, revoked, released):
        await site.onboard(owner, device)
    await owner.ask("POST", f"/api/devices/{revoked.device_id}/revoke", {"reason": "lost"})
    await owner.ask("POST", f"/api/devices/{released.device_id}/release")
    return {
        "unknown": invented().device_id,
        "listed": site.take().device_id,
        "listed, with a button": site.take(LOCK).device_id,
        "claimed": claimed.device_id,
        "enrolled": enrolled.device_id,
        "revoked": revoked.device_id,
        "released": released.device_id,
    }


def _shape(value: Any, name: str = "") -> object:
    if isinstance(value, dict):
        return {key: _shape(each, key) for key, each in value.items()}
    return len(value) if name in OF_FIXED_LENGTH else type(value)


def _look(answer: httpx.Response) -> tuple[object, ...]:
    headers = sorted(name for name in answer.headers if name != "content-length")
    return (answer.status_code, tuple(headers), repr(_shape(answer.json())))


async def _code(login: Login, device_id: str, window_nonce: bytes, challenge: str | None = None) -> httpx.Response:
    if challenge is None:
        challenge = (await login.ask("POST", f"/d/{device_id}"))["challenge"]
    content = {
        "challenge": challenge,
        "device_id": device_id,
        "window_nonce": base64url.encode(window_nonce),
    }
    return await login.send("POST", "/api/presence-codes", content)


@ON_SQLITE
async def test_a_stranger_sees_the_same_whatever_the_device(site: Site) -> None:
    attacker, ids, window_nonce = await site.somebody("attacker"), await _ids(site), os.urandom(16)
    pages, posts, setups, codes = set(), set(), set(), set()
    for device_id in ids.values():
        pages.add(seen(await site.attacker.get(f"/d/{device_id}")))
        posts.add(seen(await site.attacker.post(f"/d/{device_id}")))
        setups.add(_look(await attacker.send("POST", f"/d/{device_id}")))
        codes.add(_look(await _code(attacker, device_id, window_nonce)))
    assert [len(pages), len(posts), len(setups), len(codes)] == [1, 1, 1, 1]
    assert [next(iter(each))[0] for each in (pages, posts, setups, codes)] == [200, 401, 200, 200]


@ON_SQLITE
async def test_a_dummy_does_not_change(site: Site) -> None:
    """What changes from question to question was made up; so was what depends on who asks."""
    ids = await _ids(site)
    for device_id in ids.values():
        told = set()
        for name in ("attacker", "attacker", "accomplice"):
            login = await site.somebody(name)
            setup = await login.ask("POST", f"/d/{device_id}")
            code = (await _code(login, device_id, b"n" * 16)).json()
            told.add(repr((setup["model"], setup["presence"], setup["access_point"], code)))
        assert len(told) == 1, device_id


@ON_SQLITE
async def test_the_access_point_of_somebody_elses_device_stays_closed(site: Site) -> None:
    owner, attacker, device = await site.somebody("owner"), await site.somebody("attacker"), site.take()
    await site.onboard(owner, device)
    passphrase = device.secrets.access_point_passphrase
    assert (await owner.ask("POST", f"/d/{device.device_id}"))["access_point"]["passphrase"] == passphrase
    told = await attacker.ask("POST", f"/d/{device.device_id}")
    assert told["access_point"]["passphrase"] != passphrase
    await owner.ask("POST", f"/api/devices/{device.device_id}/revoke", {"reason": "lost"})
    told = await owner.ask("POST", f"/d/{device.device_id}")
    assert told["access_point"]["passphrase"] != passphrase


@ON_SQLITE
async def test_a_code_needs_a_challenge_of_ones_own_for_this_device(site: Site) -> None:
    owner, attacker = await site.somebody("owner"), await site.somebody("attacker")
    lock, other = site.take(LOCK).device_id, site.take(LOCK).device_id
    of_owner = (await owner.ask("POST", f"/d/{lock}"))["challenge"]
    of_other = (await attacker.ask("POST", f"/d/{other}"))["challenge"]
    of_none = (await attacker.ask("POST", "/api/challenges", {"purpose": "provision"}))["challenge"]
    for challenge in (of_owner, of_other, of_none, base64url.encode(os.urandom(32))):
        refused = await _code(attacker, lock, b"n" * 16, challenge)
        assert (refused.status_code, code_of(refused)) == (404, "not_found")
    assert (await site.attacker.post("/api/presence-codes", json={})).status_code == 401


async def test_a_setup_url_opens_no_window_of_a_real_device(lock_world: World) -> None:
    """With all codes that the server gives out for nonces of the attacker's choice, and those of windows gone by."""
    world, stranger = lock_world, await lock_world.account("stranger")
    lock = await world.power_up(world.take())
    await lock.told("access_point_opened")
    async with world.guest(lock) as guest, world.api(stranger) as api:
        gone = await _window(guest)
        await lock.press()
        live = await _window(guest)
        assert gone is not None
        assert live is not None
        for nonce in (gone, os.urandom(16), bytes(16), live[:-1] + bytes([live[-1] ^ 1])):
            assert not await _enters(guest, api, lock, nonce)
        assert await _enters(guest, api, lock, live)
        assert not await _enters(guest, api, lock, live)


async def _window(guest: Guest) -> bytes | None:
    """What the access point says of the open window to whoever is in its reach."""
    version = await run(read_version(), guest.exchange)
    return version.admit.window_nonce if isinstance(version.admit, Admit) else None


async def _enters(guest: Guest, api: ApiClient, lock: Device, nonce: bytes) -> bool:
    challenge = (await api.setup(lock.device_id)).challenge
    code = await api.presence_code(
        challenge=base64url.decode(challenge), device_id=lock.device_id, window_nonce=nonce
    )
    try:
        await guest.enter(code.username, code.code)
    except (WrongCode, Throttled):
        return False
    return True
