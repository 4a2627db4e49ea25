"""Metadata and keys, pushed requests, revocation, introspection, and how clients prove themselves."""

import asyncio
from typing import Any

import httpx
import pytest
from joserfc import jwk
from sqlalchemy import select

from admittance.client.oauth.pkce import Pkce
from admittance.errors import Conflict, Malformed, Unavailable
from admittance.server.access import model
from admittance.server.access.bound import Bound
from admittance.server.access.client_authentication import ASSERTION_TYPE
from admittance.server.access.tables import oauth_pushed_requests
from admittance.server.keys.token_keys import TokenKeys
from admittance.server.schema import metadata
from tests.unit.server.access.conftest import (
    CALLBACK,
    OAuth,
    assertion,
    basic,
    confidential,
    location,
    public,
)
from tests.unit.server.accounts.conftest import ORIGIN, ClientKey

CREDENTIALS = {"grant_type": "client_credentials"}


def keys(key: jwk.ECKey) -> dict[str, Any]:
    return {"keys": [key.as_dict(private=False)]}


async def test_metadata_names_what_is_served(oauth: OAuth) -> None:
    found = (await oauth.http.get("/.well-known/oauth-authorization-server")).json()
    assert found["issuer"] == ORIGIN
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["authorization_response_iss_parameter_supported"] is True
    assert model.EXCHANGE in found["grant_types_supported"]
    assert "none" not in found["introspection_endpoint_auth_methods_supported"]
    paths = {route.path for route in oauth.access.people_routes}
    ends = {value for name, value in found.items() if name.endswith(("_endpoint", "jwks_uri"))}
    assert {end.removeprefix(ORIGIN) for end in ends} <= paths


async def test_a_next_key_is_published_before_it_signs_and_the_last_one_while_its_tokens_live(oauth: OAuth) -> None:
    async def published() -> set[str]:
        return {key["kid"] for key in (await oauth.http.get("/oauth/keys")).json()["keys"]}

    assert isinstance(oauth.ground.token_keys, TokenKeys)
    first, old = await published(), await oauth.login()
    oauth.ground.token_keys.roll(oauth.clock.now, 600)
    both = await published()
    assert (len(first), len(both)) == (1, 2)
    assert oauth.ground.token_keys.signing(oauth.clock.now).kid in first
    oauth.clock.now += 599
    assert (await oauth.ask_api(old["access_token"])).status_code == 200
    oauth.clock.now += 1
    assert oauth.ground.token_keys.signing(oauth.clock.now).kid in both - first
    new = (await oauth.refresh(old["refresh_token"])).json()
    assert (await oauth.ask_api(new["access_token"])).status_code == 200
    assert await published() == both
    oauth.clock.now += 3600
    assert await published() == both - first


async def test_a_pushed_request_is_good_once_and_for_its_client(on_each_database: OAuth) -> None:
    oauth, pkce = on_each_database, Pkce.generate()
    await oauth.add(public("other"))
    pushed = await oauth.post("/oauth/par", oauth.request(pkce))
    assert (pushed.status_code, pushed.json()["expires_in"]) == (201, 60)
    query = {"client_id": "garden", "request_uri": pushed.json()["request_uri"]}
    assert (await oauth.http.get("/oauth/authorize", params={**query, "client_id": "other"})).status_code == 400
    start = await oauth.http.get("/oauth/authorize", params=query)
    assert (await oauth.http.get("/oauth/authorize", params=query)).status_code == 400
    _, answer = location(await oauth.decide(await oauth.sign_in(start)))
    stolen = await oauth.post("/oauth/token", oauth.code_form(answer["code"], pkce), key=ClientKey())
    assert stolen.json()["error"] == "invalid_grant"
    assert (await oauth.post("/oauth/token", oauth.code_form(answer["code"], pkce))).status_code == 200


async def test_a_pushed_request_lives_a_minute(oauth: OAuth) -> None:
    pushed = await oauth.post("/oauth/par", oauth.request(Pkce.generate()))
    oauth.clock.now += 60
    query = {"client_id": "garden", "request_uri": pushed.json()["request_uri"]}
    assert (await oauth.http.get("/oauth/authorize", params=query)).status_code == 400


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uri": "https://evil.example/"}, "invalid_request"),
        ({"request_uri": "urn:x"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"dpop_jkt": "A" * 43}, "invalid_request"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"scope": "everything"}, "invalid_scope"),
    ],
)
async def test_a_wrong_pushed_request_is_refused_at_once(oauth: OAuth, changes: dict[str, str], error: str) -> None:
    answer = await oauth.post("/oauth/par", oauth.request(Pkce.generate(), **changes))
    assert answer.json()["error"] == error


