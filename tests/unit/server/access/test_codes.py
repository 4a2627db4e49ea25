"""The authorization code grant, from the browser to the tokens."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from joserfc import jws

from admittance.client.oauth.pkce import Pkce
from admittance.server.access import model
from tests.unit.server.access.conftest import CALLBACK, OAuth, basic, confidential, location, public
from tests.unit.server.accounts.conftest import ORIGIN, ClientKey


async def test_a_person_lets_an_app_in(on_each_database: OAuth) -> None:
    oauth = on_each_database
    tokens = await oauth.login()
    assert (tokens["token_type"], tokens["expires_in"], tokens["scope"]) == ("DPoP", 600, "devices")
    answer = await oauth.ask_api(tokens["access_token"])
    assert answer.json()["client_id"] == "garden"
    again = (await oauth.refresh(tokens["refresh_token"])).json()
    assert (await oauth.ask_api(again["access_token"])).status_code == 200


async def test_the_token_says_what_rfc_9068_asks(oauth: OAuth) -> None:
    token = jws.extract_compact((await oauth.login())["access_token"].encode())
    assert token.headers()["typ"] == "at+jwt"
    claims: dict[str, Any] = json.loads(token.payload)
    assert claims["iss"] == claims["aud"] == ORIGIN
    assert {"sub", "client_id", "scope", "iat", "exp", "jti", "sid"} < set(claims)
    assert claims["cnf"] == {"jkt": oauth.key.jkt}


async def test_the_answer_names_issuer_and_state(oauth: OAuth) -> None:
    start = await oauth.http.get("/oauth/authorize", params=oauth.request(Pkce.generate(), state="a b&c"))
    where, answer = location(await oauth.decide(await oauth.sign_in(start)))
    assert where == CALLBACK
    assert (answer["iss"], answer["state"]) == (ORIGIN, "a b&c")


async def test_a_person_says_no(oauth: OAuth) -> None:
    start = await oauth.http.get("/oauth/authorize", params=oauth.request(Pkce.generate()))
    _, answer = location(await oauth.decide(await oauth.sign_in(start), "deny"))
    assert (answer["error"], answer["iss"], answer["state"]) == ("access_denied", ORIGIN, "s-1")
    assert "code" not in answer


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"response_type": ""}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"request": "a.b.c"}, "invalid_request"),
        ({"scope": "devices everything"}, "invalid_scope"),
        ({"resource": "https://elsewhere.example"}, "invalid_target"),
        ({"dpop_jkt": "short"}, "invalid_request"),
    ],
)
async def test_a_wrong_request_is_answered_at_the_redirect_uri(
    oauth: OAuth, changes: dict[str, str], error: str
) -> None:
    answer = await oauth.http.get("/oauth/authorize", params=oauth.request(Pkce.generate(), **changes))
    where, query = location(answer)
    assert where == CALLBACK
    assert (query["error"], query["iss"], query["state"]) == (error, ORIGIN, "s-1")


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "nobody"},
        {"client_id": ""},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": CALLBACK + "/"},
        {"redirect_uri": CALLBACK + "?x=1"},
        {"redirect_uri": "https://app.example/callback/../evil"},
        {"redirect_uri": "https://APP.example/callback"},
        {"redirect_uri": "https://app.example.evil.example/callback"},
        {"redirect_uri": "https://user@app.example/callback"},
        {"redirect_uri": "javascript:alert(1)"},
        {"state": "s" * 2000},
    ],
)
async def test_what_is_not_the_clients_is_never_redirected_to(oauth: OAuth, changes: dict[str, str]) -> None:
    answer = await oauth.http.get("/oauth/authorize", params=oauth.request(Pkce.generate(), **changes))
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_a_parameter_twice_is_refused(oauth: OAuth) -> None:
    query = httpx.QueryParams(oauth.request(Pkce.generate()))
    answer = await oauth.http.get(f"/oauth/authorize?{query}&redirect_uri={CALLBACK}")
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": Pkce.generate().verifier},
        {"code_verifier": "short"},
        {"redirect_uri": "https://app.example/other"},
        {"redirect_uri": ""},
        {"client_id": "other"},
        {"code": Pkce.generate().verifier},
        {"code": "x"},
    ],
)
async def test_a_code_holds_for_what_it_was_made_for_alone(oauth: OAuth, changes: dict[str, str]) -> None:
    await oauth.add(public("other"))
    pkce = Pkce.generate()
    code = await oauth.code(pkce)
    form = {name: value for name, value in oauth.code_form(code, pkce, **changes).items() if value}
    answer = await oauth.post("/oauth/token", form)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert (await oauth.post("/oauth/token", oauth.code_form(code, pkce))).status_code == 200


async def test_a_code_without_verifier_is_refused(oauth: OAuth) -> None:
    pkce = Pkce.generate()
    form = oauth.code_form(await oauth.code(pkce), pkce)
    del form["code_verifier"]
    assert (await oauth.post("/oauth/token", form)).json()["error"] == "invalid_request"


async def test_a_code_lives_a_minute(oauth: OAuth) -> None:
    pkce = Pkce.generate()
    code = await oauth.code(pkce)
    oauth.clock.now += 60
    assert (await oauth.post("/oauth/token", oauth.code_form(code, pkce))).json()["error"] == "invalid_grant"


async def test_a_code_used_twice_ends_what_it_gave(on_each_database: OAuth) -> None:
    oauth, pkce = on_each_database, Pkce.generate()
    code = await oauth.code(pkce)
    tokens = (await oauth.post("/oauth/token", oauth.code_form(code, pkce))).json()
    assert (await oauth.ask_api(tokens["access_token"])).status_code == 200
    again = await oauth.post("/oauth/token", oauth.code_form(code, pkce))
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert (await oauth.ask_api(tokens["access_token"])).status_code == 401
    assert (await oauth.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"


async def test_a_code_used_at_once_gives_one_login_at_most(on_each_database: OAuth) -> None:
    oauth, pkce = on_each_database, Pkce.generate()
    form = oauth.code_form(await oauth.code(pkce), pkce)
    answers = await asyncio.gather(*(oauth.post("/oauth/token", form) for _ in range(6)))
    assert [answer.status_code for answer in answers].count(200) <= 1
    assert await oauth.sessions() <= 1


async def test_a_code_is_bound_to_the_key_that_the_request_named(oauth: OAuth) -> None:
    pkce = Pkce.generate()
    code = await oauth.code(pkce, dpop_jkt=oauth.key.jkt)
    stolen = await oauth.post("/oauth/token", oauth.code_form(code, pkce), key=ClientKey())
    assert stolen.json()["error"] == "invalid_grant"
    assert (await oauth.post("/oauth/token", oauth.code_form(code, pkce))).status_code == 200


async def test_only_an_operator_gives_the_scope_operate(oauth: OAuth) -> None:
    tokens = await oauth.login(scope="devices operate")
    assert tokens["scope"] == "devices"


async def test_a_token_does_nothing_outside_its_scope(oauth: OAuth) -> None:
    tokens = await oauth.login(scope="account")
    answer = await oauth.ask_api(tokens["access_token"])
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert 'scope="devices"' in answer.headers["www-authenticate"]


async def test_an_operators_token_without_operate_is_no_operators(oauth: OAuth) -> None:
    await oauth.account("olga@example.org", operator=True)
    pkce = Pkce.generate()
    start = await oauth.http.get("/oauth/authorize", params=oauth.request(pkce))
    _, answer = location(await oauth.decide(await oauth.sign_in(start, email="olga@example.org")))
    tokens = (await oauth.post("/oauth/token", oauth.code_form(answer["code"], pkce))).json()
    assert (await oauth.ask_api(tokens["access_token"], path="/api/operate")).status_code == 403


async def test_a_public_client_needs_a_key(oauth: OAuth) -> None:
    pkce = Pkce.generate()
    form = oauth.code_form(await oauth.code(pkce), pkce)
    answer = await oauth.post("/oauth/token", form, proven=False)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")


async def test_a_client_with_a_secret_gets_tokens_without_a_key_that_the_people_api_does_not_take(
    oauth: OAuth,
) -> None:
    secret, pkce = await oauth.add(confidential()), Pkce.generate()
    uri = "https://backup.example/callback"
    code = await oauth.code(pkce, client_id="backup", redirect_uri=uri)
    form = oauth.code_form(code, pkce, client_id="backup", redirect_uri=uri)
    answer = await oauth.post("/oauth/token", form, proven=False, headers=basic("backup", secret))
    assert answer.json()["token_type"] == "Bearer"
    token = answer.json()["access_token"]
    assert (await oauth.http.get("/api/whoami", headers={"authorization": f"Bearer {token}"})).status_code == 401
    assert (await oauth.ask_api(token)).status_code == 401


async def test_a_client_without_the_grant_asks_nobody(oauth: OAuth) -> None:
    await oauth.add(public("screen", grants=frozenset({model.DEVICE_CODE}), redirect_uris=()))
    answer = await oauth.http.get("/oauth/authorize", params=oauth.request(Pkce.generate(), client_id="screen"))
    assert answer.status_code == 400
