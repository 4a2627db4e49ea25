import asyncio
import json
import socket
import ssl
import time
from pathlib import Path

import pytest
from sqlalchemy import update

from admittance.errors import ConfigurationError, UpgradeRefused, WebSocketClosed
from admittance.protocol.relay.device_mux import StreamClosed, StreamMessage, StreamOpened
from admittance.server.access.tables import oauth_sessions
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.config import Config
from admittance.server.database import Database
from admittance.server.relay.gate import Gate, source_of
from admittance.server.relay.serving import RelayListeners, relay_context
from admittance.server.relay.settings import RelaySettings
from admittance.transport.websocket import WebSocket
from admittance.wire import base64url, message, relay
from admittance.wire.relay import CloseCode, CloseReason, RelayAccepted
from tests.unit.server.relay.relay_world import DeviceEnd, Enrolled, Login, Site, coap, relay_site, until


async def closing(socket_: WebSocket) -> WebSocketClosed:
    """How the node closes; what comes before is ignored."""
    try:
        async with asyncio.timeout(10):
            while True:
                await socket_.receive()
    except WebSocketClosed as closed:
        return closed


async def revoke(site: Site, owner: AuthenticatedAccount, lamp: Enrolled) -> None:
    await site.world.services.fleet.revoke(owner, lamp.device_id, "test")


async def test_a_revoked_device_and_its_apps_are_cut_off(
    site: Site, ann: AuthenticatedAccount, app: Login, lamp: Enrolled
) -> None:
    device = await site.device(lamp)
    phone = await site.app(app, lamp.device_id)
    await device.event()
    await revoke(site, ann, lamp)
    began = time.monotonic()
    assert (await closing(phone)).close_code == CloseCode.REVOKED
    assert time.monotonic() - began < 5
    assert (await closing(device.socket)).close_code == CloseCode.REVOKED
    assert site.node.port(lamp.device_id) is None


async def test_a_revoked_device_that_comes_back_is_told_and_sent_away(
    site: Site, ann: AuthenticatedAccount, app: Login, lamp: Enrolled
) -> None:
    await revoke(site, ann, lamp)
    device = await site.device(lamp)
    assert site.node.port(lamp.device_id) is None
    assert (await closing(await site.app(app, lamp.device_id))).close_code == CloseCode.OFFLINE
    assert (await closing(device.socket)).close_code == CloseCode.REVOKED


async def test_an_app_is_cut_off_when_its_token_ends(site: Site, app: Login, lamp: Enrolled) -> None:
    device = await site.device(lamp)
    phone, other = await site.app(app, lamp.device_id), await site.app(await site.login(app.account), lamp.device_id)
    await device.event()
    await site.end(app)
    assert (await closing(phone)).close_code == CloseCode.REVOKED
    await other.send(b"still here")
    told = [await device.event() for _ in range(3)]
    assert StreamMessage(2, b"still here") in told


async def test_an_app_is_cut_off_when_its_login_expires(sqlite_database: Database, tmp_path: Path) -> None:
    async with relay_site(sqlite_database, tmp_path, silence_s=3) as site:
        ann = await site.world.account()
        lamp, app = await site.enrolled(ann), await site.login(ann)
        async with sqlite_database.transaction() as connection:
            ends_at = int(site.world.clock()) + 3600
            await connection.execute(update(oauth_sessions).values(expires_at=ends_at))
        await site.device(lamp)
        phone = await site.app(app, lamp.device_id)
        await until(lambda: site.node.apps == 1)
        site.world.clock.pass_s(3600)
        assert (await closing(phone)).close_code == CloseCode.NOT_AUTHENTICATED


async def test_a_device_proves_itself_anew_when_its_certificate_expires(
    sqlite_database: Database, tmp_path: Path
) -> None:
    async with relay_site(sqlite_database, tmp_path, silence_s=3) as site:
        device = await site.device(await site.enrolled(await site.world.account()))
        site.world.clock.pass_s(8 * 24 * 3600)
        closed = await closing(device.socket)
        assert (closed.close_code, relay.parse_retry_after(closed.reason)) == (CloseCode.UNAVAILABLE, 0)


