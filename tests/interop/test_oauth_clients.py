"""Clients of others at the authorization server: openid-client and oauth4webapi (npm), Authlib and oauthlib (PyPI).

Each runs its own code against the real server over TLS; a person logs in and allows. The tokens are verified by PyJWT
and jwcrypto, which know only the published keys.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jwt
import pytest
import pytest_asyncio
from authlib.integrations.requests_client import OAuth2Session
from cryptography.hazmat.primitives.asymmetric import ec
from jwcrypto.jwk import JWKSet
from jwcrypto.jwt import JWT
from oauthlib.oauth2 import DeviceClient, WebApplicationClient

from admittance.client.dpop import DpopKey
from tests.interop.peers import Peer
from tests.oauth_site import REDIRECT_URI, Server, oauth_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPTS = ("openid_client.mjs", "oauth4webapi.mjs")
SCOPE = "devices account"
VERIFIER = "a-verifier-that-is-long-enough-for-rfc-7636-and-random-to-nobody"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with oauth_server(tmp_path_factory.mktemp("oauth")) as opened:
        yield opened


class Prover:
    """Adds a proof to each request (RFC 9449), and remembers the server's nonce."""

    def __init__(self) -> None:
        self._key = DpopKey(ec.generate_private_key(ec.SECP256R1()))
        self._nonce: str | None = None

    def headers(self, method: str, url: str, access_token: str | None = None) -> dict[str, str]:
        uri = url.partition("?")[0]
        proof = self._key.proof(method=method, uri=uri, now=time.time(), nonce=self._nonce, access_token=access_token)
        return {"DPoP": proof} | ({} if access_token is None else {"Authorization": f"DPoP {access_token}"})

    def heard(self, headers: Any) -> bool:
        """Take the nonce of an answer; whether it is another than before."""
        given = headers.get("DPoP-Nonce", self._nonce)
        is_new, self._nonce = given != self._nonce, given
        return bool(is_new)


async def metadata(server: Server) -> dict[str, str]:
    async with server.http() as http:
        found: dict[str, str] = (await http.get("/.well-known/oauth-authorization-server")).json()
    return found


async def account(server: Server, prover: Prover, token: str) -> httpx.Response:
    url = f"{server.stage.origin}/api/account"
    async with server.http() as http:
        answer = await http.get(url, headers=prover.headers("GET", url, token))
        return (
            await http.get(url, headers=prover.headers("GET", url, token)) if prover.heard(answer.headers) else answer
        )


@pytest.mark.parametrize("script", SCRIPTS)
async def test_npm_clients_get_refresh_and_revoke_tokens_by_code_par_pkce_and_dpop(
    server: Server, script: str
) -> None:
    async with Peer(script, server.settings("code"), server.stage.people_ca) as peer:
        callback = await server.allow((await peer.hear())["authorization_url"])
        assert callback.startswith(REDIRECT_URI)
        await peer.tell({"callback": callback})
        first, fresh = await peer.hear(), await peer.hear()
        for got in (first, fresh):
            assert got["tokens"]["token_type"].lower() == "dpop"
            assert got["resource"]["status"] == 200
            assert got["resource"]["body"]["email"] == server.email
        assert first["tokens"]["refresh_token"] != fresh["tokens"]["refresh_token"]
        assert (await peer.hear())["revoked"]["status"] == 401


@pytest.mark.parametrize("script", SCRIPTS)
async def test_npm_clients_get_tokens_by_the_device_grant(server: Server, script: str) -> None:
    async with Peer(script, server.settings("device"), server.stage.people_ca) as peer:
        told = await peer.hear()
        page = await server.allow(told["verification_uri"], told["user_code"])
        assert "back to" in page.lower() or "connected" in page.lower() or "device" in page.lower()
        got = await peer.hear()
        assert got["resource"]["body"]["email"] == server.email


@pytest.mark.parametrize("script", SCRIPTS)
async def test_npm_clients_get_introspect_and_revoke_tokens_by_their_credentials(server: Server, script: str) -> None:
    settings = server.settings("credentials", client_id=server.backend, client_secret=server.secret, scope="devices")
    async with Peer(script, settings, server.stage.people_ca) as peer:
        got = await peer.hear()
        assert got["tokens"]["token_type"].lower() == "bearer"
        assert got["introspected"]["active"] is True
        assert got["introspected"]["client_id"] == server.backend
        assert (await peer.hear())["introspected"] == {"active": False}


async def test_authlib_gets_and_refreshes_tokens_by_code_pkce_and_dpop(server: Server) -> None:
    at, prover = await metadata(server), Prover()
    client = OAuth2Session(
        server.app,
        redirect_uri=REDIRECT_URI,
        scope=SCOPE,
        code_challenge_method="S256",
        token_endpoint_auth_method="none",
    )
    trusting(client, server)
    url, _ = client.create_authorization_url(at["authorization_endpoint"], code_verifier=VERIFIER)
    callback = await server.allow(url)
    await account(server, prover, "none yet")  # which gives a nonce

    def fetch(**grant: str) -> dict[str, Any]:
        token_at = at["token_endpoint"]
        told: dict[str, Any] = client.fetch_token(token_at, headers=prover.headers("POST", token_at), **grant)
        return told

    token = await asyncio.to_thread(fetch, authorization_response=callback, code_verifier=VERIFIER)
    assert token["token_type"] == "DPoP"
    assert (await account(server, prover, token["access_token"])).json()["email"] == server.email
    fresh = await asyncio.to_thread(fetch, grant_type="refresh_token", refresh_token=token["refresh_token"])
    assert fresh["refresh_token"] != token["refresh_token"]
    assert (await account(server, prover, fresh["access_token"])).status_code == 200


