"""T12. Means: every route of every listener; no authority, one that has ended, or that of somebody else. Goal: read,
change, delete, register or halt anything.

The table of authorities says of each route who may call it. It is held against the routing tables of the server's
applications, so that a new route fails here until somebody has decided.
"""

import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import msgspec
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding

from admittance.client.oauth.pkce import Pkce
from admittance.protocol.enrolment.building import build_request
from admittance.protocol.enrolment.login import build_login
from admittance.protocol.enrolment.reset import build_reset_report
from admittance.server.config import ListenSection
from admittance.wire import message
from admittance.wire.ace import INVALID_CLIENT, INVALID_GRANT, ErrorResponse, TokenRequest
from admittance.wire.ace_introspection import INACTIVE, IntrospectionRequest
from admittance.wire.enrolment import Factor, NonceRequest
from admittance.wire.factors import BootstrapRequest
from admittance.wire.tpm_enrolment import CredentialRequest, SessionChallengeRequest, SessionProof
from tests.attack.authority import (
    ACCOUNT,
    ANYBODY,
    ASKED,
    AUTHORITY,
    BROWSER,
    CERTIFICATE,
    CLIENT,
    CONFIDENTIAL,
    ENDORSED,
    GIVER,
    GUEST,
    IDENTITY,
    IN_CBOR,
    OF_ITS_OWN,
    OPERATOR,
    OWNER,
    OWNER_ALONE,
    PAGES,
    TOKEN_GRANT,
    TOKEN_HOLDER,
    TPM,
    TRUSTED,
    TRUSTED_ASKED,
    UPGRADES,
    Route,
    routes_of,
)
from tests.attack.granted_lock import terms
from tests.attack.routing import METHODS, named, routes_of_server
from tests.attack.scene import Scene
from tests.attack.site import CBOR, ON_SQLITE, Login, Site, code_of, invented, new_key, seen
from tests.logins import challenge_form

CHALLENGE = "/oauth/authorize-challenge"
NOWHERE = ("/", "/shutdown", "/admin", "/api", "/docs", "/metrics", "/debug", "/.git/config", "/api/")
OFF_BY_DEFAULT = {"device_relay_plain"}
ACE = {"content-type": "application/ace+cbor"}
UPGRADE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
OF_ACCOUNTS = routes_of(ACCOUNT, TRUSTED, OWNER, OWNER_ALONE, ASKED, TRUSTED_ASKED, GIVER, GUEST, OPERATOR)


def _words(route: Route) -> str:
    return " ".join(route[1:])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def scene(site: Site) -> AsyncIterator[Scene]:
    owner, stranger, ended = [await site.account(name) for name in ("owner", "stranger", "leaver")]
    thief = await site.log_in(owner.email, owner.password)
    device, waiting, other = site.take(), site.take(), site.take()
    certificate, other_certificate = await site.onboard(owner, device), await site.onboard(stranger, other)
    await owner.ask("PUT", "/api/account/factors", {"required": ["approval"]})
    ticket, nonce = (await site.claim(owner, waiting)).ticket, await site.nonce(waiting.device_id)
    asked = await site.hand_in(waiting.enrolment(new_key(), nonce, ticket, Factor("approval", "")))
    assert code_of(asked) == "approval_pending"
    network = {"ssid": "Owners-Wi-Fi", "passphrase": "correct horse"}
    await owner.ask("PUT", "/api/networks/home", network)
    await ended.log_out()
    guest = await site.account("friend")
    grant = (await owner.ask("POST", "/api/grants", terms(device.device_id, guest.email)))["grant"]
    # The stranger names networks of its own alike.
    await stranger.ask("PUT", "/api/networks/home", {"ssid": "Mine", "passphrase": "correct horse"})
    yield Scene(site, owner, thief, device, waiting, certificate, stranger, other, other_certificate, ended, grant)


@ON_SQLITE
async def test_every_route_names_its_authority(site: Site) -> None:
    served = await routes_of_server(site)
    found = {route for listener, routes in served.items() for route in named(listener, routes)}
    assert found - {*AUTHORITY, *PAGES} == set(), "Say in AUTHORITY who may call these routes."
    assert {*AUTHORITY, *PAGES} - found == set(), "These routes are gone."


