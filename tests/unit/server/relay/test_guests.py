"""Guests at the relay: let in while a grant's window is open, and no longer."""

from dataclasses import replace
from typing import Any

import pytest

from admittance.errors import NotFound, WebSocketClosed
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.grants.actions import permissions_of
from admittance.server.grants.model import Allowed, Grant, Terms
from admittance.server.grants.service import Change
from admittance.server.revocations.store import last_number
from admittance.transport.websocket import WebSocket
from admittance.wire.relay import CloseCode, RelayTicket
from tests.unit.server.relay.relay_world import DeviceEnd, Enrolled, Login, Site, coap


async def give(site: Site, owner: AuthenticatedAccount, lamp: Enrolled, to: str, **changes: Any) -> Grant:
    now = int(site.world.clock())
    terms = replace(Terms("Gast", now - 60, now + 3600, None, 0, False), **changes)
    allowed = [Allowed(lamp.device_id, permissions_of(["PUT /lamp"]))]
    return (await site.services.granting.grants.give(owner, terms, allowed, email=to)).grant


@pytest.fixture
async def guest(site: Site) -> Login:
    return await site.login(await site.world.account("gil"))


async def talk(site: Site, guest: Login, lamp: Enrolled, device: DeviceEnd) -> WebSocket:
    app = await site.app(guest, lamp.device_id)
    await app.send(coap())
    await until_message(device)
    return app


async def until_message(device: DeviceEnd) -> None:
    await device.event()
    await device.event()


async def closed(app: WebSocket) -> int:
    with pytest.raises(WebSocketClosed) as ended:
        await app.receive()
    return ended.value.close_code


async def test_a_guest_talks_with_the_device_while_its_window_is_open(
    site: Site, ann: AuthenticatedAccount, lamp: Enrolled, guest: Login
) -> None:
    device = await site.device(lamp)
    await give(site, ann, lamp, guest.account.email)
    await talk(site, guest, lamp, device)


async def test_who_was_granted_nothing_sees_no_device(
    site: Site, ann: AuthenticatedAccount, lamp: Enrolled, guest: Login
) -> None:
    await site.device(lamp)
    other = await site.world.account("sue")
    await give(site, ann, lamp, other.email)
    assert await closed(await site.app(guest, lamp.device_id)) == CloseCode.OFFLINE


async def test_before_and_after_its_window_a_guest_is_turned_away(
    site: Site, ann: AuthenticatedAccount, lamp: Enrolled, guest: Login
) -> None:
    await site.device(lamp)
    await give(site, ann, lamp, guest.account.email, begins_at=int(site.world.clock()) + 60)
    assert await closed(await site.app(guest, lamp.device_id)) == CloseCode.REVOKED


async def test_without_an_attested_app_a_guest_of_an_attested_grant_is_turned_away(
    site: Site, ann: AuthenticatedAccount, lamp: Enrolled, guest: Login
) -> None:
    await site.device(lamp)
    await give(site, ann, lamp, guest.account.email, integrity=True)
    assert await closed(await site.app(guest, lamp.device_id)) == CloseCode.REVOKED


async def test_a_stream_ends_with_the_interval(
    site: Site, ann: AuthenticatedAccount, lamp: Enrolled, guest: Login
) -> None:
    device = await site.device(lamp)
    await give(site, ann, lamp, guest.account.email, ends_at=int(site.world.clock()) + 1)
    app = await talk(site, guest, lamp, device)
    site.world.clock.pass_s(1)
    assert await closed(app) == CloseCode.REVOKED


async def test_a_stream_ends_when_the_grant_is_revoked_and_the_owners_goes_on(
    site: Site, ann: AuthenticatedAccount, app: Login, lamp: Enrolled, guest: Login
) -> None:
    device = await site.device(lamp)
    own = await talk(site, app, lamp, device)
    grant = await give(site, ann, lamp, guest.account.email)
    guests = await talk(site, guest, lamp, device)
    await site.services.granting.grants.revoke(ann, grant.grant_id)
    assert await closed(guests) == CloseCode.REVOKED
    assert await closed(await site.app(guest, lamp.device_id)) == CloseCode.OFFLINE
    await own.send(coap())
    await device.event()
    assert site.node.apps == 1


async def test_while_another_grant_reaches_as_far_the_stream_goes_on(
    site: Site, ann: AuthenticatedAccount, lamp: Enrolled, guest: Login
) -> None:
    device = await site.device(lamp)
    first = await give(site, ann, lamp, guest.account.email)
    await give(site, ann, lamp, guest.account.email)
    await talk(site, guest, lamp, device)
    await site.services.granting.grants.revoke(ann, first.grant_id)
    async with site.world.database.read() as connection:
        assert await last_number(connection) == 0
    assert site.node.apps == 1


async def test_a_narrower_window_ends_the_stream(
    site: Site, ann: AuthenticatedAccount, lamp: Enrolled, guest: Login
) -> None:
    device = await site.device(lamp)
    grant = await give(site, ann, lamp, guest.account.email)
    app = await talk(site, guest, lamp, device)
    shorter = Change({"ends_at": int(site.world.clock()) + 1800})
    await site.services.granting.grants.change(ann, grant.grant_id, shorter)
    assert await closed(app) == CloseCode.REVOKED
    await talk(site, guest, lamp, device)


async def test_a_guest_gets_no_ticket_for_a_device_after_the_grant(
    site: Site, ann: AuthenticatedAccount, lamp: Enrolled, guest: Login
) -> None:
    grant = await give(site, ann, lamp, guest.account.email)
    ticket = await site.services.tickets.issue(guest.session_id, lamp.device_id, None)
    await site.services.granting.grants.revoke(ann, grant.grant_id)
    with pytest.raises(NotFound):
        await site.node.app_proofs.identify(RelayTicket(ticket), lamp.device_id)
