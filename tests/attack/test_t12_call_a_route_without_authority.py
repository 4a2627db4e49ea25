"""T12. Means: every route of every listener; no authority, one that has ended, or that of somebody else. Goal: read,
change, delete, register or halt anything.

`AUTHORITY` says of each route who may call it. It is held against the routing tables of the server's applications, so
that a new route fails here until somebody has decided.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio
from starlette.routing import Route

from admittance.protocol.enrolment import build_request, build_reset_report
from admittance.server.app import build
from admittance.server.config import load_config
from admittance.server.guard import Guard
from admittance.wire import base64url, message
from admittance.wire.enrolment import NonceRequest
from tests.attack.site import CBOR, ON_SQLITE, Enrolment, Login, Row, Site, code_of, invented, new_key
from tests.device_world import FakeDevice

pytestmark = pytest.mark.asyncio(loop_scope="session")

ANYBODY = "anybody"
PASSWORD = "an account's password"
INVITE = "an invite's secret"
ACCOUNT = "any account, for itself"
OWNER = "the device's owner, or an operator"
OPERATOR = "an operator"
IDENTITY = "the device's identity key"
CERTIFICATE = "the device's certificate"

AUTHORITY = {
    ("people", "GET", "/healthz"): ANYBODY,
    ("people", "GET", "/.well-known/admittance"): ANYBODY,
    ("people", "POST", "/api/invites"): OPERATOR,
    ("people", "POST", "/api/invites/accept"): INVITE,
    ("people", "POST", "/api/tokens"): PASSWORD,
    ("people", "DELETE", "/api/tokens/current"): ACCOUNT,
    ("people", "GET", "/api/account"): ACCOUNT,
    ("people", "GET", "/api/networks"): ACCOUNT,
    ("people", "PUT", "/api/networks/{name}"): ACCOUNT,
    ("people", "DELETE", "/api/networks/{name}"): ACCOUNT,
    ("people", "GET", "/api/models"): ACCOUNT,
    ("people", "POST", "/api/presence-codes"): ACCOUNT,
    ("people", "POST", "/api/challenges"): ACCOUNT,
    ("people", "POST", "/api/activations"): ACCOUNT,
    ("people", "GET", "/api/devices"): ACCOUNT,
    ("people", "GET", "/api/devices/{device_id}"): OWNER,
    ("people", "POST", "/api/devices/{device_id}/revoke"): OWNER,
    ("people", "POST", "/api/devices/{device_id}/release"): OWNER,
    ("people", "GET", "/d/{device_id}"): ANYBODY,
    ("people", "POST", "/d/{device_id}"): ACCOUNT,
    ("people", "GET", "/crl"): ANYBODY,
    ("first_contact", "POST", "/enrolment/nonce"): ANYBODY,
    ("first_contact", "POST", "/enrolment/requests"): IDENTITY,
    ("first_contact", "POST", "/enrolment/resets"): IDENTITY,
    ("first_contact", "GET", "/enrolment/reachable"): ANYBODY,
    ("first_contact", "GET", "/crl"): ANYBODY,
    ("device", "GET", "/device/status"): CERTIFICATE,
}
PAGES = {("people", "GET", path): ANYBODY for path in ("/invite", "/manual", "/static/invite.js", "/static/page.css")}

NOTED = frozenset({"proofs_seen", "login_throttles"})
"""Tables in which the server notes that it was asked."""

REFUSALS = frozenset({"activation.refused", "enrolment.refused", "login.refused"})
"""What the audit log may tell of an attack."""

OwnKey = tuple[str, str, str]


@dataclass
class Scene:
    """An owner with a device and a network, and a stranger with a device."""

    site: Site
    owner: Login
    device: FakeDevice
    certificate: Enrolment
    stranger: Login
    other: FakeDevice
    other_certificate: Enrolment
    ended: Login

    def path(self, route: str) -> str:
        """The route's path, naming what is the owner's."""
        return route.format(device_id=self.device.device_id, name="home")

    async def content(self, route: str, login: Login) -> dict[str, object] | None:
        """A body that would do harm if `login` had the authority."""
        match route:
            case "/api/invites":
                return {"email": "accomplice@example.org", "operator": True, "quota": 10**6}
            case "/api/devices/{device_id}/revoke":
                return {"reason": "mine now"}
            case "/api/networks/{name}":
                return {"ssid": "Evil twin", "passphrase": "correct horse"}
            case "/api/challenges":
                return {"purpose": "provision", "device_id": self.device.device_id}
            case "/api/presence-codes":
                return {
                    "challenge": base64url.encode(os.urandom(32)),
                    "device_id": self.device.device_id,
                    "window_nonce": base64url.encode(os.urandom(16)),
                }
            case "/api/activations":
                return await self.site.evidence(self.stranger, self.device)
            case "/api/tokens":
                return {"email": self.owner.email, "password": "correct horse battery staple"}
            case "/api/invites/accept":
                secret = base64url.encode(os.urandom(32))
                name = {"email": self.owner.email, "password": "W7-long-and-unusual", "display_name": "Eve"}
                return {"secret": secret, **name}
        return None

    async def kept(self) -> set[Row]:
        """All rows but the server's notes, and what belongs to the stranger alone."""
        own = {self.stranger.account_id, f"account:{self.stranger.account_id}"}
        rows = await self.site.rows()
        return {
            (table, row)
            for table, row in rows
            if table not in NOTED and not (own.intersection(map(_text, row)) and self.device.registry_key not in row)
        }

    async def assert_unchanged(self, before: set[Row]) -> None:
        """Nothing is gone, and nothing came but notes of refusals in the audit log."""
        after = await self.kept()
        assert before - after == set()
        assert {(table, row) for table, row in after - before if table != "audit" or row[2] not in REFUSALS} == set()

    def is_about_the_owner(self, answer: httpx.Response) -> bool:
        """Whether an answer holds something that only the owner may know."""
        secret = (
            self.owner.account_id,
            self.owner.email,
            "Owners-Wi-Fi",
            self.device.secrets.access_point_passphrase,
            f"{self.certificate.certificate.serial_number:x}",
        )
        return any(word in answer.text for word in secret)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def scene(site: Site) -> AsyncIterator[Scene]:
    owner, stranger, ended = [await site.account(name) for name in ("owner", "stranger", "leaver")]
    device, other = site.take(), site.take()
    certificate, other_certificate = await site.onboard(owner, device), await site.onboard(stranger, other)
    network = {"ssid": "Owners-Wi-Fi", "passphrase": "correct horse"}
    await owner.ask("PUT", "/api/networks/home", network)
    await ended.ask("DELETE", "/api/tokens/current")
    # The stranger names networks of its own alike.
    await stranger.ask("PUT", "/api/networks/home", {"ssid": "Mine", "passphrase": "correct horse"})
    yield Scene(site, owner, device, certificate, stranger, other, other_certificate, ended)


