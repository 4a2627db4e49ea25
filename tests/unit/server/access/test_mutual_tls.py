"""Clients that prove themselves by certificates to a real listener, and the tokens that are bound to them."""

import asyncio
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import jwt
import msgspec
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from sqlalchemy import insert

from admittance.demo.ports import free_ports
from admittance.errors import AuthenticationFailed
from admittance.server.access import assembly, model
from admittance.server.access.clients import Clients
from admittance.server.access.model import certificate_thumbprint
from admittance.server.access.sessions import new_session_id
from admittance.server.accounts.store import accounts
from admittance.server.server import Server
from tests.client_certificates import FOR_CLIENTS, ClientCertificate, key_usage, made_certificate
from tests.unit.server.access.conftest import basic, confidential, public, with_certificate
from tests.unit.server.accounts.conftest import ClientKey
from tests.unit.server.serving import configuration, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE_S = 20.0
AUDIENCE = "https://reports.example"
CREDENTIALS = {"grant_type": "client_credentials", "client_id": "reports", "resource": AUDIENCE}
CREDENTIALS_ALONE = frozenset({model.CLIENT_CREDENTIALS})
WRONG = {
    "error": "invalid_client",
    "error_description": "The client is unknown, or its authentication does not hold.",
    "code": "invalid_client",
}