@ON_SQLITE
@pytest.mark.parametrize("route", OF_ACCOUNTS, ids=_words)
async def test_nobody_calls_an_accounts_route(scene: Scene, route: Route) -> None:
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
@pytest.mark.parametrize("route", OF_ACCOUNTS, ids=_words)
async def test_another_account_touches_nothing(scene: Scene, route: Route) -> None:
    _, method, template = route
    content = await scene.content(template, scene.stranger)
    before = await scene.kept()
    query = "?all=1" if template == "/api/devices" else ""
    for path in {scene.path(template), scene.path(template) + query}:
        answer = await scene.stranger.send(method, path, content)
        assert answer.status_code < 500
        if AUTHORITY[route] == OPERATOR or path.endswith("?all=1"):
            assert (answer.status_code, code_of(answer)) == (403, "not_allowed")
        elif AUTHORITY[route] in (OWNER, OWNER_ALONE, ASKED, TRUSTED_ASKED, GIVER, GUEST):
            assert (answer.status_code, code_of(answer)) == (404, "not_found")
        elif template == "/api/activations":
            assert code_of(answer) == "conflict"
        assert not scene.is_about_the_owner(answer)
    await scene.assert_unchanged(before)
    if template == "/api/networks/{name}" and method == "DELETE":
        await scene.stranger.ask("PUT", "/api/networks/home", {"ssid": "Mine", "passphrase": "correct horse"})


@ON_SQLITE
@pytest.mark.parametrize("route", routes_of(OWNER, OWNER_ALONE, ASKED), ids=_words)
async def test_a_device_of_ones_own_account_that_does_not_exist_looks_alike(scene: Scene, route: Route) -> None:
    """So that nobody learns which devices exist."""
    _, method, template = route
    content = await scene.content(template, scene.stranger)
    known = await scene.stranger.send(method, scene.path(template), content)
    unknown = await scene.stranger.send(method, template.format(device_id=invented().device_id), content)
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)


@ON_SQLITE
@pytest.mark.parametrize("route", routes_of(TRUSTED, TRUSTED_ASKED), ids=_words)
async def test_the_owners_password_in_another_app_is_not_enough(scene: Scene, route: Route) -> None:
    _, method, template = route
    content, before = await scene.content(template, scene.thief), await scene.kept()
    answer = await scene.thief.send(method, scene.path(template), content)
    assert (answer.status_code, code_of(answer)) == (403, "app_not_trusted")
    assert not scene.is_about_the_owner(answer)
    await scene.assert_unchanged(before)


@ON_SQLITE
@pytest.mark.parametrize("route", routes_of(OWNER_ALONE, ASKED, TRUSTED_ASKED, GIVER, GUEST), ids=_words)
async def test_an_operator_does_not_act_in_the_owners_name(scene: Scene, route: Route) -> None:
    _, method, template = route
    operator, before = await scene.site.operator(), await scene.kept()
    answer = await operator.send(method, scene.path(template), await scene.content(template, operator))
    assert (answer.status_code, code_of(answer)) == (404, "not_found")
    await scene.assert_unchanged(before)


@ON_SQLITE
async def test_no_password_and_no_invite_open_nothing(scene: Scene) -> None:
    before = await scene.kept()
    content = await scene.content("/api/invites/accept", scene.stranger)
    for body in (content, {}, None, {**(content or {}), "operator": True}):
        sent = {} if body is None else {"json": body}
        answer = await scene.site.attacker.post("/api/invites/accept", **sent)
        assert answer.status_code in (400, 401, 404), answer.text
        assert not scene.is_about_the_owner(answer)
    login = Login(scene.site.origin, scene.site.attacker, "", "", "none", new_key())
    form = challenge_form(scene.owner.email, "correct horse battery staple", Pkce.generate())
    for changes in ({}, {"operator": "true"}, {"password": ""}, {"client_id": "nobody"}):
        guessed = await login.post(CHALLENGE, {**form, **changes})
        assert guessed.status_code in (400, 401), guessed.text
        assert not scene.is_about_the_owner(guessed)
    await scene.assert_unchanged(before)


