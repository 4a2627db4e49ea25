"""A login in a browser: what comes back to the loopback address, and what else may come there."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from admittance.client.oauth.authorization_server import AuthorizationServer
from admittance.client.oauth.browser_login import BrowserLogin
from admittance.client.oauth.callback import MAX_HEAD_BYTES
from admittance.client.oauth.prover import Prover
from admittance.errors import AuthenticationFailed
from tests.unit.client.test_api import KEY, ORIGIN

NOW = 1_800_000_000
TOKENS = {"access_token": "a", "refresh_token": "r", "token_type": "DPoP", "expires_in": 600}


class Server:
    """Takes what is pushed, and knows one code."""

    def __init__(self) -> None:
        self.pushed: dict[str, str] = {}
        self.redeemed: dict[str, str] = {}

    async def send(self, path: str, form: dict[str, str], headers: dict[str, str]) -> httpx.Response:
        assert "dpop" in headers
        if path == "/oauth/par":
            self.pushed = form
            return httpx.Response(201, json={"request_uri": "urn:request:1", "expires_in": 60})
        self.redeemed = form
        return httpx.Response(200, json=TOKENS)


class Login:
    """A login that waits for its answer."""

    def __init__(self, server: Server, answer_s: float = 10.0) -> None:
        self.server = server
        self.shown: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        login = BrowserLogin(AuthorizationServer(Prover(ORIGIN, KEY, lambda: NOW), server.send), ORIGIN)
        self.tokens = asyncio.create_task(login.run(self.shown.set_result, answer_s=answer_s))

    def answer(self, **changes: str) -> dict[str, str]:
        """What the server sends the browser back with."""
        return {"code": "c", "state": self.server.pushed["state"], "iss": ORIGIN, **changes}

    async def visit(self, parameters: dict[str, str] | str, method: str = "GET", path: str = "") -> int:
        uri = urlsplit(self.server.pushed["redirect_uri"])
        async with httpx.AsyncClient(trust_env=False) as http:
            url = f"http://{uri.netloc}{path or uri.path}"
            return (await http.request(method, url, params=parameters)).status_code


@pytest.fixture
async def login() -> AsyncIterator[Login]:
    made = Login(Server())
    await made.shown
    yield made
    made.tokens.cancel()
    await asyncio.gather(made.tokens, return_exceptions=True)


async def test_the_code_is_redeemed_with_the_verifier_of_the_pushed_challenge(login: Login) -> None:
    assert await login.visit(login.answer()) == 200
    tokens, server = await login.tokens, login.server
    assert (tokens.access_token, tokens.refresh_token) == ("a", "r")
    assert (server.redeemed["code"], server.redeemed["redirect_uri"]) == ("c", server.pushed["redirect_uri"])
    assert server.pushed["code_challenge_method"] == "S256"
    assert len(server.redeemed["code_verifier"]) >= 43


async def test_the_address_tells_only_where_the_request_is(login: Login) -> None:
    shown = urlsplit(await login.shown)
    assert f"{shown.scheme}://{shown.netloc}{shown.path}" == f"{ORIGIN}/oauth/authorize"
    assert parse_qs(shown.query) == {"client_id": ["admittance-cli"], "request_uri": ["urn:request:1"]}


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "another"},
        {"state": ""},
        {"iss": "https://elsewhere.example"},
        {"iss": ""},
        {"error": "access_denied"},
    ],
)
async def test_an_answer_to_another_login_or_of_another_server_changes_nothing(
    login: Login, changes: dict[str, str]
) -> None:
    assert await login.visit(login.answer(**changes)) == 400
    assert not login.tokens.done()
    assert await login.visit(login.answer()) == 200
    assert (await login.tokens).access_token == "a"


async def test_other_visits_change_nothing(login: Login) -> None:
    good = login.answer()
    twice = f"{httpx.QueryParams(good)}&code=d"
    assert await login.visit(twice) == 400
    assert await login.visit(good, path="/") == 404
    assert await login.visit(good, method="POST") == 404
    uri = urlsplit(login.server.pushed["redirect_uri"])
    for sent in (b"", b"\0\xff\r\n\r\n", b"GET /callback?" + b"a" * 2 * MAX_HEAD_BYTES):
        _, writer = await asyncio.open_connection(uri.hostname, uri.port)
        writer.write(sent)
        writer.write_eof()
        writer.close()
        await writer.wait_closed()
    assert not login.tokens.done()
    assert await login.visit(good) == 200
    assert (await login.tokens).access_token == "a"


async def test_a_no_is_a_no(login: Login) -> None:
    state = login.server.pushed["state"]
    assert await login.visit({"error": "access_denied", "state": state, "iss": ORIGIN}) == 200
    with pytest.raises(AuthenticationFailed, match="access_denied"):
        await login.tokens
    assert login.server.redeemed == {}


async def test_nobody_answers() -> None:
    with pytest.raises(AuthenticationFailed, match="Nobody logged in"):
        await Login(Server(), answer_s=0.05).tokens
