"""T32. Means: links, forms and pages that a victim opens, codes that leaked, another authorization server.

Goal: script or frame the server's pages, act by the victim's browser, be redirected to, and get or plant a code.
"""

import httpx
import pytest
import pytest_asyncio

from admittance.client.oauth.pkce import Pkce
from tests.attack.oauth_site import (
    CALLBACK,
    Browser,
    RegisteredClient,
    answer_of,
    app,
    code_form,
    hidden,
    register,
    request_of,
)
from tests.attack.site import ON_SQLITE, Login, Site, code_of, new_key

pytestmark = ON_SQLITE

SCRIPT = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


@pytest_asyncio.fixture(loop_scope="session")
async def victim(site: Site) -> Login:
    return await site.somebody("victim")


@pytest_asyncio.fixture(loop_scope="session")
async def client(site: Site) -> RegisteredClient:
    return await app(site)


def client_of(site: Site, login: Login | None = None) -> Login:
    """An app with a key of its own at the token endpoint."""
    return Login(site.origin, site.attacker, "", "", "", new_key() if login is None else login.private_key)


async def test_no_parameter_becomes_markup(site: Site, victim: Login) -> None:
    """XSS: through everything that a link or a registration can bring onto a page."""
    scripted, browser = await app(site, SCRIPT[:60]), Browser(site)
    login = await browser.open(scripted, Pkce.generate(), state=SCRIPT)
    wrong = await browser.sign_in(login, victim, SCRIPT)
    consent = await browser.sign_in(login, victim)
    for name in ("client_id", "redirect_uri", "request_uri", "scope", "response_type"):
        told = await browser.open(scripted, Pkce.generate(), **{name: SCRIPT})
        assert "<script" not in told.text
        assert "<img" not in told.text
    device = await browser.http.get("/oauth/device", params={"user_code": SCRIPT})
    typed = await browser.sign_in(await browser.http.get(device.headers["location"]), victim)
    for page in (login, wrong, consent, typed):
        assert "<script" not in page.text
        assert "<img" not in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_pages_cannot_be_framed(site: Site, victim: Login, client: RegisteredClient) -> None:
    """Clickjacking: of the login, the consent and the device page."""
    browser = Browser(site)
    login = await browser.open(client, Pkce.generate())
    consent = await browser.sign_in(login, victim)
    device = await browser.http.get((await browser.http.get("/oauth/device")).headers["location"])
    for page in (login, consent, device):
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert page.headers["x-frame-options"] == "DENY"


async def test_another_site_cannot_answer_for_the_victim(site: Site, victim: Login, client: RegisteredClient) -> None:
    """CSRF on the consent: the attacker knows the flow, and the victim's browser brings its cookie along."""
    browser = Browser(site)
    login = await browser.open(client, Pkce.generate())
    consent = await browser.sign_in(login, victim)
    forged = {"flow": hidden(consent, "flow"), "decision": "allow"}
    of_the_attacker = hidden(await Browser(site).open(client, Pkce.generate()), "csrf")
    for csrf in ({}, {"csrf": ""}, {"csrf": of_the_attacker}, {"csrf": hidden(login, "csrf")}):
        refused = await browser.http.post("/oauth/consent", data={**forged, **csrf})
        assert refused.status_code == 403
    complete = {**forged, "csrf": hidden(consent, "csrf")}
    crossing = await browser.http.post("/oauth/consent", data=complete, headers={"sec-fetch-site": "cross-site"})
    assert crossing.status_code == 403
    assert answer_of(await browser.allow(consent))["code"]


async def test_nobody_logs_the_victims_browser_in(site: Site, victim: Login, client: RegisteredClient) -> None:
    """CSRF on the login: the attacker posts his own password, with a flow and a token of his own browser."""
    attacker, browser = await site.somebody("mallory"), Browser(site)
    of_victim = await browser.open(client, Pkce.generate())
    of_attacker = await Browser(site).open(client, Pkce.generate())
    for page in (of_attacker, of_victim):
        form = {
            "flow": hidden(page, "flow"),
            "csrf": hidden(of_attacker, "csrf"),
            "email": attacker.email,
            "password": attacker.password,
        }
        assert (await browser.http.post("/oauth/sign-in", data=form)).status_code in (403, 410)
    assert victim.email in (await browser.sign_in(of_victim, victim)).text


