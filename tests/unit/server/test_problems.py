import json
from collections.abc import AsyncIterator

import pytest
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance import errors
from admittance.server import problems
from admittance.server.guard import PEOPLE_HEADERS, Guard

to_raise: list[Exception] = []


async def fail(_request: Request) -> Response:
    raise to_raise[-1]


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    app = Starlette(routes=[Route("/fail", fail)], exception_handlers=problems.handlers())
    transport = ASGITransport(Guard(app, "people", PEOPLE_HEADERS))
    async with AsyncClient(transport=transport, base_url="https://localhost") as client:
        yield client


def all_errors(root: type[errors.AdmittanceError]) -> list[type[errors.AdmittanceError]]:
    return [root, *(found for kind in root.__subclasses__() for found in all_errors(kind))]


@pytest.mark.parametrize("kind", all_errors(errors.Refused))
def test_every_refusal_is_a_client_error(kind: type[errors.AdmittanceError]) -> None:
    error = kind.__new__(kind)
    assert 400 <= problems.problem_for(error).status < 500


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.Malformed("no"), 400, "malformed"),
        (errors.AuthenticationFailed("no"), 401, "authentication_failed"),
        (errors.NotAllowed("no"), 403, "not_allowed"),
        (errors.NotFound("no"), 404, "not_found"),
        (errors.TicketUsed("no"), 409, "ticket_used"),
        (errors.TooLarge("no"), 413, "too_large"),
        (errors.WrongBinding("no"), 403, "wrong_binding"),
        (errors.Unavailable("no"), 503, "unavailable"),
    ],
)
async def test_error_becomes_its_problem(client: AsyncClient, error: Exception, status: int, code: str) -> None:
    to_raise.append(error)
    response = await client.get("/fail")
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert response.json() == {
        "type": f"urn:admittance:problem:{code}",
        "title": response.json()["title"],
        "status": status,
        "code": code,
        "detail": "no",
    }


@pytest.mark.parametrize(
    "error", [RuntimeError("internals"), errors.ConfigurationError("internals"), errors.Misuse("internals")]
)
async def test_what_is_not_the_callers_business_stays_inside(client: AsyncClient, error: Exception) -> None:
    to_raise.append(error)
    response = await client.get("/fail")
    assert response.status_code == 500
    assert response.json()["code"] == "internal"
    assert "internals" not in response.text


async def test_headers_tell_what_to_do_next(client: AsyncClient) -> None:
    to_raise.append(errors.Throttled(17))
    assert (await client.get("/fail")).headers["retry-after"] == "17"
    to_raise.append(errors.NonceRequired("fresh"))
    response = await client.get("/fail")
    assert response.headers["dpop-nonce"] == "fresh"
    assert response.headers["www-authenticate"] == 'DPoP error="use_dpop_nonce"'
    to_raise.append(errors.AuthenticationFailed("no"))
    assert (await client.get("/fail")).headers["www-authenticate"] == "DPoP"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("DELETE", "/fail", 405)])
async def test_unknown_routes_are_problems_too(client: AsyncClient, method: str, path: str, status: int) -> None:
    response = await client.request(method, path)
    assert response.status_code == status
    assert json.loads(response.content)["status"] == status
    assert response.headers["content-type"] == "application/problem+json"


async def test_every_answer_has_the_security_headers(client: AsyncClient) -> None:
    to_raise.append(RuntimeError())
    for path in ("/fail", "/nothing"):
        headers = (await client.get(path)).headers
        assert {name: headers[name] for name in PEOPLE_HEADERS} == PEOPLE_HEADERS