async def test_a_revoked_device_that_was_off_until_its_certificate_expired_is_told(
    site: Site, ann: AuthenticatedAccount, lamp: Enrolled
) -> None:
    await revoke(site, ann, lamp)
    site.world.clock.pass_s(8 * 24 * 3600)
    device = await site.device(lamp)
    assert site.node.port(lamp.device_id) is None
    assert (await closing(device.socket)).close_code == CloseCode.REVOKED


async def test_a_blind_node_ends_streams_and_opens_none_until_it_sees(site: Site, app: Login, lamp: Enrolled) -> None:
    device = await site.device(lamp)
    phone = await site.app(app, lamp.device_id)
    await device.event()
    site.node.blinded()
    assert (await closing(phone)).close_code == CloseCode.UNAVAILABLE
    assert await device.event() == StreamClosed(1, CloseReason.UNAVAILABLE)
    refused = await closing(await site.app(app, lamp.device_id))
    assert refused.close_code == CloseCode.UNAVAILABLE
    assert relay.parse_retry_after(refused.reason) is not None
    site.node.sighted()
    await (await site.app(app, lamp.device_id)).send(b"back")
    assert await device.event() == StreamOpened(2)


async def test_a_node_that_stops_tells_everybody_when_to_come_back(sqlite_database: Database, tmp_path: Path) -> None:
    async with relay_site(sqlite_database, tmp_path, drain_s=7) as site:
        ann = await site.world.account()
        lamp, app = await site.enrolled(ann), await site.login(ann)
        device = await site.device(lamp)
        phone = await site.app(app, lamp.device_id)
        await device.event()
        stopping = asyncio.create_task(site.services.listeners.stop())
        for ended in (phone, device.socket):
            closed = await closing(ended)
            assert closed.close_code == CloseCode.UNAVAILABLE
            assert 0 <= (relay.parse_retry_after(closed.reason) or 0) < 7000
        await stopping
        with pytest.raises(OSError):
            await site.raw(site.listen.device_relay)


async def test_silent_peers_are_found_and_others_stay(sqlite_database: Database, tmp_path: Path) -> None:
    async with relay_site(sqlite_database, tmp_path, silence_s=3) as site:
        ann = await site.world.account()
        lamp, app = await site.enrolled(ann), await site.login(ann)
        device = await site.device(lamp)
        serving = asyncio.create_task(_serve(device))
        silent = await site.app(app, lamp.device_id)
        talking = await site.app(app, lamp.device_id)
        listening = asyncio.create_task(talking.receive())
        await until(lambda: site.node.apps == 2)
        await until(lambda: site.node.apps == 1)
        assert (await closing(silent)).close_code in (CloseCode.IDLE, 1006)
        assert not listening.done()
        assert site.node.devices == 1
        listening.cancel()
        serving.cancel()


async def test_a_stream_that_carries_nothing_ends(sqlite_database: Database, tmp_path: Path) -> None:
    async with relay_site(sqlite_database, tmp_path, silence_s=3, idle_s=10) as site:
        site.node.settings = RelaySettings(
            **{name: getattr(site.node.settings, name) for name in RelaySettings.__slots__} | {"idle_sweeps": 1}
        )
        ann = await site.world.account()
        lamp, app = await site.enrolled(ann), await site.login(ann)
        device = await site.device(lamp)
        serving = asyncio.create_task(_serve(device))
        phone = await site.app(app, lamp.device_id)
        assert (await closing(phone)).close_code == CloseCode.IDLE
        serving.cancel()


async def test_an_account_has_so_many_streams_and_a_device_too(sqlite_database: Database, tmp_path: Path) -> None:
    limits = {"max_streams_per_device": 2, "max_streams_per_account": 3}
    async with relay_site(sqlite_database, tmp_path, **limits) as site:
        ann = await site.world.account()
        lamps, app = [await site.enrolled(ann) for _ in range(2)], await site.login(ann)
        for lamp in lamps:
            await site.device(lamp)
        kept = [await site.app(app, lamps[0].device_id) for _ in range(2)]
        assert (await closing(await site.app(app, lamps[0].device_id))).close_code == CloseCode.QUOTA
        kept.append(await site.app(app, lamps[1].device_id))
        await until(lambda: site.node.apps == 3)
        assert (await closing(await site.app(app, lamps[1].device_id))).close_code == CloseCode.QUOTA
        await kept[0].close()
        await until(lambda: site.node.apps == 2)
        await site.app(app, lamps[1].device_id)
        await until(lambda: site.node.apps == 3)