@ON_SQLITE
@pytest.mark.parametrize("route", routes_of(CLIENT, CONFIDENTIAL, TOKEN_GRANT, TOKEN_HOLDER), ids=_words)
async def test_no_client_gets_in_without_its_proof(scene: Scene, route: Route) -> None:
    """Nor does the built-in client, whose id everybody knows, with what the owner's app holds."""
    site, (listener, method, path), before = scene.site, route, await scene.kept()
    strangers = site.with_certificate(None) if listener == "mtls" else site.attacker
    stolen = {"token": "x" * 43, "subject_token": scene.owner.token, "refresh_token": scene.owner.refresh_token}
    grants = ("refresh_token", "client_credentials", "authorization_code", "password")
    forms = [{**stolen, "grant_type": grant, "code": "x" * 43, "code_verifier": "x" * 43} for grant in grants]
    thief = Login(site.origin, strangers, "", "", "", new_key())
    for client in ({}, {"client_id": "nobody"}, {"client_id": "admittance-cli", "client_secret": "guess"}):
        for form in ({}, *forms):
            if method == "GET":
                answer = await strangers.get(path, params={**form, **client})
            else:
                answer = await thief.post(path, {**form, **client})
            if AUTHORITY[route] == TOKEN_HOLDER and client.get("client_id") == "admittance-cli" and form:
                assert answer.status_code == 200
                continue
            if path == "/oauth/device_authorization" and client.get("client_id") == "admittance-cli":
                continue
            assert answer.status_code in (400, 401), answer.text
            assert not scene.is_about_the_owner(answer)
    after = await scene.kept()
    assert before <= after
    assert {table for table, _ in after - before} <= {"oauth_device_codes"}
    assert (await scene.owner.send("GET", "/api/account")).status_code == 200


@ON_SQLITE
@pytest.mark.parametrize("route", routes_of(BROWSER), ids=_words)
async def test_another_browser_continues_no_flow(scene: Scene, route: Route) -> None:
    site, (_, method, path) = scene.site, route
    begun = await site.people().get("/oauth/device")
    flow = begun.headers["location"].partition("flow=")[2]
    before = await scene.kept()
    for handle in ("", "x" * 43, flow):
        form = {
            "flow": handle,
            "csrf": "x" * 43,
            "decision": "allow",
            "email": scene.owner.email,
            "password": scene.owner.password,
        }
        if method == "GET":
            answer = await site.people().get(path, params={"flow": handle})
        else:
            answer = await site.people().post(path, data=form)
        assert answer.status_code == 410
        assert not scene.is_about_the_owner(answer)
    await scene.assert_unchanged(before)


@ON_SQLITE
@pytest.mark.parametrize("route", routes_of(IDENTITY), ids=_words)
async def test_no_other_identity_speaks_for_a_device(scene: Scene, route: Route) -> None:
    site, device, template = scene.site, scene.device, route[2]
    before = await scene.kept()
    for attacker in (scene.other, invented(), site.certified()):
        named = {"nonce": await site.nonce(device.device_id), "device_id": device.device_id, "epoch": device.epoch}
        for signed in (
            build_request(attacker.identity, new_key(), **named),
            build_reset_report(attacker.identity, resets=7, **named),
            build_login(attacker.identity, email=scene.owner.email, password=scene.owner.password, **named),
        ):
            answer = await site.device_side.post(template, content=signed, headers=CBOR)
            assert answer.status_code in (400, 401), answer.text
    for rubbish in (b"", b"\x80", os.urandom(64), message.encode(NonceRequest(device.device_id))):
        assert (await site.device_side.post(template, content=rubbish, headers=CBOR)).status_code == 400
    await scene.assert_unchanged(before)


@ON_SQLITE
@pytest.mark.parametrize("route", routes_of(CERTIFICATE), ids=_words)
async def test_no_other_certificate_speaks_for_a_device(scene: Scene, route: Route) -> None:
    """What another device's certificate gets is that device's, or its account's."""
    site, (_, method, template), before = scene.site, route, await scene.kept()
    with pytest.raises(httpx.TransportError):
        await site.as_device(None, []).request(method, template)
    other = site.as_device(scene.other_certificate.key, scene.other_certificate.chain)
    named = {"x-device-id": scene.device.device_id, "x-client-cert": scene.certificate.chain[0].hex()}
    for headers in ({}, named):
        answer = await other.request(method, f"{template}?device_id={scene.device.device_id}", headers=headers)
        assert answer.is_success
        assert scene.device.device_id.encode() not in answer.content
    await scene.assert_unchanged(before)


