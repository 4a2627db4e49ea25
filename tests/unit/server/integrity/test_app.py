"""The service over HTTPS: what it tells everybody, and what it takes from nobody."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from admittance.client.dpop import DpopKey
from admittance.demo.ports import free_ports
from admittance.errors import ConfigurationError
from admittance.server.integrity.app import build
from admittance.server.integrity.config import IntegrityConfig, ServiceSection
from admittance.wire.integrity import ANSWERS_PATH, CHALLENGES_PATH, JWKS_PATH, METADATA_PATH
from tests.unit.server.integrity.conftest import CLIENT, VERSION
from tests.unit.server.integrity.serving import Running, running

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("integrity"), time.time) as opened:
        yield opened


async def post(
    service: Running, path: str, content: bytes, *, key: DpopKey | None = None, **changes: Any
) -> httpx.Response:
    """A request with a proof by `key`; again where the service asks for a nonce."""
    signer, nonce = key or DpopKey.generate(), None
    async with service.http() as client:
        while True:
            proof = {
                "method": "POST",
                "uri": service.origin + path,
                "now": time.time(),
                "access_token": None,
            } | changes
            headers = {"dpop": signer.proof(**{"nonce": nonce} | proof), "content-type": "application/json"}
            answer = await client.post(path, content=content, headers=headers)
            if answer.json().get("code") != "use_dpop_nonce" or nonce is not None:
                return answer
            nonce = answer.headers["dpop-nonce"]


def request_of(key: DpopKey, **changes: object) -> dict[str, object]:
    return {"client_id": CLIENT, "version": VERSION, "jwk": key.public_jwk} | changes


async def test_everybody_may_know_where_what_is(service: Running) -> None:
    async with service.http() as client:
        metadata = (await client.get(METADATA_PATH)).json()
        keys = await client.get(JWKS_PATH)
        health = await client.get("/healthz")
    assert metadata["issuer"] == service.origin
    assert metadata["jwks_uri"] == service.origin + JWKS_PATH
    assert metadata["verifiers_supported"] == ["measured_files"]
    assert keys.headers["cache-control"] == "public, max-age=300"
    (key,) = keys.json()["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert health.json() == {"status": "ok"}


@pytest.mark.parametrize("path", [CHALLENGES_PATH, ANSWERS_PATH])
async def test_without_a_proof_nothing_is_taken(service: Running, path: str) -> None:
    async with service.http() as client:
        bare = await client.post(path, json={})
        two = await client.post(path, json={}, headers=[("dpop", "a.b.c"), ("dpop", "a.b.c")])
        get = await client.get(path)
    assert (bare.status_code, two.status_code, get.status_code) == (401, 401, 405)


@pytest.mark.parametrize("changes", [{"uri": "https://evil.test/x"}, {"method": "GET"}, {"now": 1.0}], ids=str)
async def test_a_proof_for_something_else_is_refused(service: Running, changes: dict[str, Any]) -> None:
    answer = await post(service, CHALLENGES_PATH, b"{}", **changes)
    assert (answer.status_code, answer.json()["code"]) == (401, "authentication_failed")


@pytest.mark.parametrize(
    "changes",
    [
        {"more": 1},
        {"client_id": ""},
        {"client_id": "with space"},
        {"version": "../1"},
        {"jwk": None},
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"jwk": {"kty": "EC", "crv": "P-256", "x": "A", "y": "A"}},
    ],
    ids=str,
)
async def test_requests_that_are_not_as_they_must_be_are_malformed(service: Running, changes: dict[str, Any]) -> None:
    key = DpopKey.generate()
    answer = await post(service, CHALLENGES_PATH, msgspec.json.encode(request_of(key, **changes)), key=key)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


async def test_a_private_key_in_a_request_is_malformed(service: Running) -> None:
    key = DpopKey.generate()
    content = request_of(key, jwk=key.public_jwk | {"d": "A" * 43})
    answer = await post(service, CHALLENGES_PATH, msgspec.json.encode(content), key=key)
    assert answer.status_code == 400


async def test_a_second_service_on_the_same_folder_does_not_start(service: Running) -> None:
    (port,) = free_ports(1)
    config = service.server.foundation.config
    other = IntegrityConfig(
        service=ServiceSection(origin=service.origin, listen=f"127.0.0.1:{port}", data_dir=str(config.data_dir)),
        folder=config.folder,
    )
    with pytest.raises(ConfigurationError, match="Another server"):
        await build(other).run(asyncio.Event())