def _routes(site: Site) -> dict[str, list[Route]]:
    """The routes of each listener of the server that runs, from its own configuration."""
    server = build(load_config(site.stage.config))
    found: dict[str, list[Route]] = {}
    for secured in server._secured:
        for listener in secured.listeners:
            assert isinstance(listener.application, Guard)
            routes = listener.application._application._application.routes
            assert all(isinstance(route, Route) for route in routes), "Mounts and others must be looked into, too."
            found[listener.name] = routes
    asyncio.get_running_loop().create_task(server.foundation.close())
    return found


@ON_SQLITE
async def test_every_route_names_its_authority(site: Site) -> None:
    found = {
        (listener, method, route.path)
        for listener, routes in _routes(site).items()
        for route in routes
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert found - {*AUTHORITY, *PAGES} == set(), "Say in AUTHORITY who may call these routes."
    assert {*AUTHORITY, *PAGES} - found == set(), "These routes are gone."


def _table(*authorities: str) -> list[OwnKey]:
    return [route for route, authority in AUTHORITY.items() if authority in authorities]


@ON_SQLITE
@pytest.mark.parametrize("route", _table(ACCOUNT, OWNER, OPERATOR), ids=lambda route: " ".join(route[1:]))
async def test_nobody_calls_an_accounts_route(scene: Scene, route: OwnKey) -> None:
    site, (_, method, template) = scene.site, route
    path, content = scene.path(template), await scene.content(template, scene.stranger)
    before = await scene.kept()
    bodies = [content, None, {}] if method != "GET" else [None]
    attempts = [
        {},
        {"authorization": "DPoP"},
        {"authorization": f"Bearer {scene.owner.token}"},
        {"authorization": "Basic b3BlcmF0b3I6b3BlcmF0b3I="},
        {"authorization": f"DPoP {scene.owner.token}"},
        {"authorization": f"DPoP {'0' * 43}", "dpop": "a.b.c"},
        {"cookie": f"session={scene.owner.token}", "x-forwarded-user": scene.owner.email, "x-account": "operator"},
    ]
    for headers in attempts:
        for body in bodies:
            sent = {} if body is None else {"json": body}
            answer = await site.attacker.request(method, path, headers=headers, **sent)
            assert (answer.status_code, code_of(answer)) == (401, "authentication_failed")
    ended = await scene.ended.send(method, path, content)
    assert (ended.status_code, code_of(ended)) == (401, "authentication_failed")
    with_certificate = site.as_device(scene.certificate.key, scene.certificate.chain, site.stage.ports.people)
    assert (await with_certificate.request(method, path)).status_code == 401
    await scene.assert_unchanged(before)


@ON_SQLITE
@pytest.mark.parametrize("route", _table(ACCOUNT, OWNER, OPERATOR), ids=lambda route: " ".join(route[1:]))
async def test_another_account_touches_nothing(scene: Scene, route: OwnKey) -> None:
    _, method, template = route
    if template == "/api/tokens/current":
        login = Login(
            scene.site.origin,
            scene.site.attacker,
            scene.stranger.account_id,
            scene.stranger.email,
            scene.owner.token,
            scene.stranger.private_key,
        )
        assert (await login.send(method, template)).status_code == 401
        assert (await scene.owner.send("GET", "/api/account")).status_code == 200
        return
    content = await scene.content(template, scene.stranger)
    before = await scene.kept()
    query = "?all=1" if template == "/api/devices" else ""
    for path in {scene.path(template), scene.path(template) + query}:
        answer = await scene.stranger.send(method, path, content)
        assert answer.status_code < 500
        if AUTHORITY[route] == OPERATOR or path.endswith("?all=1"):
            assert (answer.status_code, code_of(answer)) == (403, "not_allowed")
        elif AUTHORITY[route] == OWNER:
            assert (answer.status_code, code_of(answer)) == (404, "not_found")
        elif template == "/api/activations":
            assert code_of(answer) == "conflict"
        assert not scene.is_about_the_owner(answer)
    await scene.assert_unchanged(before)
    if method == "DELETE":
        await scene.stranger.ask("PUT", "/api/networks/home", {"ssid": "Mine", "passphrase": "correct horse"})


@ON_SQLITE
@pytest.mark.parametrize("route", _table(OWNER), ids=lambda route: " ".join(route[1:]))
async def test_a_device_of_ones_own_account_that_does_not_exist_looks_alike(scene: Scene, route: OwnKey) -> None:
    """So that nobody learns which devices exist."""
    _, method, template = route
    content = await scene.content(template, scene.stranger)
    known = await scene.stranger.send(method, scene.path(template), content)
    unknown = await scene.stranger.send(method, template.format(device_id=invented().device_id), content)
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)