async def test_revoking_either_token_ends_the_login(oauth: OAuth) -> None:
    for name in ("access_token", "refresh_token"):
        tokens = await oauth.login()
        form = {"client_id": "garden", "token": tokens[name], "token_type_hint": "nonsense"}
        assert (await oauth.post("/oauth/revoke", form, proven=False)).status_code == 200
        assert (await oauth.ask_api(tokens["access_token"])).status_code == 401
        assert (await oauth.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
        assert (await oauth.post("/oauth/revoke", form, proven=False)).status_code == 200


async def test_only_its_client_revokes_a_token(oauth: OAuth) -> None:
    await oauth.add(public("other"))
    tokens = await oauth.login()
    for token in (tokens["access_token"], tokens["refresh_token"], "rubbish"):
        answer = await oauth.post("/oauth/revoke", {"client_id": "other", "token": token}, proven=False)
        assert answer.status_code == 200
    assert (await oauth.ask_api(tokens["access_token"])).status_code == 200


async def test_introspection_is_for_those_whom_the_token_concerns(oauth: OAuth) -> None:
    audience = "https://reports.example"
    owner = await oauth.add(confidential("reports", audiences=(audience,)))
    stranger = await oauth.add(confidential("stranger"))
    tokens = await oauth.login(resource=audience)

    async def ask(client: str, secret: str, token: str) -> Any:
        answer = await oauth.post("/oauth/introspect", {"token": token}, proven=False, headers=basic(client, secret))
        assert answer.status_code == 200
        return answer.json()

    found = await ask("reports", owner, tokens["access_token"])
    assert (found["active"], found["aud"], found["cnf"]) == (True, audience, {"jkt": oauth.key.jkt})
    assert await ask("stranger", stranger, tokens["access_token"]) == {"active": False}
    assert await ask("reports", owner, tokens["refresh_token"]) == {"active": False}
    assert await ask("reports", owner, "rubbish") == {"active": False}
    own = await oauth.login()
    assert await ask("reports", owner, own["access_token"]) == {"active": False}
    await oauth.post("/oauth/revoke", {"client_id": "garden", "token": tokens["refresh_token"]}, proven=False)
    assert await ask("reports", owner, tokens["access_token"]) == {"active": False}


async def test_a_token_for_another_audience_is_none_here(oauth: OAuth) -> None:
    await oauth.add(confidential("reports", audiences=("https://reports.example",)))
    tokens = await oauth.login(resource="https://reports.example")
    assert (await oauth.ask_api(tokens["access_token"])).status_code == 401


async def test_a_public_client_does_not_introspect(oauth: OAuth) -> None:
    answer = await oauth.post("/oauth/introspect", {"client_id": "garden", "token": "x"}, proven=False)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_client_credentials_stand_for_no_account(oauth: OAuth) -> None:
    secret = await oauth.add(confidential())
    headers = basic("backup", secret)
    answer = await oauth.post("/oauth/token", CREDENTIALS, headers=headers)
    content = answer.json()
    assert (content["token_type"], content["scope"]) == ("DPoP", "devices reports")
    assert "refresh_token" not in content
    assert (await oauth.ask_api(content["access_token"])).status_code == 401
    form = {"token": content["access_token"]}
    found = await oauth.post("/oauth/introspect", form, proven=False, headers=headers)
    assert (found.json()["active"], found.json()["sub"]) == (True, "backup")
    assert (await oauth.post("/oauth/revoke", form, proven=False, headers=headers)).status_code == 200
    found = await oauth.post("/oauth/introspect", form, proven=False, headers=headers)
    assert found.json() == {"active": False}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Basic"},
        {"authorization": "Basic !!!"},
        {"authorization": "Bearer x"},
        basic("backup", "wrong"),
        basic("backup", "A" * 43),
        basic("nobody", "A" * 43),
        basic("garden", "A" * 43),
    ],
)
async def test_a_wrong_secret_looks_like_an_unknown_client(oauth: OAuth, headers: dict[str, str]) -> None:
    await oauth.add(confidential())
    answer = await oauth.post("/oauth/token", CREDENTIALS, proven=False, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.json()["error_description"] == "The client is unknown, or its authentication does not hold."
    assert ("www-authenticate" in answer.headers) == bool(headers)


async def test_a_secret_counts_in_one_basic_header_alone(oauth: OAuth) -> None:
    secret = await oauth.add(confidential())
    right = basic("backup", secret)["authorization"]
    others = basic("backup", "A" * 43)["authorization"]
    for shown in ([right.replace("Basic", "Bearer")], [right, others], [others, right], [right, right]):
        headers = [("authorization", value) for value in shown]
        answer = await oauth.http.post("/oauth/token", data=CREDENTIALS, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert (await oauth.http.post("/oauth/token", data=CREDENTIALS, headers=[("authorization", right)])).is_success


async def test_a_client_proves_itself_by_its_own_method_alone(oauth: OAuth) -> None:
    secret, key = await oauth.add(confidential()), jwk.ECKey.generate_key("P-256")
    await oauth.add(confidential("signer", authentication="private_key_jwt", keys=keys(key)))
    by_name = await oauth.post("/oauth/token", {**CREDENTIALS, "client_id": "backup"}, proven=False)
    in_form = {**CREDENTIALS, "client_id": "backup", "client_secret": secret}
    posted = await oauth.post("/oauth/token", in_form, proven=False)
    signed = {
        **CREDENTIALS,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion(key, "signer", oauth.clock.now),
    }
    both = await oauth.post("/oauth/token", signed, proven=False, headers=basic("backup", secret))
    assert {by_name.status_code, posted.status_code, both.status_code} == {401}


async def test_an_assertion_is_good_once(oauth: OAuth) -> None:
    key = jwk.ECKey.generate_key("P-256")
    await oauth.add(confidential("signer", authentication="private_key_jwt", keys=keys(key)))
    form = {
        **CREDENTIALS,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion(key, "signer", oauth.clock.now),
    }
    assert (await oauth.post("/oauth/token", form, proven=False)).status_code == 200
    assert (await oauth.post("/oauth/token", form, proven=False)).status_code == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://elsewhere.example"},
        {"aud": [ORIGIN]},
        {"aud": [ORIGIN, "https://elsewhere.example"]},
        {"aud": None},
        {"iss": "backup"},
        {"sub": "backup"},
        {"jti": None},
        {"jti": "short"},
        {"exp": None},
        {"exp": 1_800_000_000 - 60},
        {"exp": 1_800_000_000 + 3600},
        {"exp": True},
        {"nbf": 1_800_000_000 + 600},
    ],
)
async def test_an_assertion_that_is_not_for_here_and_now_is_refused(oauth: OAuth, claims: dict[str, Any]) -> None:
    key = jwk.ECKey.generate_key("P-256")
    await oauth.add(confidential("signer", authentication="private_key_jwt", keys=keys(key)))
    form = {
        **CREDENTIALS,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion(key, "signer", oauth.clock.now, **claims),
    }
    assert (await oauth.post("/oauth/token", form, proven=False)).status_code == 401


