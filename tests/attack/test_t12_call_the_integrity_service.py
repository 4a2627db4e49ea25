"""T12. Means: an integrity service's address. Goal: call a route of it without authority, or learn what it keeps."""

import asyncio
import sqlite3
import ssl
import time

import httpx
import pytest

from admittance.client.dpop import DpopKey
from admittance.errors import IntegrityRefused
from admittance.server.integrity.app import build
from admittance.server.integrity.config import load_config
from admittance.wire.integrity import ANSWERS_PATH, CHALLENGES_PATH, JWKS_PATH, METADATA_PATH
from tests.attack.authority import ANYBODY, AUTHORITY, PAGES
from tests.attack.integrity_site import CLIENT, VERSION, IntegritySite, Service
from tests.attack.routing import METHODS, named, routes_behind, routes_of_server
from tests.attack.site import code_of

KEY = "an instance's key"
OF_THE_SERVICE = {
    ("POST", CHALLENGES_PATH): KEY,
    ("POST", ANSWERS_PATH): KEY,
    ("GET", JWKS_PATH): ANYBODY,
    ("GET", METADATA_PATH): ANYBODY,
    ("GET", "/healthz"): ANYBODY,
}
OF_A_SERVER_THAT_TRUSTS_IT = ("people", "POST", "/oauth/challenge")
NOWHERE = ("/", "/releases", "/admin", "/manifests", f"{CHALLENGES_PATH}/1", "/docs", "/oauth/token")
ASKED = {"client_id": CLIENT, "version": VERSION}


def kept(service: Service) -> list[object]:
    """All that the service keeps."""
    database = sqlite3.connect(f"file:{service.folder / 'data' / 'integrity.db'}?mode=ro", uri=True)
    try:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert "challenges" in tables
        return [row for table in tables for row in database.execute(f"SELECT * FROM {table} ORDER BY 1")]
    finally:
        database.close()


def calling(integrity: IntegritySite) -> httpx.AsyncClient:
    """Somebody without a key."""
    trust = ssl.create_default_context(cafile=integrity.service.ca_file)
    return httpx.AsyncClient(base_url=integrity.service.origin, verify=trust, trust_env=False)


async def test_every_route_of_the_service_names_its_authority(integrity: IntegritySite) -> None:
    service = build(load_config(integrity.service.config))
    ((listener,),) = (secured.listeners for secured in service._secured)
    found = named(listener.name, routes_behind(listener))
    await service.foundation.close()
    assert {(method, path) for _, method, path in found} == OF_THE_SERVICE.keys()


async def test_a_server_that_trusts_the_service_has_one_route_more(integrity: IntegritySite) -> None:
    served = await routes_of_server(integrity.site)
    found = {route for listener, routes in served.items() for route in named(listener, routes)}
    assert found - {*AUTHORITY, *PAGES} == {OF_A_SERVER_THAT_TRUSTS_IT}
    before = await integrity.site.rows()
    answers = [await integrity.site.attacker.post("/oauth/challenge") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["attestation_challenge"] for answer in answers}) <= 2
    assert await integrity.site.rows() == before


async def test_nobody_without_a_key_gets_a_challenge_or_gives_an_answer(integrity: IntegritySite) -> None:
    service, key, now = integrity.service, DpopKey.generate(), time.time()
    before = kept(service)
    async with calling(integrity) as client:
        for path, content in ((CHALLENGES_PATH, ASKED), (ANSWERS_PATH, {"challenge": "A" * 43, "answer": "A" * 43})):
            elsewhere = key.proof(
                method="POST", uri=f"https://elsewhere.example{path}", now=now, nonce=None, access_token=None
            )
            for headers in ({}, {"dpop": "A.A.A"}, {"dpop": elsewhere}, {"authorization": "Bearer A"}):
                answer = await client.post(path, json=content, headers=headers)
                assert answer.status_code == 401, answer.text
                assert code_of(answer) in ("authentication_failed", "use_dpop_nonce")
    assert kept(service) == before


async def test_nobody_answers_the_challenge_of_another_key(integrity: IntegritySite) -> None:
    mine, theirs = integrity.service.app(), integrity.service.app()
    challenge = await integrity.service.challenge(theirs)
    async with integrity.service.client(mine) as client:
        with pytest.raises(IntegrityRefused) as refused:
            await client.answer(challenge.challenge, theirs.answer(challenge))
    assert refused.value.code == "integrity_refused"
    assert (await integrity.service.answer(theirs, challenge, theirs.answer(challenge))).attestation


async def test_what_anybody_may_call_changes_and_tells_nothing(integrity: IntegritySite) -> None:
    service, secret = integrity.service, (CLIENT, VERSION, "client/", ".py")
    before = kept(service)
    async with calling(integrity) as client:
        answers = [await client.get(path) for (_, path), who in OF_THE_SERVICE.items() if who == ANYBODY]
    assert all(answer.status_code == 200 for answer in answers)
    assert [answer.text for answer in answers if any(word in answer.text for word in secret)] == []
    (keys,) = (answer.json()["keys"] for answer in answers if "keys" in answer.json())
    assert keys
    assert all("d" not in key for key in keys)
    assert kept(service) == before


async def test_other_methods_and_paths_of_the_service_do_nothing(integrity: IntegritySite) -> None:
    before = kept(integrity.service)
    async with calling(integrity) as client:
        for path in {path for _, path in OF_THE_SERVICE}:
            allowed = {method for method, at in OF_THE_SERVICE if at == path}
            allowed |= {"HEAD"} if "GET" in allowed else set()
            for method in METHODS - allowed:
                assert (await client.request(method, path)).status_code == 405, (method, path)
        for path in NOWHERE:
            gone = await asyncio.gather(client.get(path), client.post(path))
            assert [answer.status_code for answer in gone] == [404, 404], path
    assert kept(integrity.service) == before