@ON_SQLITE
async def test_no_password_and_no_invite_open_nothing(scene: Scene) -> None:
    before = await scene.kept()
    for template in ("/api/tokens", "/api/invites/accept"):
        content = await scene.content(template, scene.stranger)
        for body in (content, {}, None, {**(content or {}), "operator": True}):
            sent = {} if body is None else {"json": body}
            answer = await scene.site.attacker.post(template, **sent)
            assert answer.status_code in (400, 401, 404), answer.text
            assert not scene.is_about_the_owner(answer)
    login = Login(scene.site.origin, scene.site.attacker, "", "", "none", new_key())
    guessed = await login.send("POST", "/api/tokens", await scene.content("/api/tokens", login))
    assert guessed.status_code == 401
    await scene.assert_unchanged(before)


@ON_SQLITE
@pytest.mark.parametrize("route", _table(IDENTITY), ids=lambda route: " ".join(route[1:]))
async def test_no_other_identity_speaks_for_a_device(scene: Scene, route: OwnKey) -> None:
    site, device, template = scene.site, scene.device, route[2]
    before = await scene.kept()
    for attacker in (scene.other, invented(), site.certified()):
        named = {"nonce": await site.nonce(device.device_id), "device_id": device.device_id, "epoch": device.epoch}
        for signed in (
            build_request(attacker.identity, new_key(), **named),
            build_reset_report(attacker.identity, resets=7, **named),
        ):
            answer = await site.device_side.post(template, content=signed, headers=CBOR)
            assert answer.status_code in (400, 401), answer.text
    for rubbish in (b"", b"\x80", os.urandom(64), message.encode(NonceRequest(device.device_id))):
        assert (await site.device_side.post(template, content=rubbish, headers=CBOR)).status_code == 400
    await scene.assert_unchanged(before)