async def test_anothers_key_signs_no_assertion(oauth: OAuth) -> None:
    await oauth.add(
        confidential("signer", authentication="private_key_jwt", keys=keys(jwk.ECKey.generate_key("P-256")))
    )
    forged = assertion(jwk.ECKey.generate_key("P-256"), "signer", oauth.clock.now)
    for given in (forged, forged.rpartition(".")[0] + ".", "a.b.c", "", "é"):
        form = {**CREDENTIALS, "client_assertion_type": ASSERTION_TYPE, "client_assertion": given}
        assert (await oauth.post("/oauth/token", form, proven=False)).status_code == 401


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "implicit"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unauthorized_client"),
        ({"grant_type": "authorization_code"}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
    ],
)
async def test_what_a_public_client_may_not_ask(oauth: OAuth, form: dict[str, str], error: str) -> None:
    answer = await oauth.post("/oauth/token", {"client_id": "garden", **form})
    assert answer.json()["error"] == error
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"grant_type": "client_credentials"}', "application/json"),
        (b"grant_type=a&grant_type=b", "application/x-www-form-urlencoded"),
        (b"grant_type=%ff", "application/x-www-form-urlencoded"),
        (b"grant_type=a%00b", "application/x-www-form-urlencoded"),
        (b"grant_type", "application/x-www-form-urlencoded"),
        (b"&".join(b"p%d=1" % number for number in range(60)), "application/x-www-form-urlencoded"),
    ],
)
async def test_a_malformed_form_is_refused(oauth: OAuth, body: bytes, content_type: str) -> None:
    for path in ("/oauth/token", "/oauth/par", "/oauth/revoke", "/oauth/introspect", "/oauth/device_authorization"):
        answer = await oauth.http.post(path, content=body, headers={"content-type": content_type})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_the_store_holds_no_secret(oauth: OAuth) -> None:
    secret, pkce = await oauth.add(confidential()), Pkce.generate()
    pushed = (await oauth.post("/oauth/par", oauth.request(pkce))).json()["request_uri"]
    code = await oauth.code(pkce)
    tokens = await oauth.login()
    device = (await oauth.post("/oauth/device_authorization", {"client_id": "garden", "scope": "devices"})).json()
    async with oauth.database.read() as connection:
        rows = repr([(await connection.execute(select(table))).all() for table in metadata.sorted_tables])
    cookie = next(iter(oauth.http.cookies.values()))
    held = [
        secret,
        pushed.rpartition(":")[2],
        code,
        *tokens.values(),
        device["device_code"],
        device["user_code"],
        cookie,
    ]
    assert [value for value in held if isinstance(value, str) and len(value) > 8 and value in rows] == []
    assert device["user_code"].replace("-", "") not in rows