async def test_oauthlib_gets_and_refreshes_tokens_by_code_pkce_and_dpop(server: Server) -> None:
    at, prover, client = await metadata(server), Prover(), WebApplicationClient(server.app)
    verifier = client.create_code_verifier(64)
    url = client.prepare_request_uri(
        at["authorization_endpoint"],
        redirect_uri=REDIRECT_URI,
        scope=SCOPE.split(),
        state="opaque",
        code_challenge=client.create_code_challenge(verifier, "S256"),
        code_challenge_method="S256",
    )
    answer = client.parse_request_uri_response((await server.allow(url)).replace("http:", "https:"), state="opaque")
    body = client.prepare_request_body(code=answer["code"], redirect_uri=REDIRECT_URI, code_verifier=verifier)
    token = client.parse_request_body_response(await post(server, prover, at["token_endpoint"], body), scope=SCOPE)
    assert (await account(server, prover, token["access_token"])).json()["email"] == server.email
    body = client.prepare_refresh_body(refresh_token=token["refresh_token"], client_id=server.app)
    fresh = client.parse_request_body_response(await post(server, prover, at["token_endpoint"], body), scope=SCOPE)
    assert fresh["refresh_token"] != token["refresh_token"]
    url, headers, body = client.prepare_token_revocation_request(
        at["revocation_endpoint"], fresh["refresh_token"], "refresh_token", client_id=server.app
    )
    async with server.http() as http:
        assert (await http.post(url, headers=headers, content=body)).status_code == 200
    assert (await account(server, prover, fresh["access_token"])).status_code == 401


async def test_oauthlib_gets_tokens_by_the_device_grant(server: Server) -> None:
    at, prover, client = await metadata(server), Prover(), DeviceClient(server.app)
    async with server.http() as http:
        asked = await http.post(at["device_authorization_endpoint"], data={"client_id": server.app, "scope": SCOPE})
    await server.allow(asked.json()["verification_uri"], asked.json()["user_code"])
    body = client.prepare_request_body(asked.json()["device_code"], include_client_id=True)
    token = client.parse_request_body_response(await post(server, prover, at["token_endpoint"], body), scope=SCOPE)
    assert (await account(server, prover, token["access_token"])).json()["email"] == server.email


async def test_authlib_introspects_and_revokes_a_token_by_its_credentials(server: Server) -> None:
    at = await metadata(server)
    client = OAuth2Session(server.backend, server.secret, scope="devices")
    trusting(client, server)

    def run() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        token = client.fetch_token(at["token_endpoint"], grant_type="client_credentials")
        before = client.introspect_token(at["introspection_endpoint"], token=token["access_token"])
        client.revoke_token(at["revocation_endpoint"], token=token["access_token"])
        after = client.introspect_token(at["introspection_endpoint"], token=token["access_token"])
        return token, before.json(), after.json()

    token, before, after = await asyncio.to_thread(run)
    assert (before["active"], before["client_id"]) == (True, server.backend)
    assert after == {"active": False}
    claims = await verified(server, token["access_token"])
    assert (claims["sub"], claims["scope"]) == (server.backend, "devices")


def trusting(client: OAuth2Session, server: Server) -> None:
    """Have requests trust the server's own CA, whatever this machine's environment says."""
    client.trust_env, client.verify = False, str(server.stage.people_ca)


async def verified(server: Server, token: str) -> dict[str, Any]:
    """The claims of a token, as PyJWT and as jwcrypto read them by the published keys."""
    at = await metadata(server)
    async with server.http() as http:
        keys = (await http.get(at["jwks_uri"])).json()
    header = jwt.get_unverified_header(token)
    (key,) = (each for each in keys["keys"] if each["kid"] == header["kid"])
    claims: dict[str, Any] = jwt.decode(
        token, jwt.PyJWK(key).key, algorithms=["ES256"], audience=server.stage.origin, issuer=server.stage.origin
    )
    other = JWT(jwt=token, key=JWKSet.from_json(json.dumps(keys)), algs=["ES256"])
    assert header["typ"] == "at+jwt"
    assert json.loads(other.claims) == claims
    return claims


async def post(server: Server, prover: Prover, url: str, body: str) -> str:
    """Post a form with a proof, and once more where the server gave a nonce."""
    async with server.http() as http:
        while True:
            headers = {"Content-Type": "application/x-www-form-urlencoded", **prover.headers("POST", url)}
            answer = await http.post(url, headers=headers, content=body)
            if not prover.heard(answer.headers):
                return answer.text
