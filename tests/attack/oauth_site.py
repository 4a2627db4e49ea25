"""What attacks on the authorization server share: registered clients, a browser, and codes that people allowed."""

import re
import secrets
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx

from admittance.client.oauth.pkce import Pkce
from tests.attack.site import Login, Site, command

CALLBACK = "https://app.example/callback"


@dataclass(frozen=True)
class RegisteredClient:
    """A client as its operator registered it; `secret` is empty where it has none."""

    client_id: str
    secret: str


async def register(site: Site, name: str, *options: str) -> RegisteredClient:
    """Register a client by the operator's command."""
    done = await command("clients", "add", name, *options, "--config", site.stage.config)
    assert done.code == 0, done.lines
    return RegisteredClient(done.last["client_id"], done.last.get("client_secret", ""))


async def app(site: Site, name: str = "Garden", callback: str = CALLBACK) -> RegisteredClient:
    """A public client that may ask people for their devices."""
    return await register(site, name, "--redirect-uri", callback, "--scope", "devices account activate")


def request_of(client: RegisteredClient, pkce: Pkce, **changes: str) -> dict[str, str]:
    """An authorization request; a parameter that is empty is left out."""
    asked = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": CALLBACK,
        "scope": "devices",
        "state": secrets.token_urlsafe(8),
        "code_challenge": pkce.challenge,
        "code_challenge_method": "S256",
        **changes,
    }
    return {name: value for name, value in asked.items() if value}


def code_form(client: RegisteredClient, code: str, pkce: Pkce, **changes: str) -> dict[str, str]:
    """A token request for a code."""
    asked = {
        "grant_type": "authorization_code",
        "client_id": client.client_id,
        "redirect_uri": CALLBACK,
        "code": code,
        "code_verifier": pkce.verifier,
        **changes,
    }
    return {name: value for name, value in asked.items() if value}


def answer_of(redirect: httpx.Response) -> dict[str, str]:
    """The parameters in a redirect's query."""
    assert redirect.status_code == 303, redirect.text
    return {name: values[0] for name, values in parse_qs(urlsplit(redirect.headers["location"]).query).items()}


def hidden(page: httpx.Response, name: str) -> str:
    """The value of a page's form field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page.text)
    assert found, page.text
    return found[1]


class Browser:
    """Somebody's browser: cookies of its own, and forms that are sent as their page made them."""

    def __init__(self, site: Site) -> None:
        self.http = site.people()

    async def open(self, client: RegisteredClient, pkce: Pkce, **changes: str) -> httpx.Response:
        """Come from the app; the login page, or what the server says instead."""
        start = await self.http.get("/oauth/authorize", params=request_of(client, pkce, **changes))
        if start.status_code != 303 or not start.headers["location"].startswith("/"):
            return start
        return await self.http.get(start.headers["location"])

    async def sign_in(self, page: httpx.Response, person: Login, password: str | None = None) -> httpx.Response:
        """Log in on a login page; the page after it."""
        form = {
            "flow": hidden(page, "flow"),
            "csrf": hidden(page, "csrf"),
            "email": person.email,
            "password": person.password if password is None else password,
        }
        answer = await self.http.post("/oauth/sign-in", data=form)
        return await self.http.get(answer.headers["location"]) if answer.status_code == 303 else answer

    async def allow(self, page: httpx.Response) -> httpx.Response:
        """Allow on a consent page; the redirect to the app."""
        form = {"flow": hidden(page, "flow"), "csrf": hidden(page, "csrf"), "decision": "allow"}
        return await self.http.post("/oauth/consent", data=form)

    async def code(self, client: RegisteredClient, person: Login, pkce: Pkce, **changes: str) -> str:
        """A code that `person` allowed."""
        page = await self.sign_in(await self.open(client, pkce, **changes), person)
        return answer_of(await self.allow(page))["code"]