async def test_a_cookie_that_the_attacker_planted_is_worth_nothing_after_the_login(
    site: Site, victim: Login, client: RegisteredClient
) -> None:
    """Session fixation: the attacker knows flow and cookie from before the login."""
    browser, attacker = Browser(site), Browser(site)
    login = await browser.open(client, Pkce.generate())
    attacker.http.cookies.update(browser.http.cookies)
    consent = await browser.sign_in(login, victim)
    seen = await attacker.http.get("/oauth/consent", params={"flow": hidden(consent, "flow")})
    assert seen.status_code == 410
    assert victim.email not in seen.text


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example/",
        f"{CALLBACK}/../evil",
        f"{CALLBACK}?next=https://evil.example",
        f"{CALLBACK}#@evil.example",
        "https://app.example@evil.example/callback",
        "https://app.example.evil.example/callback",
        "https://app.example:444/callback",
        "http://app.example/callback",
        "HTTPS://APP.EXAMPLE/callback",
        "//evil.example/callback",
        "javascript:alert(1)//app.example/callback",
        "http://127.0.0.1:1234/callback",
    ],
)
async def test_nothing_is_sent_where_the_client_did_not_register(
    site: Site, client: RegisteredClient, uri: str
) -> None:
    """Open redirect: neither a code nor an error leads there, whatever else is wrong with the request."""
    browser = Browser(site)
    for changes in ({}, {"response_type": "token"}, {"scope": "everything"}, {"code_challenge": ""}):
        answer = await browser.open(client, Pkce.generate(), redirect_uri=uri, **changes)
        assert answer.status_code == 400
        assert "location" not in answer.headers


async def test_every_answer_names_its_issuer(site: Site, victim: Login, client: RegisteredClient) -> None:
    """Mix-up: the app talks with several servers, and the attacker's sends it our code, or the other way round."""
    browser = Browser(site)
    metadata = (await site.attacker.get("/.well-known/oauth-authorization-server")).json()
    assert metadata["issuer"] == site.origin
    assert metadata["authorization_response_iss_parameter_supported"] is True
    allowed = await browser.allow(await browser.sign_in(await browser.open(client, Pkce.generate()), victim))
    failed = await browser.open(client, Pkce.generate(), scope="everything")
    page = await browser.sign_in(await browser.open(client, Pkce.generate()), victim)
    form = {"flow": hidden(page, "flow"), "csrf": hidden(page, "csrf"), "decision": "deny"}
    denied = await browser.http.post("/oauth/consent", data=form)
    for answer in (allowed, failed, denied):
        assert answer_of(answer)["iss"] == site.origin


async def test_a_code_injected_into_another_session_is_refused(
    site: Site, victim: Login, client: RegisteredClient
) -> None:
    """Code injection: the attacker got the victim's code and plants it in a login of his own at the same app."""
    of_victim, of_attacker, phone = Pkce.generate(), Pkce.generate(), client_of(site)
    code = await Browser(site).code(client, victim, of_victim, dpop_jkt=phone.key.jkt)
    other = await app(site, "Other app")
    attempts = (
        (phone, code_form(client, code, of_attacker)),
        (phone, code_form(other, code, of_victim)),
        (phone, code_form(client, code, of_victim, redirect_uri="https://app.example/other")),
        (client_of(site), code_form(client, code, of_victim)),
    )
    for sender, form in attempts:
        refused = await sender.post("/oauth/token", form)
        assert (refused.status_code, code_of(refused)) == (400, "invalid_grant")
    assert (await phone.post("/oauth/token", code_form(client, code, of_victim))).status_code == 200


