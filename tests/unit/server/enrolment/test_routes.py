"""The routes of the three listeners, from setup code to revocation."""

import os
import ssl
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.types import ASGIApp, Receive, Scope, Send

from admittance.client.api import ApiClient
from admittance.client.dpop import DpopKey
from admittance.errors import AuthenticationFailed
from admittance.server.access import assembly as access_services
from admittance.server.accounts import routes as account_routes
from admittance.server.accounts import service as account_service
from admittance.server.accounts.passwords import PasswordHashes
from admittance.server.app import application
from admittance.server.database import Database
from admittance.wire import base64url, message
from admittance.wire.device_id import device_id
from admittance.wire.enrolment import DeviceStatus, Enrolled, Nonce, NonceRequest
from tests.device_world import MODELS, ORIGIN, World

PASSWORD = "seven grey herons at dusk"
CBOR = {"content-type": "application/cbor"}


class TlsShim:
    """Gives the application the client certificate that TLS would have proved."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.certificate: bytes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        chain = [] if self.certificate is None else [ssl.DER_cert_to_PEM_cert(self.certificate)]
        await self.app({**scope, "extensions": {"tls": {"client_cert_chain": chain}}}, receive, send)


class Listeners:
    def __init__(self, world: World) -> None:
        foundation = world.foundation
        ground = access_services.ground_of(foundation)
        logins = access_services.login_services(ground)
        self.accounts = account_service.build(
            database=foundation.database,
            clock=foundation.clock,
            audit=foundation.audit_log,
            envelope=foundation.envelope,
            origin=ORIGIN,
            code_key=foundation.keystore.code_key,
            dpop_nonce_key=foundation.keystore.dpop_nonce_key,
            default_quota=5,
            sessions=logins.sessions,
            hashes=PasswordHashes(memory_kib=64, passes=1),
        )
        people = [
            *account_routes.routes(self.accounts, origin=ORIGIN, count_devices=world.services.fleet.count),
            *access_services.build(ground, self.accounts, logins).people_routes,
            *world.services.people_routes(self.accounts),
        ]
        self.people = httpx.ASGITransport(application(people))
        self.first_contact = client(application(world.services.first_contact_routes()))
        self.shim = TlsShim(application(world.services.device_routes()))
        self.device = client(self.shim)


def client(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN)


@pytest.fixture
def world(sqlite_database: Database, tmp_path: Path) -> World:
    return World(sqlite_database, tmp_path)


@pytest.fixture
def listeners(world: World) -> Listeners:
    return Listeners(world)


async def logged_in(world: World, listeners: Listeners, email: str) -> ApiClient:
    invite = await listeners.accounts.invites.create(email=email, operator=False, quota=None, actor="operator")
    await listeners.accounts.invites.accept(
        secret=invite.secret, email=email, password=PASSWORD, display_name="Ann", source="192.0.2.1"
    )
    app = ApiClient(ORIGIN, key=DpopKey.generate(), transport=listeners.people, clock=world.clock)
    await app.login(email, PASSWORD)
    return app


async def test_the_page_of_a_setup_code_is_the_same_for_every_id(world: World, listeners: Listeners) -> None:
    known = world.device("lock")
    await world.take(known)
    browser = httpx.AsyncClient(transport=listeners.people, base_url=ORIGIN)
    pages = [await browser.get(f"/d/{each}") for each in (known.device_id, device_id(b"nobody"), "rubbish")]
    assert {page.status_code for page in pages} == {200}
    assert len({page.content for page in pages}) == 1
    assert len({str(page.headers) for page in pages}) == 1
    assert b"<script" not in pages[0].content
    assert (await browser.get("/manual")).status_code == 200


async def test_nothing_of_the_people_api_answers_without_a_login(world: World, listeners: Listeners) -> None:
    browser = httpx.AsyncClient(transport=listeners.people, base_url=ORIGIN)
    known = world.device("lock")
    await world.take(known)
    for method, path in (
        ("POST", f"/d/{known.device_id}"),
        ("GET", "/api/models"),
        ("POST", "/api/challenges"),
        ("POST", "/api/presence-codes"),
        ("POST", "/api/activations"),
        ("GET", "/api/devices"),
        ("GET", f"/api/devices/{known.device_id}"),
        ("POST", f"/api/devices/{known.device_id}/revoke"),
        ("POST", f"/api/devices/{known.device_id}/release"),
    ):
        assert (await browser.request(method, path, json={})).status_code == 401, path


async def test_a_device_goes_from_its_setup_code_to_its_revocation(world: World, listeners: Listeners) -> None:
    device = world.device("lock", "symmetric")
    await world.take(device)
    app = await logged_in(world, listeners, "ann@example.org")
    assert sorted(model.model for model in await app.models()) == sorted(MODELS)
    setup = await app.setup(device.device_id)
    assert setup.access_point.passphrase == device.secrets.access_point_passphrase
    challenge = base64url.decode(setup.challenge)
    code = await app.presence_code(challenge=challenge, device_id=device.device_id, window_nonce=b"w" * 16)
    assert code.code
    await app.put_network("home", ssid="Home", passphrase="correct horse battery")
    binding = os.urandom(32)
    wanted = {
        "challenge": challenge,
        "evidence": device.evidence(challenge, binding),
        "binding": binding,
        "transaction_id": b"t" * 16,
        "network_name": "home",
        "app_key": os.urandom(32),
    }
    activation = await app.activate(**wanted)
    assert (await app.activate(**wanted)) == activation
    opened = device.open(base64url.decode(activation.sealed), world.root_spki_sha256)
    assert opened.configuration.network

    asked = message.encode(NonceRequest(device.device_id))
    answer = await listeners.first_contact.post("/enrolment/nonce", content=asked, headers=CBOR)
    nonce = message.decode(answer.content, Nonce).nonce
    request = device.enrolment(ec.generate_private_key(ec.SECP256R1()), nonce, opened.configuration.ticket)
    answer = await listeners.first_contact.post("/enrolment/requests", content=request, headers=CBOR)
    assert answer.status_code == 201
    enrolled = message.decode(answer.content, Enrolled)
    assert len(enrolled.chain) == 2
    assert (await listeners.first_contact.get("/enrolment/reachable")).status_code == 204

    assert (await listeners.device.get("/device/status")).status_code == 401
    listeners.shim.certificate = enrolled.chain[0]
    status = message.decode((await listeners.device.get("/device/status")).content, DeviceStatus)
    assert (status.device_id, status.epoch) == (device.device_id, 1)
    [shown] = await app.devices()
    assert shown.state == "active"
    assert shown.certificate is not None
    in_full = await app.request("GET", f"/api/devices/{device.device_id}")
    assert in_full["enrolment"]["by"] == "ticket"

    assert (await app.revoke(device.device_id, "lost")).state == "revoked"
    refused = await listeners.device.get("/device/status")
    assert (refused.status_code, refused.json()["code"]) == (401, "authentication_failed")
    crl = await listeners.first_contact.get("/crl")
    assert crl.headers["content-type"] == "application/pkix-crl"


async def test_a_nonce_is_given_for_unknown_devices_too_and_junk_is_malformed(listeners: Listeners) -> None:
    asked = message.encode(NonceRequest(device_id(b"nobody")))
    assert (await listeners.first_contact.post("/enrolment/nonce", content=asked, headers=CBOR)).status_code == 200
    for path in ("/enrolment/nonce", "/enrolment/requests", "/enrolment/resets"):
        assert (await listeners.first_contact.post(path, content=b"junk", headers=CBOR)).status_code == 400
        assert (await listeners.first_contact.post(path, content=asked)).status_code == 400


async def test_another_clients_token_is_of_no_use(world: World, listeners: Listeners) -> None:
    app = await logged_in(world, listeners, "ann@example.org")
    token = (await app.login("ann@example.org", PASSWORD)).access_token
    thief = ApiClient(
        ORIGIN, key=DpopKey.generate(), access_token=token, transport=listeners.people, clock=world.clock
    )
    with pytest.raises(AuthenticationFailed):
        await thief.devices()
