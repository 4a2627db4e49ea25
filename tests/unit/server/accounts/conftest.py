"""Services of accounts on a database of the test's own, a clock that the test sets, and a client's key."""

import json
import os
import secrets
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwk, jws
from starlette.applications import Starlette

from admittance.client.oauth.pkce import Pkce
from admittance.server.access import assembly
from admittance.server.access.assembly import AccessServices, Ground, LoginServices
from admittance.server.accounts import service
from admittance.server.accounts.dpop import token_hash
from admittance.server.accounts.passwords import PasswordHashes
from admittance.server.accounts.routes import routes
from admittance.server.accounts.service import AccountServices
from admittance.server.audit.store import AuditLog
from admittance.server.database import Database
from admittance.server.keys.envelope import Envelope
from admittance.server.keys.file import FileKeyEncryption, create_secret
from admittance.server.problems import handlers
from tests import logins

ORIGIN = "https://admittance.example"
PASSWORD = "correct horse battery"


class FakeClock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class ClientKey:
    """Makes DPoP proofs; every part of one can be overridden, or left out by None."""

    def __init__(self, algorithm: str = "ES256") -> None:
        self.algorithm = algorithm
        self.key: Any = (
            jwk.ECKey.generate_key("P-256") if algorithm == "ES256" else jwk.OKPKey.generate_key("Ed25519")
        )

    @property
    def jkt(self) -> str:
        return str(self.key.thumbprint())

    def proof(
        self,
        *,
        method: str = "GET",
        path: str = "/api/account",
        now: float,
        nonce: str | None = None,
        token: str | None = None,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        full_header = {
            "typ": "dpop+jwt",
            "alg": self.algorithm,
            "jwk": self.key.as_dict(private=False),
            **(header or {}),
        }
        full: dict[str, Any] = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": ORIGIN + path,
            "iat": int(now),
            "nonce": nonce,
            "ath": token_hash(token) if token else None,
            **claims,
        }
        payload = json.dumps({name: value for name, value in full.items() if value is not None})
        kept = {name: value for name, value in full_header.items() if value is not None}
        return jws.serialize_compact(kept, payload, self.key, algorithms=[str(kept.get("alg", "ES256"))])


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def client_key() -> ClientKey:
    return ClientKey()


@pytest.fixture
def envelope(tmp_path: Path) -> Envelope:
    path = tmp_path / "key-encryption.key"
    create_secret(path, os.urandom(32))
    return Envelope(FileKeyEncryption(path))


@pytest.fixture
def ground(database: Database, clock: FakeClock, tmp_path: Path) -> Ground:
    return logins.ground(database, clock, origin=ORIGIN, folder=tmp_path)


@pytest.fixture
def login_services(ground: Ground) -> LoginServices:
    return assembly.login_services(ground)


@pytest.fixture
def services(
    database: Database, clock: FakeClock, envelope: Envelope, login_services: LoginServices
) -> AccountServices:
    return service.build(
        database=database,
        clock=clock,
        audit=AuditLog(bytes(32)),
        envelope=envelope,
        origin=ORIGIN,
        code_key=bytes(32),
        dpop_nonce_key=bytes(32),
        default_quota=3,
        sessions=login_services.sessions,
        hashes=PasswordHashes(memory_kib=64, passes=1),
    )


class Caller:
    """A client of the real routes over an in-process transport."""

    def __init__(self, services: AccountServices, access: AccessServices, clock: FakeClock) -> None:
        async def count_devices(_account_id: str) -> int:
            return 2

        app = Starlette(
            routes=[
                *routes(services, origin=ORIGIN, count_devices=count_devices),
                *access.people_routes,
            ],
            exception_handlers=handlers(),
        )
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN)
        self.clock = clock
        self.key = ClientKey()
        self.token: str | None = None
        self.refresh_token: str | None = None
        self.nonce: str | None = None

    async def call(self, method: str, path: str, content: Any = None) -> httpx.Response:
        """Call with a proof, and once more with the server's nonce where it asks for one."""
        response = await self._once(method, path, content)
        if response.status_code == 401 and "dpop-nonce" in response.headers:
            self.nonce = response.headers["dpop-nonce"]
            response = await self._once(method, path, content)
        return response

    async def _once(self, method: str, path: str, content: Any) -> httpx.Response:
        proof = self.key.proof(method=method, path=path, now=self.clock.now, nonce=self.nonce, token=self.token)
        headers = {"dpop": proof}
        if self.token:
            headers["authorization"] = f"DPoP {self.token}"
        return await self.http.request(method, path, json=content, headers=headers)

    async def post(self, path: str, form: dict[str, str]) -> httpx.Response:
        """Post a form with a proof and without a token, and once more with the server's nonce."""
        for _ in range(2):
            proof = self.key.proof(method="POST", path=path, now=self.clock.now, nonce=self.nonce)
            response = await self.http.post(path, data=form, headers={"dpop": proof})
            if response.status_code != 400 or "dpop-nonce" not in response.headers:
                break
            self.nonce = response.headers["dpop-nonce"]
        return response

    async def login(self, email: str, password: str = PASSWORD) -> httpx.Response:
        """The answer of the token endpoint, or of the challenge endpoint where that refuses."""
        pkce = Pkce.generate()
        response = await self.post("/oauth/authorize-challenge", logins.challenge_form(email, password, pkce))
        if response.status_code != 200:
            return response
        form = logins.code_form(response.json()["authorization_code"], pkce)
        response = await self.post("/oauth/token", form)
        self.token, self.refresh_token = response.json()["access_token"], response.json()["refresh_token"]
        return response


@pytest.fixture
async def caller(services: AccountServices, ground: Ground, login_services: LoginServices, clock: FakeClock) -> Any:
    made = Caller(services, assembly.build(ground, services, login_services), clock)
    yield made
    await made.http.aclose()


@pytest.fixture
def make_account(services: AccountServices) -> Any:
    async def make(email: str = "owner@example.org", *, operator: bool = False, quota: int | None = None) -> str:
        invite = await services.invites.create(email=email, operator=operator, quota=quota, actor="operator")
        return await services.invites.accept(
            secret=invite.secret, email=email, password=PASSWORD, display_name="Owner", source="192.0.2.1"
        )

    return make
