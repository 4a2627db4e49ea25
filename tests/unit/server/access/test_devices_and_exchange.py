"""The device grant, and the exchange of an account's token for a device's."""

import httpx
import pytest

from admittance.errors import Expired, IntegrityRequired, NotAllowed, NotFound, Unavailable
from admittance.server.access import model
from admittance.server.access.ports import DeviceTokenRequest
from admittance.wire import base64url
from tests.unit.server.access.conftest import OAuth, field_of, public
from tests.unit.server.accounts.conftest import ORIGIN, ClientKey

SHARE = bytes(range(32))


async def begin(oauth: OAuth, **changes: str) -> httpx.Response:
    return await oauth.post("/oauth/device_authorization", {"client_id": "garden", "scope": "devices", **changes})


async def poll(oauth: OAuth, device_code: str, *, key: ClientKey | None = None) -> httpx.Response:
    form = {"grant_type": model.DEVICE_CODE, "client_id": "garden", "device_code": device_code}
    return await oauth.post("/oauth/token", form, key=key)


async def enter(oauth: OAuth, user_code: str, *, query: str = "") -> httpx.Response:
    """Log in at the verification page and enter a code; the answer to the code."""
    signed_in = await oauth.sign_in(await oauth.http.get(f"/oauth/device{query}"))
    page = await oauth.page(signed_in.headers["location"])
    form = {"flow": field_of(page, "flow"), "csrf": field_of(page, "csrf"), "user_code": user_code}
    return await oauth.http.post("/oauth/device-code", data=form)


async def test_a_person_lets_a_device_in(on_each_database: OAuth) -> None:
    oauth = on_each_database
    begun = (await begin(oauth)).json()
    assert begun["verification_uri"] == f"{ORIGIN}/oauth/device"
    assert (await poll(oauth, begun["device_code"])).json()["error"] == "authorization_pending"
    done = await oauth.decide(await enter(oauth, begun["user_code"].lower().replace("-", " ")))
    assert "Connected" in done.text
    oauth.clock.now += 5
    tokens = (await poll(oauth, begun["device_code"])).json()
    assert tokens["scope"] == "devices"
    assert (await oauth.ask_api(tokens["access_token"])).status_code == 200
    assert (await poll(oauth, begun["device_code"])).json()["error"] == "invalid_grant"


async def test_a_person_says_no_to_a_device(oauth: OAuth) -> None:
    begun = (await begin(oauth)).json()
    await oauth.decide(await enter(oauth, begun["user_code"]), "deny")
    assert (await poll(oauth, begun["device_code"])).json()["error"] == "access_denied"


@pytest.mark.parametrize("scope", ["activate", "share", "devices share", "operate"])
async def test_a_device_never_gets_what_sets_up_devices_or_lets_people_in(oauth: OAuth, scope: str) -> None:
    assert (await begin(oauth, scope=scope)).json()["error"] == "invalid_scope"


async def test_without_a_scope_a_device_gets_the_harmless_ones(oauth: OAuth) -> None:
    begun = (await oauth.post("/oauth/device_authorization", {"client_id": "garden"})).json()
    await oauth.decide(await enter(oauth, begun["user_code"]))
    assert (await poll(oauth, begun["device_code"])).json()["scope"] == "account devices"


async def test_a_device_that_asks_too_often_is_slowed_down(oauth: OAuth) -> None:
    code = (await begin(oauth)).json()["device_code"]
    assert (await poll(oauth, code)).json()["error"] == "authorization_pending"
    oauth.clock.now += 4
    assert (await poll(oauth, code)).json()["error"] == "slow_down"
    oauth.clock.now += 9
    assert (await poll(oauth, code)).json()["error"] == "slow_down"
    oauth.clock.now += 15
    assert (await poll(oauth, code)).json()["error"] == "authorization_pending"


async def test_a_devices_codes_expire(oauth: OAuth) -> None:
    begun = (await begin(oauth)).json()
    oauth.clock.now += 600
    assert (await poll(oauth, begun["device_code"])).json()["error"] == "expired_token"
    assert (await enter(oauth, begun["user_code"])).status_code == 404


async def test_a_device_code_is_bound_to_the_key_and_the_client_that_asked(oauth: OAuth) -> None:
    code = (await begin(oauth)).json()["device_code"]
    assert (await poll(oauth, code, key=ClientKey())).json()["error"] == "invalid_grant"
    await oauth.add(public("other"))
    form = {"grant_type": model.DEVICE_CODE, "client_id": "other", "device_code": code}
    assert (await oauth.post("/oauth/token", form)).json()["error"] == "invalid_grant"


async def test_user_codes_cannot_be_searched(oauth: OAuth) -> None:
    await begin(oauth)
    statuses = [(await enter(oauth, "BBBB-BBBB")).status_code for _ in range(7)]
    assert statuses[:5] == [404] * 5
    assert statuses[-1] == 429


