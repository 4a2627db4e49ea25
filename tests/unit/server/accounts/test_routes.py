"""The people API of accounts, through the real routes: tokens, proofs, throttle, networks, pages."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, text

from admittance.client.oauth.pkce import Pkce
from admittance.errors import Unavailable
from admittance.server.accounts.dpop import NONCE_STEP_S, VerifiedProof
from admittance.server.accounts.replays import KEPT_S, ReplayCache
from admittance.server.accounts.service import AccountServices
from admittance.server.accounts.store import login_throttles, premises_networks, proofs_seen
from admittance.server.database import Database
from admittance.server.schema import metadata
from tests.logins import CLIENT_ID, challenge_form
from tests.unit.server.accounts.conftest import PASSWORD, Caller, ClientKey, FakeClock

EMAIL = "owner@example.org"
TOKEN_TTL_S = 600


async def test_a_login_gives_a_token_for_the_account(caller: Caller, make_account: Any) -> None:
    account_id = await make_account()
    answer = (await caller.login(EMAIL)).json()
    assert answer["token_type"] == "DPoP"
    assert answer["expires_in"] == TOKEN_TTL_S
    assert (await caller.call("GET", "/api/account")).json() == {
        "account_id": account_id,
        "email": EMAIL,
        "display_name": "Owner",
        "operator": False,
        "quota": 3,
        "devices": 2,
    }


async def test_the_store_holds_no_token(caller: Caller, make_account: Any, database: Database) -> None:
    await make_account()
    await caller.login(EMAIL)
    async with database.read() as connection:
        rows = repr([(await connection.execute(select(table))).all() for table in metadata.sorted_tables])
    assert caller.token
    assert caller.refresh_token
    assert caller.token not in rows
    assert caller.refresh_token not in rows


async def test_wrong_passwords_and_unknown_addresses_look_the_same(caller: Caller, make_account: Any) -> None:
    await make_account()
    wrong = await caller.login(EMAIL, "not the password")
    unknown = await caller.login("nobody@example.org", "not the password")
    assert wrong.status_code == unknown.status_code == 400
    assert wrong.json()["error"] == "access_denied"
    assert wrong.content == unknown.content


async def test_a_token_expires(caller: Caller, make_account: Any, clock: FakeClock) -> None:
    await make_account()
    await caller.login(EMAIL)
    clock.now += TOKEN_TTL_S - 1
    assert (await caller.call("GET", "/api/account")).status_code == 200
    clock.now += 1
    assert (await caller.call("GET", "/api/account")).status_code == 401


async def test_a_stolen_token_is_useless_without_its_key(caller: Caller, make_account: Any) -> None:
    await make_account()
    await caller.login(EMAIL)
    caller.key = ClientKey()
    stolen = await caller.call("GET", "/api/account")
    bearer = await caller.http.get("/api/account", headers={"authorization": f"Bearer {caller.token}"})
    no_proof = await caller.http.get("/api/account", headers={"authorization": f"DPoP {caller.token}"})
    nothing = await caller.http.get("/api/account")
    assert {response.status_code for response in (stolen, bearer, no_proof, nothing)} == {401}
    assert stolen.content == bearer.content == no_proof.content == nothing.content


async def test_a_proof_is_good_once_even_for_requests_at_once(
    caller: Caller, make_account: Any, services: AccountServices
) -> None:
    await make_account()
    await caller.login(EMAIL)
    proof = caller.key.proof(now=caller.clock.now, nonce=caller.nonce, token=caller.token)
    headers = {"dpop": proof, "authorization": f"DPoP {caller.token}"}
    responses = await asyncio.gather(*(caller.http.get("/api/account", headers=headers) for _ in range(10)))
    assert sorted(response.status_code for response in responses) == [200] + [401] * 9


async def test_a_login_proof_is_good_once(caller: Caller, make_account: Any) -> None:
    await make_account()
    await caller.login(EMAIL)
    path, body = "/oauth/authorize-challenge", challenge_form(EMAIL, PASSWORD, Pkce.generate())
    proof = caller.key.proof(method="POST", path=path, now=caller.clock.now, nonce=caller.nonce)
    first = await caller.http.post(path, data=body, headers={"dpop": proof})
    again = await caller.http.post(path, data=body, headers={"dpop": proof})
    assert (first.status_code, again.status_code) == (200, 400)
    assert again.json()["error"] == "invalid_dpop_proof"


async def test_two_proofs_in_one_request_are_refused(caller: Caller, make_account: Any) -> None:
    await make_account()
    await caller.login(EMAIL)
    headers = [("authorization", f"DPoP {caller.token}")]
    for _ in range(2):
        headers.append(("dpop", caller.key.proof(now=caller.clock.now, nonce=caller.nonce, token=caller.token)))
    assert (await caller.http.get("/api/account", headers=headers)).status_code == 401


async def test_the_host_header_is_not_believed(caller: Caller, make_account: Any) -> None:
    await make_account()
    await caller.login(EMAIL)
    proof = caller.key.proof(
        now=caller.clock.now, nonce=caller.nonce, token=caller.token, htu="https://evil.example/api/account"
    )
    headers = {"dpop": proof, "authorization": f"DPoP {caller.token}", "host": "evil.example"}
    assert (await caller.http.get("/api/account", headers=headers)).status_code == 401


async def test_used_proofs_are_forgotten_when_their_nonce_is_dead(
    caller: Caller, make_account: Any, clock: FakeClock, database: Database
) -> None:
    await make_account()
    await caller.login(EMAIL)
    clock.now += KEPT_S + NONCE_STEP_S
    await caller.call("GET", "/api/account")
    async with database.read() as connection:
        assert len((await connection.execute(select(proofs_seen))).all()) == 1


async def test_a_full_replay_cache_refuses(database: Database, client_key: ClientKey, clock: FakeClock) -> None:
    cache = ReplayCache(max_proofs=2)
    for number in range(2):
        async with database.transaction() as connection:
            await cache.spend(connection, VerifiedProof(client_key.jkt, f"proof-{number}"), clock.now)
    with pytest.raises(Unavailable):
        async with database.transaction() as connection:
            await cache.spend(connection, VerifiedProof(client_key.jkt, "proof-3"), clock.now)
    async with database.transaction() as connection:
        await cache.spend(connection, VerifiedProof(client_key.jkt, "proof-3"), clock.now + KEPT_S + 1)


async def test_a_logout_ends_the_token(caller: Caller, make_account: Any) -> None:
    await make_account()
    await caller.login(EMAIL)
    revoked = await caller.post("/oauth/revoke", {"client_id": CLIENT_ID, "token": str(caller.token)})
    assert revoked.status_code == 200
    assert (await caller.call("GET", "/api/account")).status_code == 401


async def test_tries_are_delayed_more_and_more_whether_or_not_the_account_exists(
    caller: Caller, make_account: Any, clock: FakeClock
) -> None:
    await make_account()

    async def delays(email: str) -> list[int]:
        found = []
        for _ in range(12):
            await caller.login(email, "not the password")
            refused = await caller.login(email, "not the password")
            waiting = int(refused.headers.get("retry-after", "0"))
            found.append(waiting)
            clock.now += waiting
        return found

    known = await delays(EMAIL)
    clock.now += 4000
    assert known == await delays("nobody@example.org")
    assert known == [0, 0, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30]


async def test_guesses_at_once_are_charged_before_they_are_tried(caller: Caller, make_account: Any) -> None:
    await make_account()
    await caller.login("someone@example.org")
    responses = await asyncio.gather(*(caller.login(EMAIL, f"wrong password {number}") for number in range(12)))
    codes = [response.status_code for response in responses]
    assert codes.count(400) <= 5
    assert codes.count(400) + codes.count(429) == 12


async def test_a_success_empties_the_accounts_bucket(caller: Caller, make_account: Any, database: Database) -> None:
    await make_account()
    for _ in range(4):
        await caller.login(EMAIL, "not the password")
    assert (await caller.login(EMAIL)).status_code == 200
    async with database.read() as connection:
        rows = (await connection.execute(select(login_throttles.c.failures))).scalars().all()
    assert rows == [4]


async def test_the_throttle_fails_closed(caller: Caller, make_account: Any, database: Database) -> None:
    await make_account()
    async with database.transaction() as connection:
        await connection.execute(text("DROP TABLE login_throttles"))
    assert (await caller.login(EMAIL)).status_code == 503


async def test_only_operators_invite(caller: Caller, make_account: Any) -> None:
    await make_account()
    await make_account("boss@example.org", operator=True)
    asked = {"email": "new@example.org", "operator": False}
    assert (await caller.call("POST", "/api/invites", asked)).status_code == 401
    await caller.login(EMAIL)
    assert (await caller.call("POST", "/api/invites", asked)).json()["code"] == "not_allowed"
    await caller.login("boss@example.org")
    made = await caller.call("POST", "/api/invites", asked)
    assert made.status_code == 201
    secret = made.json()["link"].partition("#")[2]
    accepted = await caller.http.post(
        "/api/invites/accept",
        json={"secret": secret, "email": "new@example.org", "password": PASSWORD, "display_name": "New"},
    )
    assert accepted.status_code == 201
    assert accepted.json()["email"] == "new@example.org"


async def test_networks_are_kept_without_ever_showing_the_passphrase(
    caller: Caller, make_account: Any, services: AccountServices, database: Database
) -> None:
    account_id = await make_account()
    await caller.login(EMAIL)
    network = {"ssid": "Home", "passphrase": "a wifi passphrase"}
    put = await caller.call("PUT", "/api/networks/home", network)
    listed = await caller.call("GET", "/api/networks")
    assert put.json() == {"name": "home", "ssid": "Home"}
    assert listed.json() == {"networks": [{"name": "home", "ssid": "Home"}]}
    async with database.read() as connection:
        stored = await services.networks.get(connection, account_id, "home")
        row = (await connection.execute(select(premises_networks))).one()
    assert stored.passphrase == "a wifi passphrase"
    assert "wifi" not in repr(stored)
    assert b"wifi" not in row.sealed
    assert b"Home" not in row.sealed


async def test_a_network_is_replaced_and_removed(caller: Caller, make_account: Any) -> None:
    await make_account()
    await caller.login(EMAIL)
    await caller.call("PUT", "/api/networks/home", {"ssid": "Home", "passphrase": "a wifi passphrase"})
    await caller.call("PUT", "/api/networks/home", {"ssid": "New home", "passphrase": ""})
    listed = (await caller.call("GET", "/api/networks")).json()
    assert listed == {"networks": [{"name": "home", "ssid": "New home"}]}
    assert (await caller.call("DELETE", "/api/networks/home")).status_code == 204
    assert (await caller.call("DELETE", "/api/networks/home")).status_code == 404


async def test_networks_of_others_are_out_of_reach(caller: Caller, make_account: Any) -> None:
    await make_account()
    await make_account("other@example.org")
    await caller.login(EMAIL)
    await caller.call("PUT", "/api/networks/home", {"ssid": "Home", "passphrase": "a wifi passphrase"})
    await caller.login("other@example.org")
    assert (await caller.call("GET", "/api/networks")).json() == {"networks": []}
    assert (await caller.call("DELETE", "/api/networks/home")).status_code == 404


async def test_a_network_moved_to_another_account_does_not_open(
    caller: Caller, make_account: Any, database: Database
) -> None:
    await make_account()
    other = await make_account("other@example.org")
    await caller.login(EMAIL)
    await caller.call("PUT", "/api/networks/home", {"ssid": "Home", "passphrase": "a wifi passphrase"})
    async with database.transaction() as connection:
        await connection.execute(premises_networks.update().values(account_id=other))
    await caller.login("other@example.org")
    assert (await caller.call("GET", "/api/networks")).status_code == 500


@pytest.mark.parametrize(
    ("name", "ssid", "passphrase"),
    [
        ("home", "", "a wifi passphrase"),
        ("home", "x" * 33, "a wifi passphrase"),
        ("home", "Home", "short"),
        ("home", "Home", "x" * 64),
        ("home", "Home", "ümlautümlaut"),
        ("-home", "Home", "a wifi passphrase"),
        ("h" * 33, "Home", "a wifi passphrase"),
    ],
)
async def test_an_impossible_network_is_malformed(
    caller: Caller, make_account: Any, name: str, ssid: str, passphrase: str
) -> None:
    await make_account()
    await caller.login(EMAIL)
    answer = await caller.call("PUT", f"/api/networks/{name}", {"ssid": ssid, "passphrase": passphrase})
    assert answer.json()["code"] == "malformed"


async def test_an_account_has_a_bounded_number_of_networks(
    caller: Caller, make_account: Any, services: AccountServices
) -> None:
    await make_account()
    await caller.login(EMAIL)
    network = {"ssid": "Home", "passphrase": "a wifi passphrase"}
    for number in range(32):
        assert (await caller.call("PUT", f"/api/networks/n{number}", network)).status_code == 200
    assert (await caller.call("PUT", "/api/networks/n32", network)).json()["code"] == "quota_exceeded"
    assert (await caller.call("PUT", "/api/networks/n31", network)).status_code == 200


@pytest.mark.parametrize("path", ["/invite", "/static/invite.js", "/static/page.css"])
async def test_the_invite_page_allows_no_inline_script_and_no_framing(caller: Caller, path: str) -> None:
    page = await caller.http.get(path)
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "<script>" not in page.text
    assert " onclick" not in page.text