@ON_SQLITE
@pytest.mark.parametrize("route", routes_of(TPM), ids=_words)
async def test_no_device_speaks_at_first_contact_without_its_tpm(scene: Scene, route: Route) -> None:
    """Nor does a certificate help there, which its key proves elsewhere."""
    site, (_, method, template), before = scene.site, route, await scene.kept()
    port = site.stage.ports.first_contact
    guess = message.encode(SessionProof(scene.device.device_id, os.urandom(16), os.urandom(64)))
    for client in (
        site.first_contact(),
        site.as_device(scene.certificate.key, scene.certificate.chain, port),
        site.as_device(scene.other_certificate.key, scene.other_certificate.chain, port),
    ):
        assert (await client.get("/tpm-session/nonce")).status_code == 200
        for device_id in (scene.device.device_id, invented().device_id):
            asked = message.encode(SessionChallengeRequest(device_id))
            challenge = await client.post("/tpm-session/challenge", content=asked, headers=CBOR)
            assert challenge.status_code == 201
            refused = await client.post("/tpm-session", content=guess, headers=CBOR)
            assert (refused.status_code, code_of(refused)) == (401, "authentication_failed")
            answer = await client.request(method, template, content=guess, headers=CBOR)
            assert (answer.status_code, code_of(answer)) == (401, "authentication_failed")
    await scene.assert_unchanged(before)


@ON_SQLITE
@pytest.mark.parametrize("route", routes_of(ENDORSED), ids=_words)
async def test_nobody_but_an_endorsed_tpm_gets_a_challenge(scene: Scene, route: Route) -> None:
    site, (_, method, template), before = scene.site, route, await scene.kept()
    chain = [site.maker.certificate.public_bytes(Encoding.DER), scene.certificate.chain[0], os.urandom(64)]
    for public in (b"", os.urandom(64), scene.device.identity.spki):
        asked = message.encode(CredentialRequest(scene.device.device_id, public, chain, public))
        answer = await site.device_side.request(method, template, content=asked, headers=CBOR)
        assert answer.status_code in (400, 403), answer.text
    await scene.assert_unchanged(before)


@ON_SQLITE
async def test_what_anybody_may_call_changes_and_tells_nothing(scene: Scene) -> None:
    site, before = scene.site, await scene.kept()
    for (listener, method, template), authority in (AUTHORITY | PAGES).items():
        if authority != ANYBODY:
            continue
        client = site.attacker if listener == "people" else site.device_side
        answer = await client.request(method, scene.path(template), content=_asked(scene, template), headers=CBOR)
        assert answer.is_success, answer.text
        assert template == "/crl" or not scene.is_about_the_owner(answer)
    after = await scene.kept()
    assert {row for row in before if row[0] != "revocation_list"} <= after
    assert {table for table, _ in after - before} <= {"revocation_list"}


def _asked(scene: Scene, template: str) -> bytes:
    match template:
        case "/enrolment/nonce":
            return message.encode(NonceRequest(scene.device.device_id))
        case "/enrolment/bootstrap":
            return message.encode(BootstrapRequest(os.urandom(16)))
        case "/tpm-session/challenge":
            return message.encode(SessionChallengeRequest(scene.device.device_id))
    return b""


@ON_SQLITE
async def test_other_methods_and_paths_do_nothing(scene: Scene) -> None:
    site, before = scene.site, await scene.kept()
    certificate = scene.other_certificate
    clients = {
        "people": site.attacker,
        "first_contact": site.device_side,
        "device": site.as_device(certificate.key, certificate.chain),
        "mtls": site.with_certificate(None),
    }
    served = await routes_of_server(site)
    for listener, routes in served.items():
        for route in routes:
            path = scene.path(route.path)
            allowed = {method for each in routes if each.path_regex.match(path) for method in each.methods or set()}
            for method in METHODS - allowed:
                answer = await clients[listener].request(method, path)
                assert answer.status_code == 405, (method, path)
        for path in NOWHERE:
            assert (await clients[listener].get(path)).status_code == 404
            assert (await clients[listener].post(path)).status_code == 404
        others = {route.path for name, others in served.items() if name != listener for route in others}
        for path in others - {route.path for route in routes}:
            assert (await clients[listener].get(scene.path(path))).status_code == 404
    await scene.assert_unchanged(before)
    assert site.server.running