async def test_who_sends_too_fast_has_to_wait_and_loses_nothing(sqlite_database: Database, tmp_path: Path) -> None:
    async with relay_site(sqlite_database, tmp_path, app_frames_per_s=50, device_frames_per_s=50) as site:
        ann = await site.world.account()
        lamp, app = await site.enrolled(ann), await site.login(ann)
        device = await site.device(lamp)
        phone = await site.app(app, lamp.device_id)
        began = time.monotonic()
        sending = asyncio.create_task(_send_all(phone, 200))
        await device.event()
        told = [await device.event() for _ in range(200)]
        assert told == [StreamMessage(1, number.to_bytes(2)) for number in range(200)]
        await phone.send(b"one more")
        assert await device.event() == StreamMessage(1, b"one more")
        assert time.monotonic() - began > 1.5
        await sending


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", CloseCode.MALFORMED),
        (relay.open_frame(9), CloseCode.MALFORMED),
        (relay.data_frame(7, b"x", final=True), CloseCode.MALFORMED),
        (relay.close_frame(0, CloseReason.NORMAL), CloseCode.MALFORMED),
        (relay.data_frame(1, b"x", final=True) * 33, CloseCode.MALFORMED),
        (relay.credit_frame(0, 65535), None),
        (relay.data_frame(1, b"x", final=True)[:-1], CloseCode.MALFORMED),
        (bytes(relay.MAX_BATCH_BYTES), CloseCode.MALFORMED),
        (bytes(relay.MAX_BATCH_BYTES + 1), 1009),
    ],
)
async def test_a_device_that_breaks_the_rules_is_cut_off(
    site: Site, app: Login, lamp: Enrolled, data: bytes, code: int | None
) -> None:
    device = await site.device(lamp)
    phone = await site.app(app, lamp.device_id)
    await device.event()
    await device.socket.send(data)
    if code is None:
        await device.send(1, b"fine")
        assert await phone.receive() == b"fine"
        return
    assert (await closing(device.socket)).close_code == code
    assert (await closing(phone)).close_code in (CloseCode.MALFORMED, CloseCode.OFFLINE)


async def test_a_device_that_grants_too_much_ends_its_stream(site: Site, app: Login, lamp: Enrolled) -> None:
    device = await site.device(lamp)
    phone = await site.app(app, lamp.device_id)
    await device.event()
    await device.socket.send(relay.credit_frame(1, 65535))
    assert (await closing(phone)).close_code == CloseCode.MALFORMED
    assert await device.event() == StreamClosed(1, CloseReason.PROTOCOL)


@pytest.mark.parametrize(("size", "code"), [(0, CloseCode.MALFORMED), (65537, 1009)])
async def test_an_app_that_breaks_the_rules_is_cut_off(
    site: Site, app: Login, lamp: Enrolled, size: int, code: int
) -> None:
    device = await site.device(lamp)
    phone = await site.app(app, lamp.device_id)
    await device.event()
    await phone.send(bytes(size))
    assert (await closing(phone)).close_code == code
    assert isinstance(await device.event(), StreamClosed)


async def test_a_page_of_another_origin_may_not_connect(site: Site, app: Login, lamp: Enrolled) -> None:
    headers = site.headers(app, lamp.device_id)
    with pytest.raises(UpgradeRefused) as refused:
        await site.app_socket(lamp.device_id, [*headers, ("origin", "https://evil.example")])
    assert refused.value.status == 403
    await site.device(lamp)
    own = [*site.headers(app, lamp.device_id), ("origin", site.node.settings.origin)]
    await site.app_socket(lamp.device_id, own)
    await until(lambda: site.node.apps == 1)


@pytest.mark.parametrize("target", ["/", "/relay/", "/relay/x", "/relay/tickets", "/device-relay", "/relay/AD?x"])
async def test_other_paths_are_not_found(site: Site, target: str) -> None:
    for address in (site.listen.app_relay, site.listen.device_relay):
        if (address, target) == (site.listen.device_relay, relay.DEVICE_PATH):
            continue
        reader, writer = await site.raw(address)
        with pytest.raises(UpgradeRefused) as refused:
            await WebSocket.connect(reader, writer, host="localhost", target=target)
        assert refused.value.status == 404
        assert json.loads(refused.value.body)["code"] == "not_found"