@dataclass
class World:
    """A server that asks for certificates; `own` is that of the client ``reports``, `others` of ``backup``."""

    server: Server
    folder: Path
    own: ClientCertificate
    others: ClientCertificate
    opened: list[httpx.AsyncClient]

    @property
    def clients(self) -> Clients:
        return assembly.clients_of(assembly.ground_of(self.server.foundation))

    @property
    def anchor(self) -> bytes:
        return self.server.foundation.keystore.people_ca.certificate_pem

    def http(self, certificate: ClientCertificate | None, *, people: bool = False) -> httpx.AsyncClient:
        """A client of the listener for certificates, or of the people listener."""
        if certificate is None:
            context = ssl.create_default_context(cadata=self.anchor.decode())
        else:
            context = certificate.context(self.anchor, self.folder)
        config = self.server.foundation.config
        base = config.server.origin if people else config.mtls_url
        self.opened.append(httpx.AsyncClient(base_url=base, verify=context, trust_env=False))
        return self.opened[-1]

    async def token(self, certificate: ClientCertificate | None, **changes: str) -> httpx.Response:
        return await self.http(certificate).post("/oauth/token", data={**CREDENTIALS, **changes})

    async def known(self, certificate: ClientCertificate) -> None:
        """Wait until the listener takes a certificate that was registered."""

        async def is_taken() -> bool:
            try:
                await self.token(certificate)
            except httpx.TransportError:
                return False
            return True

        async with asyncio.timeout(PATIENCE_S):
            while not await is_taken():
                await asyncio.sleep(0.1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("mtls")
    config = configuration(folder)
    listen = msgspec.structs.replace(config.listen, mtls=f"127.0.0.1:{free_ports(1)[0]}")
    async with running(msgspec.structs.replace(config, listen=listen)) as server:
        opened = World(server, folder, made_certificate(), made_certificate(), [])
        await opened.clients.add(with_certificate(opened.own, audiences=(AUDIENCE,)), actor="operator")
        await opened.clients.add(with_certificate(opened.others, "backup"), actor="operator")
        for certificate in (opened.own, opened.others):
            await opened.known(certificate)
        yield opened
        for http in opened.opened:
            await http.aclose()


async def test_a_token_is_bound_to_the_certificate_and_introspection_says_so(world: World) -> None:
    answer = await world.token(world.own)
    assert answer.status_code == 200, answer.text
    assert answer.json()["token_type"] == "Bearer"
    token, expected = answer.json()["access_token"], {"x5t#S256": certificate_thumbprint(world.own.der)}
    keys = jwt.PyJWKSet.from_dict((await world.http(None, people=True).get("/oauth/keys")).json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    read = jwt.decode(token, key, algorithms=["ES256"], audience=AUDIENCE)
    assert (read["sub"], read["cnf"]) == ("reports", expected)
    asked = {"client_id": "reports", "token": token}
    told = (await world.http(world.own).post("/oauth/introspect", data=asked)).json()
    assert (told["active"], told["token_type"], told["cnf"]) == (True, "Bearer", expected)


async def test_a_token_ends_by_the_certificate_of_its_client_alone(world: World) -> None:
    token = (await world.token(world.own)).json()["access_token"]
    asked = {"client_id": "reports", "token": token}

    async def is_active() -> bool:
        answer = await world.http(world.own).post("/oauth/introspect", data=asked)
        return bool(answer.json()["active"])

    refused = await world.http(world.others).post("/oauth/revoke", data=asked)
    assert (refused.status_code, refused.json()) == (401, WRONG)
    nothing = await world.http(world.others).post("/oauth/revoke", data={**asked, "client_id": "backup"})
    assert (nothing.status_code, await is_active()) == (200, True)
    assert (await world.http(world.own).post("/oauth/revoke", data=asked)).status_code == 200
    assert not await is_active()


async def test_without_the_clients_own_certificate_all_refusals_are_alike(world: World) -> None:
    await world.clients.add(public(), actor="operator")
    answers = [
        await world.token(None),
        await world.token(world.others),
        await world.token(world.own, client_id="backup"),
        await world.token(world.own, client_id="nobody"),
        await world.token(world.own, client_id="garden"),
        await world.token(world.own, client_id="admittance-cli"),
        await world.http(None, people=True).post("/oauth/token", data=CREDENTIALS),
        await world.http(world.own, people=True).post("/oauth/token", data=CREDENTIALS),
    ]
    for path in ("/oauth/introspect", "/oauth/revoke"):
        asked = {"client_id": "reports", "token": "x" * 43}
        answers += [await world.http(each).post(path, data=asked) for each in (None, world.others)]
    assert {answer.status_code for answer in answers} == {401}
    assert [answer.json() for answer in answers] == [WRONG] * len(answers)


async def test_another_method_beside_the_certificate_is_refused(world: World) -> None:
    secret = await world.clients.add(
        confidential("secretive", redirect_uris=(), grants=CREDENTIALS_ALONE), actor="operator"
    )
    assert secret
    form, http = {"grant_type": "client_credentials"}, world.http(world.own)
    headers = basic("secretive", secret)
    unbound = await http.post("/oauth/token", data=form, headers=headers)
    assert unbound.status_code == 200
    assert "cnf" not in jwt.decode(unbound.json()["access_token"], options={"verify_signature": False})
    both = await http.post("/oauth/token", data={**form, "client_id": "reports"}, headers=headers)
    assert (both.status_code, both.json()) == (401, WRONG)


async def test_a_certificate_that_nobody_registered_gets_no_connection(world: World) -> None:
    for stranger in (made_certificate(), made_certificate(issuer=world.own), made_certificate("stranger")):
        with pytest.raises(httpx.TransportError):
            await world.token(stranger)
    assert (await world.token(world.own)).status_code == 200


async def test_one_that_expired_gets_no_connection(world: World) -> None:
    expired, last = made_certificate(until_days=-1), made_certificate()
    await world.clients.add(with_certificate(expired, "expired"), actor="operator")
    await world.clients.add(with_certificate(last, "last"), actor="operator")
    await world.known(last)
    with pytest.raises(httpx.TransportError):
        await world.token(expired, client_id="expired")


async def test_a_registered_ca_vouches_for_nobody(world: World) -> None:
    authority = made_certificate("authority", is_ca=True)
    await world.clients.add(with_certificate(authority, "authority"), actor="operator")
    await world.known(authority)
    assert (await world.token(authority, client_id="authority")).status_code == 200
    for client_id in ("authority", "reports"):
        answer = await world.token(made_certificate("child", issuer=authority), client_id=client_id)
        assert (answer.status_code, answer.json()) == (401, WRONG)


async def test_every_kind_of_certificate_that_may_be_registered_is_taken(world: World) -> None:
    kinds = {
        "p384": made_certificate(key=ec.generate_private_key(ec.SECP384R1()), extensions=(key_usage(signs=True),)),
        "ed25519": made_certificate(key=ed25519.Ed25519PrivateKey.generate(), extensions=(FOR_CLIENTS,)),
        "rsa": made_certificate(key=rsa.generate_private_key(65537, 2048)),
    }
    for name, certificate in kinds.items():
        await world.clients.add(with_certificate(certificate, name), actor="operator")
    for name, certificate in kinds.items():
        await world.known(certificate)
        assert (await world.token(certificate, client_id=name)).status_code == 200


async def test_what_openssl_makes_by_itself_is_taken(world: World) -> None:
    key, path = world.folder / "openssl.key", world.folder / "openssl.pem"
    made = ["-newkey", "rsa:2048", "-noenc", "-subj", "/CN=client", "-keyout", str(key), "-out", str(path)]
    process = await asyncio.create_subprocess_exec("openssl", "req", "-x509", *made, stderr=subprocess.DEVNULL)
    assert await process.wait() == 0
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    certificate = ClientCertificate(x509.load_pem_x509_certificate(path.read_bytes()), private)
    await world.clients.add(with_certificate(certificate, "openssl"), actor="operator")
    await world.known(certificate)
    assert (await world.token(certificate, client_id="openssl")).status_code == 200


async def test_a_removed_client_gets_nothing_more(world: World) -> None:
    leaving = made_certificate()
    await world.clients.add(with_certificate(leaving, "leaving"), actor="operator")
    await world.known(leaving)
    assert (await world.token(leaving, client_id="leaving")).status_code == 200
    await world.clients.remove("leaving", actor="operator")
    async with asyncio.timeout(PATIENCE_S):
        while (answer := await world.token(leaving, client_id="leaving")).status_code == 200:
            await asyncio.sleep(0.1)
    assert (answer.status_code, answer.json()) == (401, WRONG)


async def test_the_tokens_of_a_login_are_bound_and_refresh_by_the_certificate(world: World) -> None:
    foundation = world.server.foundation
    logins = assembly.login_services(assembly.ground_of(foundation))
    client = await world.clients.find("reports")
    assert client
    async with foundation.database.transaction() as connection:
        values = {"account_id": "ann", "email": "ann@example.org", "display_name": "Ann", "operator": False}
        await connection.execute(insert(accounts).values(**values, password_hash="", created_at=0))
        session = await logins.sessions.begin(
            connection,
            session_id=new_session_id(),
            account_id="ann",
            client=client,
            jkt=None,
            scope=frozenset({"devices"}),
            audience=foundation.config.server.origin,
            by="authorization_code",
            now=time.time(),
        )
    token = logins.sessions.answer(session, refreshable=True).refresh_token
    assert token
    form = {"grant_type": "refresh_token", "client_id": "reports", "refresh_token": token}
    for certificate, error in ((None, "invalid_client"), (world.others, "invalid_client")):
        refused = await world.http(certificate).post("/oauth/token", data=form)
        assert refused.json()["error"] == error
    stolen = await world.http(world.others).post("/oauth/token", data={**form, "client_id": "backup"})
    assert stolen.json()["error"] == "invalid_grant"
    answer = await world.http(world.own).post("/oauth/token", data=form)
    access = answer.json()["access_token"]
    claims = logins.tokens.verify(access, now=time.time())
    assert (claims.jkt, claims.x5t_s256) == (None, certificate_thumbprint(world.own.der))
    async with foundation.database.read() as connection:
        with pytest.raises(AuthenticationFailed):
            await logins.sessions.find(connection, access, now=time.time())


async def test_a_dpop_proof_beside_the_certificate_is_refused(world: World) -> None:
    key, http, nonce = ClientKey(), world.http(world.own), None
    for _ in range(2):
        origin = world.server.foundation.config.server.origin
        proof = key.proof(
            method="POST", path="/oauth/token", htu=f"{origin}/oauth/token", now=time.time(), nonce=nonce
        )
        answer = await http.post("/oauth/token", data=CREDENTIALS, headers={"dpop": proof})
        nonce = answer.headers.get("dpop-nonce")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert "certificate" in answer.json()["error_description"]


async def test_metadata_tells_where_certificates_are_asked_for(world: World) -> None:
    found = (await world.http(None, people=True).get("/.well-known/oauth-authorization-server")).json()
    assert found["tls_client_certificate_bound_access_tokens"] is True
    url = world.server.foundation.config.mtls_url
    assert found["mtls_endpoint_aliases"] == {
        "token_endpoint": f"{url}/oauth/token",
        "revocation_endpoint": f"{url}/oauth/revoke",
        "introspection_endpoint": f"{url}/oauth/introspect",
    }
    for endpoint in ("token", "revocation", "introspection"):
        assert model.SELF_SIGNED in found[f"{endpoint}_endpoint_auth_methods_supported"]
    for path in ("/oauth/authorize", "/oauth/par", "/oauth/keys", "/api/account", "/healthz"):
        assert (await world.http(world.own).get(path)).status_code == 404
