import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import delete, update

from admittance.errors import UpgradeRefused, WebSocketClosed
from admittance.protocol.signing import spki_of
from admittance.server.access.tables import oauth_sessions
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.database import Database
from admittance.server.devices.store import devices
from admittance.server.enrolment.issuance import CertificateIssuer
from admittance.server.keys import certificates
from admittance.transport.websocket import WebSocket
from admittance.wire import base64url, message, relay
from admittance.wire.relay import CloseCode, RelayAccepted, RelayTicket
from tests.unit.server.relay.relay_world import Enrolled, Login, Site, relay_site, ticket, until


@pytest.fixture
async def site(database: Database, tmp_path: Path) -> AsyncIterator[Site]:
    """On SQLite and on PostgreSQL."""
    async with relay_site(database, tmp_path) as opened:
        yield opened


async def refused(socket: WebSocket) -> int:
    """The code with which the node closes."""
    with pytest.raises(WebSocketClosed) as closed:
        async with asyncio.timeout(10):
            await socket.receive()
    return closed.value.close_code


async def answer_to(site: Site, enrolled: Enrolled, **changes: object) -> WebSocket:
    """A device socket on which a proof was sent that is like the right one but for `changes`."""
    socket, nonce = await site.device_socket()
    nonce = bytes(changes.pop("nonce", nonce))  # type: ignore[call-overload]
    shown = bytes(changes.pop("shown", site.certificate_sha256))  # type: ignore[call-overload]
    await socket.send(message.encode(enrolled.proof(nonce, shown, **changes)))
    return socket


async def test_a_device_is_told_heartbeat_and_time(site: Site, lamp: Enrolled) -> None:
    device = await site.device(lamp)
    assert device.accepted == RelayAccepted(10, int(site.world.clock()))
    assert site.node.port(lamp.device_id) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": bytes(32)},
        {"shown": bytes(32)},
        {"epoch": 2},
        {"device_id": "AD" + "A" * 20},
    ],
)
async def test_a_proof_of_something_else_is_refused(site: Site, lamp: Enrolled, changes: dict[str, object]) -> None:
    assert await refused(await answer_to(site, lamp, **changes)) == CloseCode.NOT_AUTHENTICATED
    assert site.node.port(lamp.device_id) is None
    assert site.node.counters.devices_refused == 1


async def test_another_key_with_the_devices_certificate_is_refused(site: Site, lamp: Enrolled) -> None:
    thief = Enrolled(lamp.device, ec.generate_private_key(ec.SECP256R1()), lamp.certificate, lamp.issuer)
    assert await refused(await answer_to(site, thief)) == CloseCode.NOT_AUTHENTICATED


async def test_a_certificate_of_another_issuer_is_refused(site: Site, lamp: Enrolled) -> None:
    key = certificates.new_key()
    now = site.world.clock()
    root = certificates.certificate_authority(key, "Admittance issuing CA", now)
    issued = CertificateIssuer(key, root).issue(lamp.device_id, spki_of(lamp.key.public_key()), 3600, now)
    forged = Enrolled(lamp.device, lamp.key, issued.der, lamp.issuer)
    assert await refused(await answer_to(site, forged)) == CloseCode.NOT_AUTHENTICATED


async def test_a_certificate_that_the_registry_does_not_know_is_refused(site: Site, lamp: Enrolled) -> None:
    authority = site.world.keystore.issuing_ca
    issuer = CertificateIssuer(authority.key, authority.certificate)
    issued = issuer.issue(lamp.device_id, spki_of(lamp.key.public_key()), 3600, site.world.clock())
    unknown = Enrolled(lamp.device, lamp.key, issued.der, lamp.issuer)
    assert await refused(await answer_to(site, unknown)) == CloseCode.NOT_AUTHENTICATED


async def test_an_expired_certificate_is_refused_and_audited_once(site: Site, lamp: Enrolled) -> None:
    site.world.clock.pass_s(8 * 24 * 3600)
    for _ in range(3):
        assert await refused(await answer_to(site, lamp)) == CloseCode.NOT_AUTHENTICATED
    events = [details for event, details in await site.world.audited() if event == "relay.refused"]
    assert len(events) == 1
    assert json.loads(events[0])["reason"] == "certificate_expired"


async def test_junk_leaves_no_trace_in_the_audit_log(site: Site, lamp: Enrolled) -> None:
    before = await site.world.audited()
    thief = Enrolled(lamp.device, ec.generate_private_key(ec.SECP256R1()), lamp.certificate, lamp.issuer)
    assert await refused(await answer_to(site, thief)) == CloseCode.NOT_AUTHENTICATED
    assert await site.world.audited() == before


async def test_a_device_of_assurance_tpm_needs_a_certificate_that_its_tpm_attested(
    site: Site, lamp: Enrolled
) -> None:
    async with site.world.database.transaction() as connection:
        await connection.execute(update(devices).values(assurance="tpm"))
    assert await refused(await answer_to(site, lamp)) == CloseCode.NOT_AUTHENTICATED


@pytest.mark.parametrize("data", [b"", b"junk", message.encode(RelayTicket(bytes(32)))])
async def test_what_is_no_proof_is_malformed(site: Site, data: bytes) -> None:
    socket, _ = await site.device_socket()
    await socket.send(data)
    assert await refused(socket) == CloseCode.MALFORMED


async def test_a_proof_of_another_connection_is_refused(site: Site, lamp: Enrolled) -> None:
    _, others_nonce = await site.device_socket()
    assert await refused(await answer_to(site, lamp, nonce=others_nonce)) == CloseCode.NOT_AUTHENTICATED


