"""The pages for people: without scripts, escaped, and for one browser alone."""

import re

import httpx
import pytest

from admittance.client.oauth.pkce import Pkce
from tests.unit.server.access.conftest import ANN, OAuth, field_of, location, public
from tests.unit.server.accounts.conftest import ORIGIN, PASSWORD


async def start(oauth: OAuth, **changes: str) -> httpx.Response:
    return await oauth.http.get("/oauth/authorize", params=oauth.request(Pkce.generate(), **changes))


async def test_pages_have_no_script_and_cannot_be_framed(oauth: OAuth) -> None:
    begun = await start(oauth)
    login = await oauth.page(begun.headers["location"])
    consent = await oauth.page((await oauth.sign_in(begun)).headers["location"])
    for page in (login, consent):
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script-src" not in policy
        assert "<script" not in page.text
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["x-frame-options"] == "DENY"
    assert "form-action 'self';" in login.headers["content-security-policy"] + ";"
    assert consent.headers["content-security-policy"].endswith("form-action 'self' https://app.example")


async def test_what_pages_show_is_escaped(oauth: OAuth) -> None:
    begun = await start(oauth, state='"><script>')
    consent = await oauth.page((await oauth.sign_in(begun)).headers["location"])
    assert "Garden &lt;app&gt;" in consent.text
    assert "Garden <app>" not in consent.text
    assert "<script" not in consent.text


async def test_the_cookie_is_the_hosts_own_and_changes_with_the_login(oauth: OAuth) -> None:
    begun = await start(oauth)
    before = begun.headers["set-cookie"]
    assert before.startswith("__Host-")
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= set(before.split("; "))
    after = (await oauth.sign_in(begun)).headers["set-cookie"]
    assert after.partition(";")[0] != before.partition(";")[0]


async def test_a_page_is_of_no_use_in_another_browser(oauth: OAuth) -> None:
    begun = await start(oauth)
    signed_in = await oauth.sign_in(begun)
    oauth.http.cookies.clear()
    page = await oauth.page(signed_in.headers["location"])
    assert page.status_code == 410
    await start(oauth)
    assert (await oauth.page(signed_in.headers["location"])).status_code == 410


async def test_the_cookie_from_before_the_login_is_worth_nothing_after_it(oauth: OAuth) -> None:
    begun = await start(oauth)
    fixed = dict(oauth.http.cookies)
    signed_in = await oauth.sign_in(begun)
    oauth.http.cookies.clear()
    oauth.http.cookies.update(fixed)
    assert (await oauth.page(signed_in.headers["location"])).status_code == 410


@pytest.mark.parametrize("csrf", ["", "wrong"])
async def test_a_form_without_its_token_is_refused(oauth: OAuth, csrf: str) -> None:
    begun = await start(oauth)
    page = await oauth.page(begun.headers["location"])
    form = {"flow": field_of(page, "flow"), "csrf": csrf, "email": ANN, "password": PASSWORD}
    refused = await oauth.http.post("/oauth/sign-in", data=form)
    assert refused.status_code == 403
    signed_in = await oauth.sign_in(begun)
    consent = {"flow": field_of(page, "flow"), "csrf": csrf, "decision": "allow"}
    assert (await oauth.http.post("/oauth/consent", data=consent)).status_code == 403
    assert location(await oauth.decide(signed_in))[1]["code"]


async def test_a_token_of_the_login_page_does_not_answer_the_consent(oauth: OAuth) -> None:
    begun = await start(oauth)
    page = await oauth.page(begun.headers["location"])
    await oauth.sign_in(begun)
    form = {"flow": field_of(page, "flow"), "csrf": field_of(page, "csrf"), "decision": "allow"}
    assert (await oauth.http.post("/oauth/consent", data=form)).status_code == 403


async def test_a_form_from_another_site_is_refused(oauth: OAuth) -> None:
    signed_in = await oauth.sign_in(await start(oauth))
    page = await oauth.page(signed_in.headers["location"])
    form = {"flow": field_of(page, "flow"), "csrf": field_of(page, "csrf"), "decision": "allow"}
    crossing = await oauth.http.post("/oauth/consent", data=form, headers={"sec-fetch-site": "cross-site"})
    assert crossing.status_code == 403


async def test_consent_needs_the_login_and_is_given_once(oauth: OAuth) -> None:
    begun = await start(oauth)
    page = await oauth.page(begun.headers["location"])
    early = {"flow": field_of(page, "flow"), "csrf": field_of(page, "csrf"), "decision": "allow"}
    assert (await oauth.http.post("/oauth/consent", data=early)).status_code == 410
    signed_in = await oauth.sign_in(begun)
    consent = await oauth.page(signed_in.headers["location"])
    form = {"flow": field_of(consent, "flow"), "csrf": field_of(consent, "csrf"), "decision": "allow"}
    assert (await oauth.http.post("/oauth/consent", data=form)).status_code == 303
    assert (await oauth.http.post("/oauth/consent", data=form)).status_code == 410


async def test_wrong_passwords_and_unknown_addresses_look_the_same_and_are_throttled(oauth: OAuth) -> None:
    begun = await start(oauth)
    seen = []
    for email in (ANN, "nobody@example.org", "no address"):
        answer = await oauth.sign_in(begun, email=email, password="not the password")
        seen.append((answer.status_code, answer.text))
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][0] == 400
    for _ in range(6):
        last = await oauth.sign_in(begun, email=ANN, password="not the password")
    assert last.status_code == 429


async def test_a_flow_ends_after_ten_minutes(oauth: OAuth) -> None:
    begun = await start(oauth)
    oauth.clock.now += 600
    assert (await oauth.page(begun.headers["location"])).status_code == 410


async def test_native_apps_get_answers_at_any_port_and_at_schemes_of_their_own(oauth: OAuth) -> None:
    await oauth.add(public("native", redirect_uris=("http://127.0.0.1/cb", "org.example.app:/cb")))
    loopback = ("http://127.0.0.1:5123/cb", "http://127.0.0.1:5123")
    private = ("org.example.app:/cb", "org.example.app:")
    for uri, source in (loopback, private):
        begun = await start(oauth, client_id="native", redirect_uri=uri)
        signed_in = await oauth.sign_in(begun)
        page = await oauth.page(signed_in.headers["location"])
        assert page.headers["content-security-policy"].endswith(f"form-action 'self' {source}")
        answer = await oauth.decide(signed_in)
        assert answer.headers["location"].startswith(uri + "?code=")


async def test_a_code_at_the_page_is_in_no_page_and_in_no_header_but_location(oauth: OAuth) -> None:
    answer = await oauth.decide(await oauth.sign_in(await start(oauth)))
    code = location(answer)[1]["code"]
    assert answer.content == b""
    assert [name for name, value in answer.headers.items() if code in value] == ["location"]
    assert re.fullmatch(r"[\w-]{43}", code)
    assert answer.headers["cache-control"] == "no-store"
    assert ORIGIN not in answer.headers["location"].partition("?")[0]