async def test_a_link_with_a_code_is_still_confirmed(oauth: OAuth) -> None:
    begun = (await begin(oauth)).json()
    query = begun["verification_uri_complete"].removeprefix(f"{ORIGIN}/oauth/device")
    signed_in = await oauth.sign_in(await oauth.http.get(f"/oauth/device{query}"))
    page = await oauth.page(signed_in.headers["location"])
    assert field_of(page, "user_code") == begun["user_code"]
    flow = {"flow": field_of(page, "flow"), "csrf": field_of(page, "csrf"), "decision": "allow"}
    assert (await oauth.http.post("/oauth/consent", data=flow)).status_code == 410


async def test_a_code_in_a_link_is_escaped(oauth: OAuth) -> None:
    begun = await oauth.http.get("/oauth/device", params={"user_code": '"><script>x</'})
    page = await oauth.page((await oauth.sign_in(begun)).headers["location"])
    assert "<script" not in page.text


def exchange(token: str, **changes: str) -> dict[str, str]:
    asked = {
        "grant_type": model.EXCHANGE,
        "client_id": "garden",
        "subject_token": token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "resource": f"{ORIGIN}/d/ADLAMP",
        "scope": "PUT:/lock GET:/lock",
        "client_share": base64url.encode(SHARE),
        **changes,
    }
    return {name: value for name, value in asked.items() if value}


async def test_an_accounts_token_is_exchanged_for_a_devices(oauth: OAuth) -> None:
    tokens = await oauth.login()
    answer = (await oauth.post("/oauth/token", exchange(tokens["access_token"]))).json()
    assert (answer["token_type"], answer["ace_profile"], answer["expires_in"]) == ("PoP", "coap_oscore", 300)
    assert (answer["scope"], answer["grant"], answer["server_share"]) == (
        "PUT:/lock GET:/lock",
        "Z3JhbnQ",
        base64url.encode(bytes(32)),
    )
    (asked,) = oauth.device_tokens.asked
    assert asked == DeviceTokenRequest(
        account_id=asked.account_id,
        client_id="garden",
        jkt=oauth.key.jkt,
        device_id="ADLAMP",
        actions=("PUT /lock", "GET /lock"),
        client_share=SHARE,
        attested_until=None,
        session_id=asked.session_id,
    )


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"resource": ""}, "invalid_request"),
        ({"resource": "https://elsewhere.example/d/ADLAMP"}, "invalid_target"),
        ({"resource": f"{ORIGIN}/d/"}, "invalid_target"),
        ({"resource": f"{ORIGIN}/d/ADLAMP/x"}, "invalid_target"),
        ({"resource": f"{ORIGIN}/api"}, "invalid_target"),
        ({"subject_token": "rubbish"}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "unsupported_token_type"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "unsupported_token_type"),
        ({"actor_token": "x"}, "unsupported_token_type"),
        ({"scope": "devices"}, "invalid_scope"),
        ({"scope": "PUT:/lock SHUT:/lock"}, "invalid_scope"),
        ({"client_share": "short"}, "invalid_request"),
        ({"client_share": ""}, "invalid_request"),
    ],
)
async def test_a_wrong_exchange_is_refused(oauth: OAuth, changes: dict[str, str], error: str) -> None:
    tokens = await oauth.login()
    answer = await oauth.post("/oauth/token", exchange(tokens["access_token"], **changes))
    assert answer.json()["error"] == error
    assert oauth.device_tokens.asked == []


async def test_a_stolen_token_is_not_exchanged(oauth: OAuth) -> None:
    await oauth.add(public("other"))
    tokens = await oauth.login()
    thief = await oauth.post("/oauth/token", exchange(tokens["access_token"]), key=ClientKey())
    other = await oauth.post("/oauth/token", exchange(tokens["access_token"], client_id="other"))
    unproven = await oauth.post("/oauth/token", exchange(tokens["access_token"]), proven=False)
    narrow = await oauth.post("/oauth/token", exchange((await oauth.login(scope="account"))["access_token"]))
    assert thief.json()["error"] == other.json()["error"] == "invalid_request"
    assert unproven.json()["error"] == "invalid_dpop_proof"
    assert narrow.json()["error"] == "invalid_scope"
    assert oauth.device_tokens.asked == []


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFound("x"), 400, "not_found"),
        (NotAllowed("x"), 403, "not_allowed"),
        (IntegrityRequired("x"), 403, "integrity_required"),
        (Expired("x"), 400, "expired"),
        (Unavailable("x"), 503, "unavailable"),
    ],
)
async def test_why_no_token_was_issued_is_told(oauth: OAuth, error: Exception, status: int, code: str) -> None:
    tokens = await oauth.login()
    oauth.device_tokens.error = error
    answer = await oauth.post("/oauth/token", exchange(tokens["access_token"]))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