@ON_SQLITE
async def test_no_other_certificate_reads_a_devices_status(scene: Scene) -> None:
    site, before = scene.site, await scene.kept()
    with pytest.raises(httpx.TransportError):
        await site.as_device(None, []).get("/device/status")
    other = site.as_device(scene.other_certificate.key, scene.other_certificate.chain)
    answer = await other.get("/device/status")
    assert scene.other.device_id.encode() in answer.content
    assert scene.device.device_id.encode() not in answer.content
    await scene.assert_unchanged(before)


@ON_SQLITE
async def test_what_anybody_may_call_changes_and_tells_nothing(scene: Scene) -> None:
    site, before = scene.site, await scene.kept()
    for (listener, method, template), authority in (AUTHORITY | PAGES).items():
        if authority != ANYBODY:
            continue
        client = site.attacker if listener == "people" else site.device_side
        asked = message.encode(NonceRequest(scene.device.device_id)) if method == "POST" else b""
        answer = await client.request(method, scene.path(template), content=asked, headers=CBOR)
        assert answer.status_code < 500
        assert template == "/crl" or not scene.is_about_the_owner(answer)
    after = await scene.kept()
    assert {row for row in before if row[0] != "revocation_list"} <= after
    assert {table for table, _ in after - before} <= {"revocation_list"}


@ON_SQLITE
async def test_other_methods_and_paths_do_nothing(scene: Scene) -> None:
    site, before = scene.site, await scene.kept()
    certificate = scene.other_certificate
    clients = {
        "people": site.attacker,
        "first_contact": site.device_side,
        "device": site.as_device(certificate.key, certificate.chain),
    }
    for listener, routes in _routes(site).items():
        for route in routes:
            path = scene.path(route.path)
            allowed = {method for each in routes if each.path == route.path for method in each.methods or set()}
            for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - allowed:
                answer = await clients[listener].request(method, path)
                assert answer.status_code == 405, (method, path)
        for path in ("/", "/shutdown", "/admin", "/api", "/docs", "/metrics", "/debug", "/.git/config", "/api/"):
            assert (await clients[listener].get(path)).status_code == 404
            assert (await clients[listener].post(path)).status_code == 404
        others = {route.path for name, others in _routes(site).items() if name != listener for route in others}
        for path in others - {route.path for route in routes}:
            assert (await clients[listener].get(scene.path(path))).status_code == 404
    await scene.assert_unchanged(before)
    assert site.server.running