async def test_the_owner_hears_of_a_lost_device_that_connects(
    site: Site, ann: AuthenticatedAccount, lamp: Enrolled
) -> None:
    await site.world.services.lifecycle.report(ann, lamp.device_id, "lost")
    await site.device(lamp)
    assert any("127.0.0.1" in text for _, _, text in await site.world.mails())


async def test_an_app_without_token_or_ticket_gets_nowhere(site: Site, lamp: Enrolled) -> None:
    socket = await site.app_socket(lamp.device_id, [])
    await socket.send(b"\x00\x01")
    assert await refused(socket) == CloseCode.MALFORMED


async def test_an_app_gets_the_nonce_that_its_proof_lacks(site: Site, app: Login, lamp: Enrolled) -> None:
    with pytest.raises(UpgradeRefused) as error:
        await site.app_socket(lamp.device_id, site.headers(app, lamp.device_id, nonce=None))
    assert (error.value.status, error.value.headers["dpop-nonce"]) == (401, site.node.app_proofs.nonce())
    assert json.loads(error.value.body)["code"] == "use_dpop_nonce"


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "POST"},
        {"uri": "https://elsewhere.example/relay/x"},
        {"access_token": "x" * 43},
        {"now": 0.0},
    ],
)
async def test_a_proof_of_another_request_is_refused(
    site: Site, app: Login, lamp: Enrolled, changes: dict[str, object]
) -> None:
    with pytest.raises(UpgradeRefused) as error:
        await site.app_socket(lamp.device_id, site.headers(app, lamp.device_id, **changes))
    assert error.value.status == 401


async def test_a_proof_is_good_once(site: Site, app: Login, lamp: Enrolled) -> None:
    await site.device(lamp)
    headers = site.headers(app, lamp.device_id)
    await site.app_socket(lamp.device_id, headers)
    await until(lambda: site.node.apps == 1)
    assert await refused(await site.app_socket(lamp.device_id, headers)) == CloseCode.NOT_AUTHENTICATED


async def test_a_token_with_anothers_proof_is_refused(site: Site, app: Login, lamp: Enrolled) -> None:
    thief = Login(app.account, app.token, app.session_id, (await site.login(app.account)).key)
    socket = await site.app_socket(lamp.device_id, site.headers(thief, lamp.device_id))
    assert await refused(socket) == CloseCode.NOT_AUTHENTICATED


async def test_an_ended_token_is_refused(site: Site, app: Login, lamp: Enrolled) -> None:
    async with site.world.database.transaction() as connection:
        await connection.execute(delete(oauth_sessions))
    assert await refused(await site.app(app, lamp.device_id)) == CloseCode.NOT_AUTHENTICATED


async def test_anothers_device_looks_like_one_that_is_offline_or_none(site: Site, app: Login, lamp: Enrolled) -> None:
    await site.device(lamp)
    stranger = await site.login(await site.world.account("eve"))
    nobodys = "AD" + "A" * 20
    seen = [await refused(await site.app(stranger, each)) for each in (lamp.device_id, nobodys)]
    assert seen == [CloseCode.OFFLINE, CloseCode.OFFLINE]


async def test_an_operator_may_not_talk_with_anothers_device(site: Site, lamp: Enrolled) -> None:
    await site.device(lamp)
    operator = await site.login(await site.world.account("olga", operator=True))
    assert await refused(await site.app(operator, lamp.device_id)) == CloseCode.OFFLINE


async def issued(site: Site, login: Login, device_id: str) -> bytes:
    return await site.services.tickets.issue(login.session_id, device_id, None)


async def with_ticket(site: Site, device_id: str, given: bytes) -> WebSocket:
    socket = await site.app_socket(device_id, [])
    await socket.send(message.encode(RelayTicket(given)))
    return socket


async def test_a_ticket_opens_a_stream_once(site: Site, app: Login, lamp: Enrolled) -> None:
    device = await site.device(lamp)
    given = await issued(site, app, lamp.device_id)
    socket = await with_ticket(site, lamp.device_id, given)
    await socket.send(b"after the ticket")
    await device.event()
    assert (await device.event()).data == b"after the ticket"
    assert await refused(await with_ticket(site, lamp.device_id, given)) == CloseCode.NOT_AUTHENTICATED


async def test_a_ticket_is_for_one_device(site: Site, app: Login, ann: AuthenticatedAccount, lamp: Enrolled) -> None:
    other = await site.enrolled(ann)
    given = await issued(site, app, other.device_id)
    assert await refused(await with_ticket(site, lamp.device_id, given)) == CloseCode.NOT_AUTHENTICATED


async def test_a_ticket_lives_30_seconds(site: Site, app: Login, lamp: Enrolled) -> None:
    given = await issued(site, app, lamp.device_id)
    site.world.clock.pass_s(30)
    assert await refused(await with_ticket(site, lamp.device_id, given)) == CloseCode.NOT_AUTHENTICATED


async def test_a_ticket_ends_with_its_token(site: Site, app: Login, lamp: Enrolled) -> None:
    given = await issued(site, app, lamp.device_id)
    await site.end(app)
    assert await refused(await with_ticket(site, lamp.device_id, given)) == CloseCode.NOT_AUTHENTICATED


async def test_an_invented_ticket_is_refused(site: Site, lamp: Enrolled) -> None:
    assert await refused(await with_ticket(site, lamp.device_id, ticket())) == CloseCode.NOT_AUTHENTICATED


def test_tickets_and_tokens_are_not_printed() -> None:
    assert base64url.encode(ticket()) not in repr(RelayTicket(ticket()))
    assert relay.TICKET_PATH == "/relay/tickets"
