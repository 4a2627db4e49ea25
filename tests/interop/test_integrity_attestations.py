"""Our attestations at others: PyJWT and jwcrypto verify them, and oidc-provider (npm) lets a client in by one."""

import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import jwt
import pytest
import pytest_asyncio
from jwcrypto.jwk import JWKSet
from jwcrypto.jwt import JWT

from admittance.client.dpop import DpopKey
from admittance.client.integrity.attestation import Attestations, AttestedApp, KeptAttestation
from admittance.demo.ports import free_ports
from admittance.wire.integrity import ATTESTATION_TYPE, JWKS_PATH
from tests.interop.peers import Peer
from tests.tls_material import Authority, client_context
from tests.unit.server.integrity.conftest import CLIENT, VERSION
from tests.unit.server.integrity.serving import Running, running

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("integrity"), time.time) as opened:
        yield opened


async def attested(service: Running, folder: Path, key: DpopKey) -> KeptAttestation:
    app = AttestedApp(
        service=service.origin, ca_pem=service.ca_pem, client_id=CLIENT, version=VERSION, folder=str(service.app)
    )
    return await Attestations(folder, key).attest(app)


async def published(service: Running) -> httpx.Response:
    async with service.http() as client:
        return await client.get(JWKS_PATH)


async def test_pyjwt_verifies_an_attestation(service: Running, tmp_path: Path) -> None:
    key = DpopKey.generate()
    kept = await attested(service, tmp_path, key)
    keys = jwt.PyJWKSet.from_dict((await published(service)).json())
    header = jwt.get_unverified_header(kept.attestation)
    claims = jwt.decode(
        kept.attestation,
        keys[header["kid"]].key,
        algorithms=["ES256"],
        issuer=service.origin,
        options={"require": ["iss", "sub", "iat", "exp"]},
    )
    assert header["typ"] == ATTESTATION_TYPE
    assert (claims["sub"], claims["cnf"]) == (CLIENT, {"jwk": key.public_jwk})


async def test_jwcrypto_verifies_an_attestation(service: Running, tmp_path: Path) -> None:
    kept = await attested(service, tmp_path, DpopKey.generate())
    keys = JWKSet.from_json((await published(service)).text)
    token = JWT(jwt=kept.attestation, key=keys, algs=["ES256"], check_claims={"iss": service.origin, "sub": CLIENT})
    assert token.token.jose_header["typ"] == ATTESTATION_TYPE


async def test_oidc_provider_lets_an_attested_client_in(service: Running, tmp_path: Path) -> None:
    """In combined mode; with another key, or without the attestation, it does not."""
    key = DpopKey.generate()
    kept = await attested(service, tmp_path, key)
    (port,) = free_ports(1)
    ca = Authority("peer")
    leaf = ca.issue()
    certificate, private = tmp_path / "peer.crt", tmp_path / "peer.key"
    certificate.write_text(ssl.DER_cert_to_PEM_cert(leaf.certificate))
    private.write_bytes(leaf.key_pem)
    settings = {
        "port": port,
        "certificate": str(certificate),
        "key": str(private),
        "client_id": CLIENT,
        "issuer": service.origin,
        "keys": (await published(service)).json(),
        "ack": "draft-12",
    }
    async with (
        Peer("attested_clients.mjs", settings, certificate) as peer,
        httpx.AsyncClient(verify=client_context(ca.certificate), trust_env=False) as client,
    ):
        await peer.hear()
        uri = f"https://localhost:{port}/token"

        async def token(by: DpopKey, headers: dict[str, str]) -> httpx.Response:
            nonce = None
            while True:
                proof = by.proof(method="POST", uri=uri, now=time.time(), nonce=nonce, access_token=None)
                form = {"grant_type": "client_credentials", "client_id": CLIENT}
                answer = await client.post(uri, data=form, headers={"dpop": proof, **headers})
                if answer.json().get("error") != "use_dpop_nonce":
                    return answer
                nonce = answer.headers["dpop-nonce"]

        good = await token(key, kept.headers)
        assert (good.status_code, good.json().get("token_type")) == (200, "DPoP"), good.text
        for refused in (await token(DpopKey.generate(), kept.headers), await token(key, {})):
            assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