@ON_SQLITE
async def test_the_server_listens_where_the_table_says_and_nowhere_else(site: Site) -> None:
    listeners = {listener for listener, *_ in [*AUTHORITY, *UPGRADES]}
    assert listeners == {field.name for field in msgspec.structs.fields(ListenSection)}
    opened = {getattr(site.stage.ports, listener) for listener in listeners - OFF_BY_DEFAULT}
    assert listening(site.server.pid) == {("tcp", port) for port in opened}


def listening(pid: int) -> set[tuple[str, int]]:
    """The ports that a process takes connections or datagrams at."""
    process, held, found = Path(f"/proc/{pid}"), set(), set()
    for descriptor in (process / "fd").iterdir():
        with suppress(FileNotFoundError):
            held.add(str(descriptor.readlink()))
    for protocol, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        for line in (process / "net" / protocol).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == state and f"socket:[{fields[9]}]" in held:
                found.add((protocol.removesuffix("6"), int(fields[1].rpartition(":")[2], 16)))
    return found


@ON_SQLITE
@pytest.mark.parametrize("listener", ["app_relay", "device_relay"])
async def test_a_relays_listener_has_its_websocket_and_nothing_else(scene: Scene, listener: str) -> None:
    site, before = scene.site, await scene.kept()
    client = site.as_device(None, [], getattr(site.stage.ports, listener))
    (own,) = {path for of, path in UPGRADES if of == listener}
    known, unknown = scene.path(own), own.format(device_id=invented().device_id)
    for method in METHODS:
        answers = [await client.request(method, path) for path in (known, unknown)]
        assert {answer.status_code for answer in answers} == {400}
        assert len({seen(answer) for answer in answers}) == 1
    others = {path for _, _, path in AUTHORITY} | {path for _, path in UPGRADES} | set(NOWHERE)
    for path in {scene.path(path) for path in others} - {known}:
        for headers in ({}, UPGRADE, UPGRADE | {"authorization": f"DPoP {scene.owner.token}"}):
            answer = await client.get(path, headers=headers)
            assert answer.status_code == 404, path
            assert not scene.is_about_the_owner(answer)
    await scene.assert_unchanged(before)
    assert site.server.running


@ON_SQLITE
async def test_no_other_listener_opens_a_websocket(scene: Scene) -> None:
    certificate = scene.certificate
    for client in (
        scene.site.attacker,
        scene.site.device_side,
        scene.site.as_device(certificate.key, certificate.chain),
        scene.site.with_certificate(None),
    ):
        for _, path in UPGRADES:
            assert (await client.get(scene.path(path), headers=UPGRADE)).status_code == 404


@ON_SQLITE
@pytest.mark.parametrize("route", routes_of(IN_CBOR), ids=_words)
async def test_in_cbor_too_nobody_gets_what_is_the_owners(scene: Scene, route: Route) -> None:
    site, (_, method, path), before = scene.site, route, await scene.kept()
    asked = TokenRequest(audience=f"{site.origin}/d/{scene.device.device_id}").encode()
    for headers in ({}, {"authorization": f"DPoP {scene.owner.token}"}, {"authorization": "Basic b3A6b3A="}):
        answer = await site.attacker.request(method, path, content=asked, headers={**ACE, **headers})
        assert (answer.status_code, ErrorResponse.decode(answer.content).error) == (401, INVALID_CLIENT)
    proven = {**scene.stranger.headers(method, path), **ACE}
    answer = await site.attacker.request(method, path, content=asked, headers=proven)
    if "dpop-nonce" in answer.headers:
        scene.stranger.nonce = answer.headers["dpop-nonce"]
        proven = {**scene.stranger.headers(method, path), **ACE}
        answer = await site.attacker.request(method, path, content=asked, headers=proven)
    assert (answer.status_code, ErrorResponse.decode(answer.content).error) == (400, INVALID_GRANT)
    await scene.assert_unchanged(before)


@ON_SQLITE
@pytest.mark.parametrize("route", routes_of(OF_ITS_OWN), ids=_words)
async def test_a_device_learns_nothing_of_others_tokens(scene: Scene, route: Route) -> None:
    site, (_, method, path), before = scene.site, route, await scene.kept()
    with pytest.raises(httpx.TransportError):
        await site.as_device(None, []).request(method, path)
    other = site.as_device(scene.other_certificate.key, scene.other_certificate.chain)
    asked = IntrospectionRequest(os.urandom(16)).encode()
    assert (await other.request(method, path, content=asked, headers=ACE)).content == INACTIVE
    await scene.assert_unchanged(before)
