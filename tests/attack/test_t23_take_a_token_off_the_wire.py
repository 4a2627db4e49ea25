"""T23. Means: every byte that a client and the server exchange, as if TLS were broken. Goal: use the tokens in it.

The client's key signs, and never travels.
"""

from dataclasses import dataclass

import httpx

from admittance.client.oauth.pkce import Pkce
from tests.attack.site import ON_SQLITE, Login, Site, code_of, new_key
from tests.logins import CLIENT_ID, challenge_form, code_form

pytestmark = ON_SQLITE


@dataclass(frozen=True)
class Sent:
    """A request as it went over the wire."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    content: bytes


class Wire:
    """Records what a client sends."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.sent: list[Sent] = []
        http.event_hooks["request"].append(self._record)

    async def _record(self, request: httpx.Request) -> None:
        content = await request.aread()
        self.sent.append(Sent(request.method, str(request.url), request.headers.multi_items(), content))


async def test_a_whole_login_replayed_gives_nothing(site: Site) -> None:
    """Byte for byte, in the same order: the login, the code, the refresh, the requests."""
    known = await site.somebody("victim")
    victim = Login(site.origin, site.people(), "", known.email, "", new_key(), password=known.password)
    wire, pkce = Wire(victim.http), Pkce.generate()
    code = await victim.post("/oauth/authorize-challenge", challenge_form(victim.email, victim.password, pkce))
    tokens = await victim.post("/oauth/token", code_form(code.json()["authorization_code"], pkce))
    victim.token = tokens.json()["access_token"]
    assert (await victim.send("GET", "/api/account")).status_code == 200
    refresh = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "refresh_token": tokens.json()["refresh_token"]}
    again = (await victim.post("/oauth/token", refresh)).json()
    victim.token = again["access_token"]
    assert (await victim.send("GET", "/api/account")).status_code == 200
    for sent in wire.sent:
        answer = await site.attacker.request(sent.method, sent.url, headers=sent.headers, content=sent.content)
        assert answer.status_code in (400, 401), (sent.url, answer.text)


async def test_what_was_read_is_of_no_use_with_another_key(site: Site) -> None:
    """Access token, refresh token and code, each with new proofs by the attacker's key."""
    victim = await site.account("victim")
    thief = Login(site.origin, site.attacker, "", "", victim.token, new_key())
    assert (await thief.send("GET", "/api/account")).status_code == 401
    refresh = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "refresh_token": victim.refresh_token}
    assert code_of(await thief.post("/oauth/token", refresh)) == "invalid_grant"
    unproven = await site.attacker.post("/oauth/token", data=refresh)
    assert code_of(unproven) == "invalid_dpop_proof"
    pkce = Pkce.generate()
    form = challenge_form(victim.email, victim.password, pkce)
    code = (await victim.post("/oauth/authorize-challenge", form)).json()["authorization_code"]
    assert code_of(await thief.post("/oauth/token", code_form(code, pkce))) == "invalid_grant"
    exchange = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "client_id": CLIENT_ID,
        "subject_token": victim.token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "resource": f"{site.origin}/d/AD",
        "client_share": "A" * 43,
    }
    assert (await thief.post("/oauth/token", exchange)).status_code == 400
    assert (await victim.send("GET", "/api/account")).status_code == 200


async def test_a_bearer_is_nobody(site: Site) -> None:
    victim = await site.somebody("victim")
    for scheme in ("Bearer", "bearer", "DPoP", "Basic"):
        answer = await site.attacker.get("/api/account", headers={"authorization": f"{scheme} {victim.token}"})
        assert answer.status_code == 401
