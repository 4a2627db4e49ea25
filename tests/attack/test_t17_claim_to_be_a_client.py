"""T17. Means: a certificate of one's own, registered or not; the victim's, without its key. Goal: be taken for a
client that proves itself by a certificate, or use a token that is bound to one.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import jwt
import pytest
import pytest_asyncio

from admittance.server.access.model import certificate_thumbprint
from tests.attack.oauth_site import RegisteredClient, register
from tests.attack.site import ON_SQLITE, Login, Site, new_key
from tests.client_certificates import ClientCertificate, made_certificate

PATIENCE_S = 20.0
CREDENTIALS = {"grant_type": "client_credentials", "scope": "devices"}
METHOD = ("--authentication", "self_signed_tls_client_auth", "--grant", "client_credentials", "--scope", "devices")


@dataclass(frozen=True)
class Scene:
    """The victim, and a client that is the attacker's, registered too; with their certificates."""

    site: Site
    victim: RegisteredClient
    victims: ClientCertificate
    attacker: RegisteredClient
    attackers: ClientCertificate

    async def token(self, client: RegisteredClient, certificate: ClientCertificate | None) -> httpx.Response:
        form = {**CREDENTIALS, "client_id": client.client_id}
        return await self.site.with_certificate(certificate).post("/oauth/token", data=form)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(site: Site, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder = tmp_path_factory.mktemp("certificates")
    victims, attackers = made_certificate("reports"), made_certificate("reports", is_ca=True)
    victim, attacker = [await _registered(site, each, folder) for each in (victims, attackers)]
    opened = Scene(site, victim, victims, attacker, attackers)
    for certificate in (victims, attackers):
        async with asyncio.timeout(PATIENCE_S):
            while not await _is_taken(opened, certificate):
                await asyncio.sleep(0.1)
    yield opened


async def _registered(site: Site, certificate: ClientCertificate, folder: Path) -> RegisteredClient:
    path = folder / f"{certificate.certificate.serial_number}.pem"
    path.write_text(certificate.pem)
    return await register(site, "Reports", *METHOD, "--certificate-file", str(path))


async def _is_taken(scene: Scene, certificate: ClientCertificate) -> bool:
    try:
        await scene.token(scene.victim, certificate)
    except httpx.TransportError:
        return False
    return True


@ON_SQLITE
async def test_only_the_victims_key_gets_the_victims_token(scene: Scene) -> None:
    """Nor do a certificate that names the victim, one that the attacker's vouches for, and headers of a proxy."""
    site = scene.site
    wrong = await scene.token(RegisteredClient("nobody", ""), scene.attackers)
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    for refused in (await scene.token(scene.victim, scene.attackers), await scene.token(scene.victim, None)):
        assert (refused.status_code, refused.json()) == (401, wrong.json())
    child = made_certificate("child", issuer=scene.attackers)
    for certificate in (made_certificate("reports"), made_certificate("reports", issuer=scene.attackers), child):
        try:
            refused = await scene.token(scene.victim, certificate)
        except httpx.TransportError:
            continue
        assert (refused.status_code, refused.json()) == (401, wrong.json())
    headers = {"x-client-cert": scene.victims.pem.replace("\n", ""), "client-cert": scene.victims.der.hex()}
    form = {**CREDENTIALS, "client_id": scene.victim.client_id}
    for http in (site.attacker, site.with_certificate(None), site.with_certificate(scene.attackers)):
        refused = await http.post("/oauth/token", data=form, headers=headers)
        assert (refused.status_code, refused.json()) == (401, wrong.json())
    assert (await scene.token(scene.victim, scene.victims)).status_code == 200


@ON_SQLITE
async def test_the_victims_certificate_without_its_key_makes_no_connection(scene: Scene) -> None:
    with pytest.raises(ssl.SSLError):
        await scene.token(scene.victim, ClientCertificate(scene.victims.certificate, scene.attackers.key))


@ON_SQLITE
async def test_a_bound_token_says_to_what_and_opens_nothing_here(scene: Scene) -> None:
    token = (await scene.token(scene.victim, scene.victims)).json()["access_token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["cnf"] == {"x5t#S256": certificate_thumbprint(scene.victims.der)}
    thief = Login(scene.site.origin, scene.site.attacker, "", "", token, new_key())
    assert (await thief.send("GET", "/api/devices")).status_code == 401
    bearer = {"authorization": f"Bearer {token}"}
    assert (await scene.site.attacker.get("/api/devices", headers=bearer)).status_code == 401
    asked = {"client_id": scene.attacker.client_id, "token": token}
    attacker = scene.site.with_certificate(scene.attackers)
    assert (await attacker.post("/oauth/introspect", data=asked)).json() == {"active": False}
    assert (await attacker.post("/oauth/revoke", data=asked)).status_code == 200
    asked["client_id"] = scene.victim.client_id
    told = (await scene.site.with_certificate(scene.victims).post("/oauth/introspect", data=asked)).json()
    assert (told["active"], told["cnf"]) == (True, claims["cnf"])
