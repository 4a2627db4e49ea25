"""A stored login gets its next tokens by itself: once, whoever of its programs asks first."""

import asyncio
import json
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import msgspec
import pytest

from admittance.client.api import RENEW_BEFORE_S, ApiClient
from admittance.client.oauth.authorization_server import AuthorizationServer
from admittance.client.oauth.device_grant import DeviceGrant
from admittance.client.oauth.prover import Prover
from admittance.client.session_store import Session, SessionStore
from admittance.errors import AuthenticationFailed
from tests.unit.client.test_api import KEY, ORIGIN

NOW = 1_800_000_000


class Server:
    """Knows one refresh token at a time, and ends the login when another is shown."""

    def __init__(self) -> None:
        self.number = 0
        self.ended = False
        self.refreshes = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != "/oauth/token":
            good = request.headers["authorization"] == f"DPoP access-{self.number}"
            return httpx.Response(200, json={"networks": []}) if good else httpx.Response(401, json={})
        self.refreshes += 1
        form = parse_qs(request.content.decode())
        if self.ended or form["refresh_token"] != [f"refresh-{self.number}"]:
            self.ended = True
            return httpx.Response(400, json={"error": "invalid_grant", "code": "invalid_grant"})
        self.number += 1
        content = {
            "access_token": f"access-{self.number}",
            "refresh_token": f"refresh-{self.number}",
            "token_type": "DPoP",
            "expires_in": 600,
        }
        return httpx.Response(200, json=content)


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> SessionStore:
    made = SessionStore(tmp_path)
    made.save(
        Session(
            origin=ORIGIN,
            ca_pem=None,
            email="a@example.org",
            account_id="a",
            access_token="access-0",
            refresh_token="refresh-0",
            expires_at=NOW + 600,
        )
    )
    return made


def client_of(store: SessionStore, server: Server, clock: Clock) -> ApiClient:
    return ApiClient.of_store(store, transport=httpx.MockTransport(server), clock=clock)


async def test_a_token_that_ends_soon_is_renewed_and_kept(store: SessionStore) -> None:
    server, clock = Server(), Clock()
    async with client_of(store, server, clock) as client:
        clock.now += 600 - RENEW_BEFORE_S - 1
        await client.networks()
        assert server.refreshes == 0
        clock.now += 1
        await client.networks()
        await client.networks()
    assert server.refreshes == 1
    kept = store.load()
    assert (kept.access_token, kept.refresh_token) == ("access-1", "refresh-1")
    assert kept.expires_at == int(clock.now) + 600


async def test_programs_of_one_profile_take_turns(store: SessionStore) -> None:
    server, clock = Server(), Clock()
    clients = [client_of(store, server, clock) for _ in range(4)]
    clock.now += 590
    await asyncio.gather(*(client.networks() for client in clients))
    assert (server.refreshes, server.ended) == (1, False)
    for client in clients:
        await client.__aexit__()


async def test_a_login_that_has_ended_says_so(store: SessionStore) -> None:
    server, clock = Server(), Clock()
    store.save(msgspec.structs.replace(store.load(), refresh_token="refresh-9"))
    async with client_of(store, server, clock) as client:
        clock.now += 600
        with pytest.raises(AuthenticationFailed, match="admit account login"):
            await client.networks()


@pytest.mark.parametrize("refusal", ["access_denied", "expired_token"])
async def test_the_device_grant_asks_at_the_pace_that_the_server_wants(refusal: str) -> None:
    answers = ["authorization_pending", "slow_down", "authorization_pending", refusal]
    begun = {
        "device_code": "d",
        "user_code": "BCDF-GHJK",
        "verification_uri": f"{ORIGIN}/oauth/device",
        "expires_in": 600,
        "interval": 5,
    }
    waited: list[float] = []

    async def send(path: str, form: dict[str, str], _headers: dict[str, str]) -> httpx.Response:
        if path == "/oauth/device_authorization":
            return httpx.Response(200, content=json.dumps(begun))
        assert form["device_code"] == "d"
        error = answers.pop(0)
        return httpx.Response(400, json={"error": error, "code": error})

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    grant = DeviceGrant(AuthorizationServer(Prover(ORIGIN, KEY, lambda: NOW), send), sleep=sleep)
    with pytest.raises(AuthenticationFailed):
        await grant.finish(await grant.begin())
    assert waited == [5, 5, 10, 10]
