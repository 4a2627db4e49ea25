"""The API client against a scripted server: nonces, errors, paths; and what it does with odd answers."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws

from admittance import errors
from admittance.client.api import ApiClient
from admittance.client.api_problems import error_of
from admittance.client.dpop import DpopKey

ORIGIN = "https://admittance.example"
KEY = DpopKey.generate()
TOKENS = {"access_token": "t", "refresh_token": "r", "token_type": "DPoP", "expires_in": 60}


class Script:
    """Answers in order, and keeps the requests."""

    def __init__(self) -> None:
        self.answers: list[httpx.Response | Exception] = []
        self.requests: list[httpx.Request] = []

    def answer(self, status: int, content: Any = None, **headers: str) -> None:
        self.answers.append(
            httpx.Response(status, json=content, headers={name.replace("_", "-"): v for name, v in headers.items()})
        )

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def claims(self, index: int) -> dict[str, Any]:
        proof = jws.extract_compact(self.requests[index].headers["dpop"].encode())
        claims: dict[str, Any] = json.loads(proof.payload)
        return claims


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def client(script: Script) -> AsyncIterator[ApiClient]:
    async with ApiClient(ORIGIN, key=KEY, access_token="old", transport=httpx.MockTransport(script)) as made:
        yield made


async def test_the_servers_nonce_is_carried_at_once_and_from_then_on(script: Script, client: ApiClient) -> None:
    script.answer(401, {"code": "use_dpop_nonce"}, dpop_nonce="n1")
    script.answer(200, {"networks": []}, dpop_nonce="n2")
    script.answer(200, {"networks": []})
    await client.networks()
    await client.networks()
    assert [script.claims(index).get("nonce") for index in range(3)] == [None, "n1", "n2"]
    assert len({script.claims(index)["jti"] for index in range(3)}) == 3


async def test_a_server_that_asks_for_nonces_for_ever_is_left(script: Script, client: ApiClient) -> None:
    for _ in range(2):
        script.answer(401, {"code": "use_dpop_nonce"}, dpop_nonce="n")
    with pytest.raises(errors.AuthenticationFailed, match="clock"):
        await client.networks()


async def test_a_login_carries_no_token_and_later_requests_the_new_one(script: Script, client: ApiClient) -> None:
    script.answer(200, {"authorization_code": "c"})
    script.answer(200, TOKENS)
    script.answer(200, {"networks": []})
    script.answer(200)
    await client.login("a@example.org", "a password")
    await client.networks()
    await client.logout()
    for index in (0, 1, 3):
        assert "authorization" not in script.requests[index].headers
        assert "ath" not in script.claims(index)
    assert script.requests[2].headers["authorization"] == "DPoP t"
    assert "ath" in script.claims(2)
    assert b"token=r" in script.requests[3].content


async def test_accepting_an_invite_needs_no_proof(script: Script, client: ApiClient) -> None:
    script.answer(201, {"account_id": "a", "email": "a@example.org"})
    await client.accept_invite("s", email="a@example.org", password="p", display_name="A")
    assert "dpop" not in script.requests[0].headers
    assert "authorization" not in script.requests[0].headers


async def test_names_cannot_leave_their_place_in_the_path(script: Script, client: ApiClient) -> None:
    script.answer(204)
    await client.remove_network("../account?x#y")
    assert script.requests[0].url.raw_path == b"/api/networks/..%2Faccount%3Fx%23y"
    assert script.claims(0)["htu"] == f"{ORIGIN}/api/networks/..%2Faccount%3Fx%23y"


async def test_the_query_is_no_part_of_the_proof(script: Script, client: ApiClient) -> None:
    script.answer(200, {"devices": []})
    assert await client.devices(everyones=True) == []
    assert str(script.requests[0].url) == f"{ORIGIN}/api/devices?all=1"
    assert script.claims(0)["htu"] == f"{ORIGIN}/api/devices"


DEVICE = {
    "device_id": "AD7",
    "model": "m",
    "display_name": "M",
    "state": "active",
    "assurance": "listed",
    "epoch": 1,
    "activated_at": 1,
    "last_seen_at": None,
    "certificate": {"serial": "01", "not_after_at": 2},
    "new_in_a_later_release": True,
}
CHALLENGE = {"challenge": "AA", "expires_at": 1}
SETUP = {
    **CHALLENGE,
    "device_id": "AD7",
    "model": "m",
    "display_name": "M",
    "presence": "button",
    "access_point": {"ssid": "s", "passphrase": "p"},
}
ACTIVATION = {"device_id": "AD7", "purpose": "activate", "epoch": 1, "sequence": 1, "sealed": "AA", "expires_at": 1}
BYTES = {"challenge": b"c", "evidence": b"e", "binding": b"b", "transaction_id": b"t"}
Call = Callable[[ApiClient], Any]


@pytest.mark.parametrize(
    ("call", "answer", "method", "path", "sent"),
    [
        (lambda c: c.device("AD7"), DEVICE, "GET", "/api/devices/AD7", None),
        (lambda c: c.revoke("AD7", "lost"), DEVICE, "POST", "/api/devices/AD7/revoke", {"reason": "lost"}),
        (lambda c: c.release("AD7"), DEVICE, "POST", "/api/devices/AD7/release", None),
        (lambda c: c.challenge(), CHALLENGE, "POST", "/api/challenges", {"purpose": "provision"}),
        (
            lambda c: c.challenge("AD7"),
            CHALLENGE,
            "POST",
            "/api/challenges",
            {"purpose": "provision", "device_id": "AD7"},
        ),
        (lambda c: c.setup("AD7"), SETUP, "POST", "/d/AD7", None),
        (
            lambda c: c.presence_code(challenge=b"c", device_id="AD7", window_nonce=b"w"),
            {"username": "u", "code": "c"},
            "POST",
            "/api/presence-codes",
            {"challenge": "Yw", "device_id": "AD7", "window_nonce": "dw"},
        ),
        (
            lambda c: c.activate(**BYTES),
            ACTIVATION,
            "POST",
            "/api/activations",
            {
                "challenge": "Yw",
                "evidence": "ZQ",
                "binding": "Yg",
                "transaction_id": "dA",
                "network": {"mode": "app"},
            },
        ),
        (
            lambda c: c.activate(**BYTES, network_name="home", app_key=b"k"),
            ACTIVATION,
            "POST",
            "/api/activations",
            {
                "challenge": "Yw",
                "evidence": "ZQ",
                "binding": "Yg",
                "transaction_id": "dA",
                "network": {"mode": "server", "name": "home", "app_key": "aw"},
            },
        ),
        (lambda c: c.models(), {"models": []}, "GET", "/api/models", None),
        (
            lambda c: c.create_invite("a@example.org", operator=True),
            {"link": "l", "expires_at": 1},
            "POST",
            "/api/invites",
            {"email": "a@example.org", "operator": True, "quota": None},
        ),
        (
            lambda c: c.discover(),
            {"origin": ORIGIN, "configuration_root": "AA", "manifest_key": "AA"},
            "GET",
            "/.well-known/admittance",
            None,
        ),
        (lambda c: c.request("POST", "/api/new", {"a": 1}), {"b": 2}, "POST", "/api/new", {"a": 1}),
    ],
)
async def test_each_route_is_called_as_the_api_has_it(
    script: Script, client: ApiClient, call: Call, answer: Any, method: str, path: str, sent: Any
) -> None:
    script.answer(200, answer)
    await call(client)
    (request,) = script.requests
    assert (request.method, request.url.raw_path.decode()) == (method, path)
    assert (json.loads(request.content) if request.content else None) == sent


@pytest.mark.parametrize(
    ("status", "problem", "expected"),
    [
        (401, {"code": "authentication_failed", "detail": "no"}, errors.AuthenticationFailed),
        (403, {"code": "not_allowed", "detail": "no"}, errors.NotAllowed),
        (409, {"code": "ticket_used", "detail": "no"}, errors.TicketUsed),
        (400, {"code": "malformed", "detail": "no"}, errors.Malformed),
        (403, {"code": "wrong_binding", "detail": "no"}, errors.WrongBinding),
        (503, {"code": "unavailable", "detail": "no"}, errors.Unavailable),
        (500, {"code": "internal", "detail": "no"}, errors.Unavailable),
        (418, {"code": "from_the_future", "detail": "no"}, errors.Refused),
        (302, {"code": "", "detail": "no"}, errors.Refused),
    ],
)
async def test_a_problem_is_raised_as_the_error_that_it_is(
    script: Script, client: ApiClient, status: int, problem: Any, expected: type[Exception]
) -> None:
    script.answer(status, problem)
    with pytest.raises(expected) as caught:
        await client.networks()
    assert caught.type is expected
    assert str(caught.value) == "no"


async def test_a_throttle_tells_how_long_to_wait(script: Script, client: ApiClient) -> None:
    script.answer(429, {"code": "throttled", "detail": "wait"}, retry_after="17")
    with pytest.raises(errors.Throttled) as caught:
        await client.networks()
    assert caught.value.retry_after_s == 17


async def test_a_dead_server_is_unreachable(script: Script, client: ApiClient) -> None:
    script.answers.append(httpx.ConnectError("no route"))
    with pytest.raises(errors.Unreachable):
        await client.networks()


@pytest.mark.parametrize("content", [None, [], {}, {"networks": 5}, {"networks": [{"name": 1}]}])
async def test_an_answer_that_is_none_is_malformed(script: Script, client: ApiClient, content: Any) -> None:
    script.answer(200, content)
    with pytest.raises(errors.Malformed):
        await client.networks()


def test_the_servers_words_cannot_steer_the_terminal() -> None:
    error = error_of(httpx.Response(403, json={"code": "refused", "detail": "\x1b[2Jgone\r\n" + "x" * 1000}))
    assert str(error).startswith(" [2Jgone  xxx")
    assert len(str(error)) == 500


@given(
    status=st.integers(400, 599), content=st.binary(max_size=200), retry_after=st.text("0123456789ab-", max_size=9)
)
def test_no_problem_document_breaks_the_client(status: int, content: bytes, retry_after: str) -> None:
    error = error_of(httpx.Response(status, content=content, headers={"retry-after": retry_after}))
    assert isinstance(error, errors.AdmittanceError)
