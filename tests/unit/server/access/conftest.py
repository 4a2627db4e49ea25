"""The authorization server with its real routes, accounts with passwords, and clients of every kind."""

import base64
import json
import os
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwk, jws
from sqlalchemy import func, select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.client.oauth.pkce import Pkce
from admittance.server.access import assembly, model
from admittance.server.access.assembly import AccessServices, Ground, LoginServices
from admittance.server.access.model import Client
from admittance.server.access.ports import DeviceToken, DeviceTokenRequest
from admittance.server.access.tables import oauth_sessions
from admittance.server.accounts import service
from admittance.server.accounts.passwords import PasswordHashes
from admittance.server.accounts.service import AccountServices
from admittance.server.audit.store import AuditLog
from admittance.server.database import Database
from admittance.server.guard import PEOPLE_HEADERS, Guard
from admittance.server.http import reply
from admittance.server.keys.envelope import Envelope
from admittance.server.keys.file import FileKeyEncryption, create_secret
from admittance.server.problems import handlers
from tests import logins
from tests.client_certificates import ClientCertificate
from tests.unit.server.accounts.conftest import ORIGIN, PASSWORD, ClientKey, FakeClock

CALLBACK = "https://app.example/callback"
ANN = "ann@example.org"


def public(client_id: str = "garden", **changes: Any) -> Client:
    """A public client with everything that one may have."""
    values: dict[str, Any] = {
        "client_id": client_id,
        "name": "Garden <app>",
        "authentication": "none",
        "grants": frozenset({model.AUTHORIZATION_CODE, model.REFRESH, model.DEVICE_CODE, model.EXCHANGE}),
        "redirect_uris": (CALLBACK,),
        "scope": frozenset({"devices", "activate", "account", "share", "operate"}),
        **changes,
    }
    return Client(**values)


def confidential(client_id: str = "backup", **changes: Any) -> Client:
    """A client with a secret."""
    values: dict[str, Any] = {
        "client_id": client_id,
        "name": "Backup",
        "authentication": "client_secret_basic",
        "grants": frozenset({model.CLIENT_CREDENTIALS, model.AUTHORIZATION_CODE, model.REFRESH}),
        "redirect_uris": ("https://backup.example/callback",),
        "scope": frozenset({"devices", "reports"}),
        **changes,
    }
    return Client(**values)


def with_certificate(certificate: ClientCertificate, client_id: str = "reports", **changes: Any) -> Client:
    """A client that proves itself by a certificate."""
    values = {
        "authentication": model.SELF_SIGNED,
        "certificate": certificate.der,
        "grants": frozenset({model.CLIENT_CREDENTIALS, model.REFRESH}),
        "redirect_uris": (),
        **changes,
    }
    return confidential(client_id, **values)


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


def location(answer: httpx.Response) -> tuple[str, dict[str, str]]:
    """Where a redirect leads, without its query, and the query."""
    assert answer.status_code == 303, answer.text
    parts = urlsplit(answer.headers["location"])
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return f"{parts.scheme}://{parts.netloc}{parts.path}" if parts.netloc else parts.path, query