@pytest.mark.parametrize(
    "client",
    [
        public("admittance-cli"),
        public("x"),
        public(name="a\nb"),
        public(grants=frozenset()),
        public(grants=frozenset({"password", model.AUTHORIZATION_CODE})),
        public(grants=frozenset({model.CLIENT_CREDENTIALS}), redirect_uris=()),
        public(redirect_uris=()),
        public(redirect_uris=("http://app.example/cb",)),
        public(redirect_uris=("https://app.example/cb#x",)),
        public(redirect_uris=("javascript:alert(1)",)),
        public(redirect_uris=("https://app.example/a;b",)),
        public(redirect_uris=("https://*.example/cb",)),
        public(audiences=("https://reports.example",)),
        confidential(audiences=("reports",)),
        confidential(authentication="private_key_jwt"),
        confidential(authentication="private_key_jwt", keys={"keys": []}),
        confidential(
            authentication="private_key_jwt", keys={"keys": [jwk.ECKey.generate_key("P-256").as_dict(private=True)]}
        ),
        confidential(
            authentication="private_key_jwt", keys={"keys": [jwk.OctKey.generate_key(256).as_dict(private=True)]}
        ),
    ],
)
async def test_a_client_that_would_not_be_safe_is_not_registered(oauth: OAuth, client: model.Client) -> None:
    with pytest.raises(Malformed):
        await oauth.add(client)


async def test_a_client_id_is_given_once(oauth: OAuth) -> None:
    with pytest.raises(Conflict):
        await oauth.add(public(redirect_uris=(CALLBACK + "2",)))


async def test_a_proof_is_good_once_at_the_token_endpoint(oauth: OAuth) -> None:
    pkce = Pkce.generate()
    form = oauth.code_form(await oauth.code(pkce), pkce)
    await oauth.post("/oauth/token", {"grant_type": "none"})
    proof = oauth.key.proof(method="POST", path="/oauth/token", now=oauth.clock.now, nonce=oauth.nonce)

    async def send() -> httpx.Response:
        return await oauth.http.post("/oauth/token", data=form, headers={"dpop": proof})

    answers = await asyncio.gather(*(send() for _ in range(4)))
    assert [answer.status_code for answer in answers].count(200) <= 1
    assert (await send()).json()["error"] == "invalid_dpop_proof"


async def test_a_nonce_is_asked_for_as_oauth_does(oauth: OAuth) -> None:
    proof = oauth.key.proof(method="POST", path="/oauth/token", now=oauth.clock.now)
    answer = await oauth.http.post("/oauth/token", data={"grant_type": "x"}, headers={"dpop": proof})
    assert (answer.status_code, answer.json()["error"]) == (400, "use_dpop_nonce")
    assert answer.headers["dpop-nonce"]


async def test_what_strangers_leave_is_bounded_and_displaces_nothing(oauth: OAuth) -> None:
    bound = Bound(oauth_pushed_requests, max_rows=2)

    async def push() -> None:
        async with oauth.database.transaction() as connection:
            await bound.take(connection, oauth.clock.now)
        assert (await oauth.post("/oauth/par", oauth.request(Pkce.generate()))).status_code == 201

    await push()
    await push()
    with pytest.raises(Unavailable):
        await push()
    oauth.clock.now += 1
    with pytest.raises(Unavailable):
        await push()
    oauth.clock.now += 60
    await push()