async def test_a_browsers_words_about_the_connection_are_understood(site: Site) -> None:
    reader, writer = await site.raw(site.listen.device_relay)
    writer.write(
        f"GET {relay.DEVICE_PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: keep-alive, Upgrade\r\n"
        "upgrade: websocket\r\nsec-websocket-version: 13\r\n"
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert (await reader.readline()).startswith(b"HTTP/1.1 101 ")


async def test_half_open_connections_are_bounded_by_source(sqlite_database: Database, tmp_path: Path) -> None:
    async with relay_site(sqlite_database, tmp_path, max_half_open_per_source=3) as site:
        ann = await site.world.account()
        lamp = await site.enrolled(ann)
        port = int(site.listen.device_relay.rpartition(":")[2])
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        await until(lambda: site.node.gate.half_open == 3)
        with pytest.raises(OSError):
            await site.raw(site.listen.device_relay)
        for each in held:
            each.close()
        await until(lambda: site.node.gate.half_open == 0)
        devices = [await site.device(lamp) for _ in range(5)]
        assert devices[-1].accepted.heartbeat_s == 10
        assert site.node.gate.refused >= 1


def test_a_source_is_an_ipv4_address_or_an_ipv6_network() -> None:
    settings = RelaySettings.of(Config())
    gate = Gate(settings)
    for number in range(settings.max_half_open_per_source):
        gate.entered(number, f"2001:db8::{number:x}")
    assert not gate.admits("2001:db8::ffff:1")
    assert gate.admits("2001:db8:0:1::1")
    assert gate.admits("192.0.2.1")
    gate.proven(0)
    assert gate.admits("2001:db8::ffff:1")
    gate.left(0)
    gate.left(1)
    assert (gate.connections, gate.half_open) == (62, 62)
    assert source_of(("192.0.2.1", 1)) == "192.0.2.1"
    assert source_of("") == "unknown"


def test_the_relay_speaks_tls_1_3_alone_and_gives_no_tickets() -> None:
    context = relay_context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert context.num_tickets == 0


async def test_an_older_tls_is_refused(site: Site) -> None:
    port = int(site.listen.device_relay.rpartition(":")[2])
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", port, ssl=context)


async def test_a_capture_shows_what_the_node_sees(sqlite_database: Database, tmp_path: Path) -> None:
    file = tmp_path / "frames.jsonl"
    async with relay_site(sqlite_database, tmp_path, capture=file) as site:
        ann = await site.world.account()
        lamp, app = await site.enrolled(ann), await site.login(ann)
        device = await site.device(lamp)
        phone = await site.app(app, lamp.device_id)
        asked, answered = coap(), coap()
        await phone.send(asked)
        await device.event()
        await device.event()
        await device.send(1, answered)
        await phone.receive()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    seen = [(line["direction"], line.get("type"), base64url.decode(line["data"])) for line in lines]
    assert ("to_device", relay.DATA, asked) in seen
    assert ("from_device", relay.DATA, answered) in seen
    assert ("from_app", None, asked) in seen
    assert ("to_app", None, answered) in seen
    assert {line["device_id"] for line in lines} == {lamp.device_id}
    assert file.stat().st_mode & 0o77 == 0


async def test_without_tls_a_device_that_does_not_prove_its_channel_key_gets_no_stream(
    sqlite_database: Database, tmp_path: Path
) -> None:
    async with relay_site(sqlite_database, tmp_path, plain=True) as site:
        ann = await site.world.account()
        lamp = await site.enrolled(ann)
        socket_, nonce = await site.device_socket(tls=False)
        await socket_.send(message.encode(lamp.proof(nonce, bytes(32))))
        assert message.decode(await socket_.receive(), RelayAccepted).heartbeat_s == 10
        assert site.node.port(lamp.device_id) is None
        assert (await closing(socket_)).close_code == CloseCode.NOT_AUTHENTICATED


async def test_an_address_in_use_is_named(site: Site) -> None:
    with pytest.raises(ConfigurationError, match="app_relay"):
        RelayListeners(site.node, site.listen).bind()


async def _send_all(phone: WebSocket, count: int) -> None:
    for number in range(count):
        await phone.send(number.to_bytes(2))


async def _serve(device: DeviceEnd) -> None:
    while True:
        await device.event()