def field_of(page: httpx.Response, name: str) -> str:
    """The value of a page's form field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page.text)
    assert found, page.text
    return found[1]


class IssuedHere:
    """Device tokens of a grant that allows everything, or what a test raises."""

    def __init__(self) -> None:
        self.asked: list[DeviceTokenRequest] = []
        self.error: Exception | None = None

    async def issue(self, request: DeviceTokenRequest) -> DeviceToken:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        return DeviceToken("cmVm", 1_800_000_300, request.actions, bytes(32), "Z3JhbnQ")


@dataclass
class OAuth:
    """See the module. Requests go by `http`; `key` signs the proofs."""

    ground: Ground
    accounts: AccountServices
    login_services: LoginServices
    access: AccessServices
    device_tokens: IssuedHere
    clock: FakeClock
    http: httpx.AsyncClient
    key: ClientKey = field(default_factory=ClientKey)
    nonce: str | None = None

    @property
    def database(self) -> Database:
        return self.ground.database

    async def account(self, email: str = ANN, *, operator: bool = False) -> str:
        invite = await self.accounts.invites.create(email=email, operator=operator, quota=None, actor="operator")
        return await self.accounts.invites.accept(
            secret=invite.secret, email=email, password=PASSWORD, display_name="Ann", source="192.0.2.1"
        )

    async def add(self, client: Client) -> str:
        """Register a client; its secret, or an empty text."""
        return await self.access.clients.add(client, actor="operator") or ""

    async def post(
        self,
        path: str,
        form: dict[str, str],
        *,
        key: ClientKey | None = None,
        proven: bool = True,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Post a form, with a proof where `proven`; again with the server's nonce where it asks for one."""
        for _ in range(2):
            sent = dict(headers or {})
            if proven:
                signer = key or self.key
                sent["dpop"] = signer.proof(method="POST", path=path, now=self.clock.now, nonce=self.nonce)
            answer = await self.http.post(path, data=form, headers=sent)
            if "dpop-nonce" not in answer.headers:
                return answer
            self.nonce = answer.headers["dpop-nonce"]
        return answer

    async def ask_api(self, token: str, *, key: ClientKey | None = None, path: str = "/api/whoami") -> httpx.Response:
        """Call a route that needs the scope devices."""
        for _ in range(2):
            proof = (key or self.key).proof(path=path, now=self.clock.now, nonce=self.nonce, token=token)
            headers = {"authorization": f"DPoP {token}", "dpop": proof}
            answer = await self.http.get(path, headers=headers)
            if "dpop-nonce" not in answer.headers:
                return answer
            self.nonce = answer.headers["dpop-nonce"]
        return answer

    def request(self, pkce: Pkce, **changes: str) -> dict[str, str]:
        """An authorization request of the public client."""
        asked = {
            "response_type": "code",
            "client_id": "garden",
            "redirect_uri": CALLBACK,
            "scope": "devices",
            "state": "s-1",
            "code_challenge": pkce.challenge,
            "code_challenge_method": "S256",
            **changes,
        }
        return {name: value for name, value in asked.items() if value}

    async def page(self, path: str) -> httpx.Response:
        return await self.http.get(path)

    async def sign_in(self, start: httpx.Response, *, email: str = ANN, password: str = PASSWORD) -> httpx.Response:
        """Follow a redirect to the login page and log in; the answer to the login."""
        page = await self.page(start.headers["location"])
        form = {
            "flow": field_of(page, "flow"),
            "csrf": field_of(page, "csrf"),
            "email": email,
            "password": password,
        }
        return await self.http.post("/oauth/sign-in", data=form)

    async def decide(self, signed_in: httpx.Response, decision: str = "allow") -> httpx.Response:
        """Follow a redirect to the consent page and answer it."""
        assert signed_in.status_code == 303, signed_in.text
        page = await self.page(signed_in.headers["location"])
        form = {"flow": field_of(page, "flow"), "csrf": field_of(page, "csrf"), "decision": decision}
        return await self.http.post("/oauth/consent", data=form)

    async def code(self, pkce: Pkce, **changes: str) -> str:
        """A code that Ann allowed."""
        start = await self.http.get("/oauth/authorize", params=self.request(pkce, **changes))
        _, answer = location(await self.decide(await self.sign_in(start)))
        return answer["code"]

    def code_form(self, code: str, pkce: Pkce, /, **changes: str) -> dict[str, str]:
        return {**logins.code_form(code, pkce, client_id="garden", redirect_uri=CALLBACK), **changes}

    async def login(self, **changes: str) -> dict[str, Any]:
        """Tokens of the public client for Ann."""
        pkce = Pkce.generate()
        answer = await self.post("/oauth/token", self.code_form(await self.code(pkce, **changes), pkce))
        assert answer.status_code == 200, answer.text
        content: dict[str, Any] = answer.json()
        return content

    async def refresh(self, token: str, *, key: ClientKey | None = None, **changes: str) -> httpx.Response:
        form = {"grant_type": "refresh_token", "client_id": "garden", "refresh_token": token, **changes}
        return await self.post("/oauth/token", form, key=key)

    async def sessions(self) -> int:
        """How many logins live."""
        async with self.database.read() as connection:
            return (await connection.execute(select(func.count()).select_from(oauth_sessions))).scalar_one()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def _open(database: Database, clock: FakeClock, folder: Path) -> AsyncIterator[OAuth]:
    ground = logins.ground(database, clock, origin=ORIGIN, folder=folder)
    login_services = assembly.login_services(ground)
    create_secret(folder / "key-encryption.key", os.urandom(32))
    accounts = service.build(
        database=database,
        clock=clock,
        audit=AuditLog(bytes(32)),
        envelope=Envelope(FileKeyEncryption(folder / "key-encryption.key")),
        origin=ORIGIN,
        code_key=bytes(32),
        dpop_nonce_key=bytes(32),
        default_quota=3,
        sessions=login_services.sessions,
        hashes=PasswordHashes(memory_kib=64, passes=1),
    )
    device_tokens = IssuedHere()
    access = assembly.build(ground, accounts, login_services, device_tokens=device_tokens)

    async def whoami(request: Request) -> Response:
        account = await accounts.authenticator.account(request, scope="devices")
        return reply({"account_id": account.account_id, "client_id": account.client_id})

    async def operate(request: Request) -> Response:
        return reply({"account_id": (await accounts.authenticator.operator(request)).account_id})

    app = Starlette(
        routes=[
            *access.people_routes,
            Route("/api/whoami", whoami, methods=["GET"]),
            Route("/api/operate", operate, methods=["GET"]),
        ],
        exception_handlers=handlers(),
    )
    guarded = Guard(app, "people", PEOPLE_HEADERS)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url=ORIGIN) as http:
        yield OAuth(ground, accounts, login_services, access, device_tokens, clock, http)


@pytest.fixture
async def oauth(sqlite_database: Database, clock: FakeClock, tmp_path: Path) -> AsyncIterator[OAuth]:
    async for opened in _open(sqlite_database, clock, tmp_path):
        await opened.account()
        await opened.add(public())
        yield opened


@pytest.fixture
async def on_each_database(database: Database, clock: FakeClock, tmp_path: Path) -> AsyncIterator[OAuth]:
    """As `oauth`, on SQLite and on PostgreSQL."""
    async for opened in _open(database, clock, tmp_path):
        await opened.account()
        await opened.add(public())
        yield opened


def assertion(key: jwk.ECKey, client_id: str, now: float, **claims: Any) -> str:
    """A client assertion (RFC 7523); a claim that is None is left out."""
    full = {
        "iss": client_id,
        "sub": client_id,
        "aud": ORIGIN,
        "jti": secrets.token_urlsafe(12),
        "iat": int(now),
        "exp": int(now) + 60,
        **claims,
    }
    payload = json.dumps({name: value for name, value in full.items() if value is not None})
    return jws.serialize_compact({"alg": "ES256"}, payload, key, algorithms=["ES256"])
