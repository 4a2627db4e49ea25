"""Refresh tokens rotate, are bound, and give a thief away."""

import asyncio

import pytest
from sqlalchemy import select

from admittance.server.audit.store import audit
from admittance.server.revocations.store import endings
from admittance.wire import base64url
from tests.unit.server.access.conftest import OAuth, public
from tests.unit.server.accounts.conftest import ClientKey


async def test_each_refresh_token_is_good_once_and_its_reuse_ends_the_login(on_each_database: OAuth) -> None:
    oauth = on_each_database
    first = await oauth.login()
    second = (await oauth.refresh(first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    reused = await oauth.refresh(first["refresh_token"])
    assert (reused.status_code, reused.json()["error"]) == (400, "invalid_grant")
    assert (await oauth.refresh(second["refresh_token"])).json()["error"] == "invalid_grant"
    for tokens in (first, second):
        assert (await oauth.ask_api(tokens["access_token"])).status_code == 401
    async with oauth.database.read() as connection:
        assert [row.kind for row in await connection.execute(select(endings))] == ["token"]
        events = [row.details for row in await connection.execute(select(audit)) if row.event == "session.ended"]
    assert "refresh_token_reused" in events[0]


async def test_a_refresh_token_used_at_once_is_used_once(on_each_database: OAuth) -> None:
    oauth = on_each_database
    token = (await oauth.login())["refresh_token"]
    answers = await asyncio.gather(*(oauth.refresh(token) for _ in range(6)))
    assert [answer.status_code for answer in answers].count(200) <= 1
    assert await oauth.sessions() == 0


async def test_a_refresh_token_is_bound_to_client_and_key(oauth: OAuth) -> None:
    await oauth.add(public("other"))
    token = (await oauth.login())["refresh_token"]
    assert (await oauth.refresh(token, key=ClientKey())).json()["error"] == "invalid_grant"
    assert (await oauth.refresh(token, client_id="other")).json()["error"] == "invalid_grant"
    assert (await oauth.refresh(token)).status_code == 200


@pytest.mark.parametrize("change", ["", "x", "A" * 70, "é"])
async def test_an_invented_refresh_token_is_refused(oauth: OAuth, change: str) -> None:
    real = (await oauth.login())["refresh_token"]
    forged = real[:-4] + change if change else real[:20] + ("A" if real[20] != "A" else "B") + real[21:]
    assert (await oauth.refresh(forged)).json()["error"] == "invalid_grant"
    assert (await oauth.refresh(real)).status_code == 200


@pytest.mark.parametrize("step", [-1, 1])
async def test_a_used_refresh_token_does_not_become_another(oauth: OAuth, step: int) -> None:
    """Neither the one that is good now, nor one whose reuse would end the login."""
    used = (await oauth.login())["refresh_token"]
    current = (await oauth.refresh(used)).json()["refresh_token"]
    raw = base64url.decode(used if step > 0 else current)
    rotation = int.from_bytes(raw[16:20], "big") + step
    forged = base64url.encode(raw[:16] + rotation.to_bytes(4, "big") + raw[20:])
    assert (await oauth.refresh(forged)).json()["error"] == "invalid_grant"
    assert (await oauth.refresh(current)).status_code == 200


async def test_a_refresh_narrows_the_scope_and_never_widens_it(oauth: OAuth) -> None:
    tokens = await oauth.login(scope="devices account")
    narrow = (await oauth.refresh(tokens["refresh_token"], scope="account")).json()
    assert narrow["scope"] == "account"
    assert (await oauth.ask_api(narrow["access_token"])).status_code == 403
    wide = await oauth.refresh(narrow["refresh_token"], scope="account activate")
    assert wide.json()["error"] == "invalid_scope"
    assert (await oauth.refresh(narrow["refresh_token"])).json()["scope"] == "account devices"


async def test_access_tokens_end_soon_and_logins_late(oauth: OAuth) -> None:
    tokens = await oauth.login()
    oauth.clock.now += 599
    assert (await oauth.ask_api(tokens["access_token"])).status_code == 200
    oauth.clock.now += 1
    assert (await oauth.ask_api(tokens["access_token"])).status_code == 401
    oauth.clock.now += 30 * 86_400 - 700
    last = (await oauth.refresh(tokens["refresh_token"])).json()
    assert last["expires_in"] == 100
    oauth.clock.now += 100
    assert (await oauth.refresh(last["refresh_token"])).json()["error"] == "invalid_grant"


async def test_a_client_without_the_grant_gets_no_refresh_token(oauth: OAuth) -> None:
    await oauth.access.clients.remove("garden", actor="operator")
    await oauth.add(public(grants=frozenset({"authorization_code"})))
    assert "refresh_token" not in await oauth.login()


async def test_removing_a_client_ends_its_logins(oauth: OAuth) -> None:
    tokens = await oauth.login()
    assert await oauth.access.clients.remove("garden", actor="operator") == 1
    assert (await oauth.ask_api(tokens["access_token"])).status_code == 401