async def test_a_code_replayed_ends_what_it_gave(site: Site, victim: Login, client: RegisteredClient) -> None:
    """Code replay: the attacker is second; both are locked out, and the owner notices."""
    pkce, phone = Pkce.generate(), client_of(site)
    code = await Browser(site).code(client, victim, pkce)
    answer = await phone.post("/oauth/token", code_form(client, code, pkce))
    phone.token, phone.refresh_token = answer.json()["access_token"], answer.json()["refresh_token"]
    assert (await phone.send("GET", "/api/devices")).status_code == 200
    replayed = await client_of(site).post("/oauth/token", code_form(client, code, pkce))
    assert code_of(replayed) == "invalid_grant"
    assert (await phone.send("GET", "/api/devices")).status_code == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge": "", "code_challenge_method": ""},
        {"code_challenge": ""},
        {"code_challenge_method": ""},
        {"code_challenge_method": "plain"},
    ],
)
async def test_pkce_cannot_be_left_out_or_weakened(
    site: Site, client: RegisteredClient, changes: dict[str, str]
) -> None:
    """PKCE downgrade: the attacker strips the challenge off the victim's request."""
    answer = await Browser(site).open(client, Pkce.generate(), **changes)
    assert answer_of(answer)["error"] == "invalid_request"
    pushed = await client_of(site).post("/oauth/par", request_of(client, Pkce.generate(), **changes))
    assert code_of(pushed) == "invalid_request"


async def test_a_verifier_cannot_be_left_out(site: Site, victim: Login, client: RegisteredClient) -> None:
    """PKCE downgrade at the token endpoint."""
    pkce = Pkce.generate()
    code = await Browser(site).code(client, victim, pkce)
    for verifier in ("", pkce.challenge, "x" * 43):
        refused = await client_of(site).post("/oauth/token", code_form(client, code, pkce, code_verifier=verifier))
        assert code_of(refused) in ("invalid_request", "invalid_grant")


async def test_a_pushed_request_is_of_use_to_its_client_once(
    site: Site, victim: Login, client: RegisteredClient
) -> None:
    """A request_uri that leaked from the browser's history."""
    pkce, other = Pkce.generate(), await app(site, "Other app")
    pushed = await client_of(site).post("/oauth/par", request_of(client, pkce))
    uri = pushed.json()["request_uri"]

    async def come(as_client: RegisteredClient) -> httpx.Response:
        query = {"client_id": as_client.client_id, "request_uri": uri}
        return await Browser(site).http.get("/oauth/authorize", params=query)

    assert (await come(other)).status_code == 400
    assert (await come(client)).status_code == 303
    assert (await come(client)).status_code == 400


async def test_parameters_twice_are_refused(site: Site, client: RegisteredClient) -> None:
    """Parameter pollution: what checks the first must not serve the last."""
    query = httpx.QueryParams(request_of(client, Pkce.generate()))
    for extra in (f"redirect_uri={CALLBACK}", "scope=devices", f"client_id={client.client_id}"):
        assert (await site.people().get(f"/oauth/authorize?{query}&{extra}")).status_code == 400


async def test_nothing_leaks_by_referrer_or_cache(site: Site, victim: Login, client: RegisteredClient) -> None:
    browser = Browser(site)
    page = await browser.sign_in(await browser.open(client, Pkce.generate()), victim)
    answer = await browser.allow(page)
    for each in (page, answer):
        assert each.headers["referrer-policy"] == "no-referrer"
        assert each.headers["cache-control"] == "no-store"
    assert answer.content == b""
    options = ("--authentication", "client_secret_basic", "--grant", "client_credentials", "--scope", "reports")
    backend = await register(site, "Reports", *options)
    auth, asked = (backend.client_id, backend.secret), {"grant_type": "client_credentials"}
    token = await site.attacker.post("/oauth/token", data=asked, auth=auth)
    assert token.json()["access_token"]
    for each in (token, await site.attacker.post("/oauth/token", data=asked, auth=(backend.client_id, "A" * 43))):
        assert each.headers["cache-control"] == "no-store"
