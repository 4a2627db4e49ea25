import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from httpx import AsyncClient

from admittance.errors import ConfigurationError
from admittance.server.app import build
from admittance.server.guard import PEOPLE_HEADERS
from admittance.server.http import MAX_BODY_BYTES
from admittance.server.server import Server
from admittance.wire import base64url
from tests.unit.server.serving import configuration, running


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(configuration(tmp_path)) as server:
        yield server


def trust(*certificates: bytes) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=b"".join(certificates).decode())


@pytest.fixture
async def people(server: Server) -> AsyncIterator[AsyncClient]:
    context = trust(server.foundation.keystore.people_ca.certificate_pem)
    async with AsyncClient(base_url=server.foundation.config.server.origin, verify=context) as client:
        yield client


async def test_healthz(people: AsyncClient) -> None:
    response = await people.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_discovery_is_the_makers_bundle(people: AsyncClient, server: Server) -> None:
    bundle = (await people.get("/.well-known/admittance")).json()
    root = x509.load_der_x509_certificate(base64url.decode(bundle["configuration_root"]))
    assert root.subject == root.issuer
    assert bundle["origin"] == server.foundation.config.server.origin
    assert len(base64url.decode(bundle["manifest_key"])) == 32
    assert bundle.pop("relay") == list(server.foundation.config.app_relay_urls)
    written = server.foundation.config.data_dir / "maker-bundle.json"
    assert json.loads(written.read_bytes()) == bundle


async def test_people_get_security_headers(people: AsyncClient) -> None:
    headers = (await people.get("/healthz")).headers
    assert {name: headers[name] for name in PEOPLE_HEADERS} == PEOPLE_HEADERS


async def test_pages_keep_a_strict_policy(people: AsyncClient) -> None:
    for path in ("/invite", "/d/AD234567234567234567AB"):
        response = await people.get(path)
        policy = response.headers["content-security-policy"]
        assert response.status_code == 200
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert response.headers["strict-transport-security"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/account"),
        ("GET", "/api/models"),
        ("GET", "/api/networks"),
        ("GET", "/api/devices"),
        ("POST", "/api/challenges"),
        ("POST", "/api/activations"),
        ("POST", "/api/invites"),
        ("POST", "/d/AD234567234567234567AB"),
        ("POST", "/api/devices/AD234567234567234567AB/revoke"),
    ],
)
async def test_people_api_wants_a_login(people: AsyncClient, method: str, path: str) -> None:
    assert (await people.request(method, path, json={})).status_code == 401


async def test_giant_body_is_refused(people: AsyncClient) -> None:
    response = await people.post(
        "/api/invites/accept", content=b" " * (MAX_BODY_BYTES + 1), headers={"content-type": "application/json"}
    )
    assert (response.status_code, response.json()["code"]) == (413, "too_large")


async def test_first_contact_stands_under_the_private_anchor(server: Server) -> None:
    keystore = server.foundation.keystore
    url = server.foundation.config.first_contact_url
    async with AsyncClient(verify=trust(keystore.tls_anchor.certificate_pem)) as client:
        assert (await client.get(f"{url}/enrolment/reachable")).status_code == 204
        assert (await client.get(f"{url}/api/devices")).status_code == 404
        assert (await client.get(f"{url}/device/status")).status_code == 401


async def test_files_are_private(server: Server) -> None:
    modes = {path.stat().st_mode & 0o777 for path in server.foundation.config.data_dir.rglob("*") if path.is_file()}
    assert modes == {0o600}


async def test_second_server_on_the_same_folder_is_refused(server: Server, tmp_path: Path) -> None:
    config = msgspec.structs.replace(
        server.foundation.config, listen=configuration(tmp_path).listen, server=server.foundation.config.server
    )
    with pytest.raises(ConfigurationError, match="Another server is running"):
        async with running(config):
            pass


async def test_stopped_server_starts_again_with_the_same_identity(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    async with running(config) as server:
        first = server.foundation.keystore.configuration_chain
    async with running(config) as server:
        assert server.foundation.keystore.configuration_chain == first


async def test_renewed_certificate_is_used_without_a_restart(tmp_path: Path) -> None:
    async with running(configuration(tmp_path)) as server:
        path = server.foundation.config.data_dir / "tls" / "people.pem"
        first = path.read_bytes()
        path.unlink()
        server.renew_certificates()
        assert path.read_bytes() != first
        context = trust(server.foundation.keystore.people_ca.certificate_pem)
        async with AsyncClient(verify=context) as client:
            assert (await client.get(f"{server.foundation.config.server.origin}/healthz")).status_code == 200


def test_server_refuses_a_key_that_others_can_read(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    build(config)
    (config.data_dir / "keys" / "issuing-ca.key").chmod(0o640)
    with pytest.raises(ConfigurationError, match=r"issuing-ca\.key can be opened by others"):
        build(config)


async def test_server_runs_on_postgresql_by_one_line(tmp_path: Path, empty_postgres: str) -> None:
    config = configuration(tmp_path)
    database = msgspec.structs.replace(config.database, url=empty_postgres)
    config = msgspec.structs.replace(config, database=database)
    async with running(config) as server:
        context = trust(server.foundation.keystore.people_ca.certificate_pem)
        async with AsyncClient(verify=context) as client:
            assert (await client.get(f"{config.server.origin}/healthz")).status_code == 200
