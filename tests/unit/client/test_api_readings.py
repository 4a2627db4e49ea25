"""Readings and consent against a scripted server."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from admittance import errors
from admittance.client.api import ApiClient
from admittance.client.api_readings import ReadingsApi
from tests.unit.client.test_api import KEY, ORIGIN, Script

READING = {
    "name": "temperature",
    "unit": "Cel",
    "value": 21.5,
    "measured_at": 1.5,
    "received_at": 2,
    "skew_s": 0,
    "assurance": "listed",
}
CONSENT = {"device_id": "AD1", "readings": ["temperature"], "given_at": 1, "stored": 3, "stored_withdrawn": 1}


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def readings(script: Script) -> AsyncIterator[ReadingsApi]:
    async with ApiClient(ORIGIN, key=KEY, access_token="old", transport=httpx.MockTransport(script)) as client:
        yield ReadingsApi(client)


async def test_consent_is_read_and_set(script: Script, readings: ReadingsApi) -> None:
    script.answer(200, CONSENT)
    script.answer(200, CONSENT)
    assert (await readings.consent("AD1")).stored_withdrawn == 1
    await readings.set_consent("AD1", ["temperature"], erase=True)
    assert [request.method for request in script.requests] == ["GET", "PUT"]
    assert script.requests[1].url.path == "/api/devices/AD1/consent"
    assert json.loads(script.requests[1].content) == {"readings": ["temperature"], "erase": True}


async def test_pages_are_asked_for_until_there_are_enough_or_no_more(script: Script, readings: ReadingsApi) -> None:
    script.answer(200, {"readings": [READING] * 1000, "next": "1.2.3"})
    script.answer(200, {"readings": [READING] * 200, "next": "1.1.3"})
    assert len(await readings.newest("AD1", 1200)) == 1200
    script.answer(200, {"readings": [READING], "next": None})
    assert len(await readings.newest("AD1", 50)) == 1
    queries = [request.url.query.decode() for request in script.requests]
    assert queries == ["limit=1000", "limit=200&before=1.2.3", "limit=50"]


async def test_a_table_comes_with_the_nonce_that_the_server_wants(script: Script, readings: ReadingsApi) -> None:
    script.answer(401, {"code": "use_dpop_nonce"}, dpop_nonce="n1")
    script.answers.append(httpx.Response(200, content=b"name,value\r\na,1\r\n"))
    assert b"".join([piece async for piece in readings.table("AD1")]) == b"name,value\r\na,1\r\n"
    assert (script.requests[1].url.path, script.requests[1].headers["accept"]) == (
        "/api/devices/AD1/readings",
        "text/csv",
    )
    assert script.claims(1)["nonce"] == "n1"


async def test_a_refused_table_is_the_error_that_it_is(script: Script, readings: ReadingsApi) -> None:
    script.answer(403, {"code": "not_allowed", "detail": "Only an operator may do this."})
    with pytest.raises(errors.NotAllowed, match="operator"):
        await anext(readings.table(None))
    script.answers.append(httpx.ReadError("gone"))
    with pytest.raises(errors.Unreachable):
        await anext(readings.table(None))
    for _ in range(2):
        script.answer(401, {"code": "use_dpop_nonce"}, dpop_nonce="n")
    with pytest.raises(errors.AuthenticationFailed, match="clock"):
        await anext(readings.table(None))
