"""ACE over HTTPS: tokens for constrained clients, introspection for devices."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from admittance.client.dpop import DpopKey
from admittance.errors import AuthenticationFailed, Malformed
from admittance.server.app import application
from admittance.server.enrolment.model import AuthenticatedDevice
from admittance.wire import ace, base64url, cbor
from admittance.wire.ace_introspection import INACTIVE, IntrospectionRequest
from admittance.wire.channel import PUT, Permission
from admittance.wire.cwt import KeyIdConfirmation, OscoreConfirmation
from tests.device_world import ORIGIN
from tests.logins import session_of
from tests.unit.server.grants.grant_world import HOUR_S, Household

ACE = {"content-type": "application/ace+cbor"}


@dataclass
class Client:
    """A constrained client that the guest let in, and the two listeners."""

    home: Household
    key: DpopKey
    token: str
    people: httpx.AsyncClient
    devices: httpx.AsyncClient
    nonce: str | None = None

    async def ask(self, content: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        for _ in range(2):
            proof = self.key.proof(
                method="POST",
                uri=f"{ORIGIN}/ace/token",
                now=self.home.world.clock(),
                nonce=self.nonce,
                access_token=self.token,
            )
            proven = {"authorization": f"DPoP {self.token}", "dpop": proof, **ACE, **(headers or {})}
            response = await self.people.post("/ace/token", content=content, headers=proven)
            if "dpop-nonce" not in response.headers:
                return response
            self.nonce = response.headers["dpop-nonce"]
        return response

    async def introspect(self, token: bytes) -> Any:
        content = IntrospectionRequest(token).encode()
        response = await self.devices.post("/ace/introspect", content=content, headers=ACE)
        assert response.status_code == 200
        return cbor.decode(response.content)


def error_of(response: httpx.Response) -> tuple[int, int]:
    assert response.headers["content-type"] == "application/ace+cbor"
    return response.status_code, ace.ErrorResponse.decode(response.content).error


@pytest.fixture
async def client(home: Household) -> Client:
    key = DpopKey.generate()
    _session, answer = await session_of(
        home.world.database, home.world.logins, home.guest.account_id, key, home.world.clock()
    )
    me = AuthenticatedDevice(home.device_id, home.owner.account_id, home.device.epoch, 60)

    async def device_of(request: Any) -> AuthenticatedDevice:
        if "x-stranger" in request.headers:
            raise AuthenticationFailed("no")
        return me if "x-other" not in request.headers else dataclasses.replace(me, device_id="AD" + "A" * 20)

    people = application(home.services.ace.people_routes())
    devices = application(home.services.ace.device_routes(device_of))
    return Client(
        home,
        key,
        answer.access_token,
        httpx.AsyncClient(transport=httpx.ASGITransport(people), base_url=ORIGIN),
        httpx.AsyncClient(transport=httpx.ASGITransport(devices), base_url=ORIGIN),
    )


def request(home: Household, **changes: Any) -> bytes:
    plain = ace.TokenRequest(audience=f"{ORIGIN}/d/{home.device_id}", scope=(Permission("/lock", PUT),))
    return dataclasses.replace(plain, **changes).encode()


async def test_a_constrained_client_gets_a_token_and_the_whole_key(home: Household, client: Client) -> None:
    await home.give()
    response = await client.ask(request(home))
    assert (response.status_code, response.headers["content-type"]) == (201, "application/ace+cbor")
    answer = ace.TokenResponse.decode(response.content)
    (key,) = home.lock.keys.values()
    assert answer.confirmation == OscoreConfirmation(key.token, key.master_secret)
    assert (answer.access_token, answer.expires_in_s) == (key.token, HOUR_S)
    assert (answer.token_type, answer.profile, answer.scope) == (ace.PROOF_OF_POSSESSION, ace.COAP_OSCORE, "")
    assert key.scope == (Permission("/lock", PUT),)


async def test_the_scope_is_aif_or_text_or_all_that_was_granted(home: Household, client: Client) -> None:
    await home.give("PUT /lock", "GET /lock")
    texts = ace.TokenResponse.decode((await client.ask(request(home, scope="PUT:/lock"))).content)
    assert texts.scope == ""
    whole = ace.TokenResponse.decode((await client.ask(request(home, scope=""))).content)
    assert whole.scope == (Permission("/lock", 5),)


async def test_refusals_are_those_of_rfc_9200(home: Household, client: Client) -> None:
    assert error_of(await client.ask(request(home))) == (400, ace.INVALID_GRANT)
    await home.give("GET /lock")
    assert error_of(await client.ask(request(home))) == (400, ace.INVALID_SCOPE)
    for wrong in (
        {"audience": "https://other.example/d/x"},
        {"audience": ""},
        {"client_secret": b"x"},
        {"cnonce": b"12345678"},
    ):
        assert error_of(await client.ask(request(home, **wrong))) == (400, ace.INVALID_REQUEST)
    wrong_key = request(home, confirmation=KeyIdConfirmation(b"kid"))
    assert error_of(await client.ask(wrong_key)) == (400, ace.UNSUPPORTED_POP_KEY)
    assert error_of(await client.ask(request(home, grant_type=3))) == (400, ace.UNSUPPORTED_GRANT_TYPE)
    assert error_of(await client.ask(b"\xff")) == (400, ace.INVALID_REQUEST)
    assert error_of(await client.ask(request(home), {"content-type": "application/cbor"})) == (
        400,
        ace.INVALID_REQUEST,
    )
    client.token = "stolen"
    assert error_of(await client.ask(request(home))) == (401, ace.INVALID_CLIENT)


async def test_a_device_introspects_its_own_tokens_alone(home: Household, client: Client) -> None:
    grant = await home.give()
    token = ace.TokenResponse.decode((await client.ask(request(home))).content).access_token
    found = await client.introspect(token)
    assert found == {
        3: f"{ORIGIN}/d/{home.device_id}",
        4: home.now + HOUR_S,
        5: home.now - 60,
        7: token,
        9: cbor.encode([["/lock", PUT]]),
        10: True,
        24: "admittance-cli",
        34: 2,
        38: 2,
    }
    inactive = cbor.decode(INACTIVE)
    assert await client.introspect(b"x" * 16) == inactive
    client.devices.headers["x-other"] = "1"
    assert await client.introspect(token) == inactive
    del client.devices.headers["x-other"]
    await home.services.grants.revoke(home.owner, grant.grant_id)
    assert await client.introspect(token) == inactive
    refused = await client.devices.post(
        "/ace/introspect", content=IntrospectionRequest(token).encode(), headers={**ACE, "x-stranger": "1"}
    )
    assert error_of(refused) == (401, ace.INVALID_CLIENT)


async def test_a_token_is_inactive_once_it_expired(home: Household, client: Client) -> None:
    await home.give()
    token = base64url.decode((await home.token()).access_token)
    home.world.clock.pass_s(HOUR_S)
    assert await client.introspect(token) == cbor.decode(INACTIVE)


@pytest.mark.parametrize("data", [b"\xa0", b"\x80", b"\xa1\x0b\x60", b"\xa1\x0b\x40", b"\xa2\x0a\xf5\x0b\x41\x00"])
def test_what_is_no_introspection_request_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        IntrospectionRequest.decode(data)


def test_an_introspection_request_is_that_of_rfc_9200() -> None:
    """The example of section 5.9.1, with its values for their names."""
    token = bytes.fromhex("7c6f6d650102030405")
    data = cbor.encode({11: token, 33: "PoP"})
    assert IntrospectionRequest.decode(data) == IntrospectionRequest(token)
