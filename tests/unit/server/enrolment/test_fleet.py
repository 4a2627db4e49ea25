from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from admittance.errors import AuthenticationFailed, Conflict, EvidenceRefused, Malformed, NotAllowed, NotFound
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.activation.model import Activation
from admittance.server.database import Database
from admittance.server.enrolment.model import Issued
from admittance.server.relay import presence
from tests.device_world import FakeDevice, World


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    return World(database, tmp_path)


async def onboarded(world: World) -> tuple[AuthenticatedAccount, FakeDevice, Issued]:
    device, account = world.device(), await world.account()
    await world.take(device)
    return account, device, await world.onboard(account, device)


async def serials(world: World) -> tuple[int, set[int]]:
    """Number and revoked serials of the current list."""
    crl = x509.load_der_x509_crl(await world.services.revocations.current())
    assert crl.is_signature_valid(world.keystore.issuing_ca.key.public_key())
    number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    return number, {entry.serial_number for entry in crl}


def serial(issued: Issued) -> int:
    return x509.load_der_x509_certificate(issued.certificate).serial_number


async def test_revoking_ends_certificate_renewal_and_claims_at_once(world: World) -> None:
    account, device, issued = await onboarded(world)
    await world.services.devices.authenticate(issued.certificate)
    shown = await world.services.fleet.revoke(account, device.device_id, "lost on a train")
    assert (shown.record.state, shown.is_certificate_live) == ("revoked", False)
    with pytest.raises(AuthenticationFailed):
        await world.services.devices.authenticate(issued.certificate)
    with pytest.raises(AuthenticationFailed):
        await world.enrol(device)
    with pytest.raises(EvidenceRefused):
        await world.activate(account, device)
    assert [subject for _, subject, _ in await world.mails()] == ["Device enrolled: Lamp", "Device revoked: Lamp"]
    again = await world.services.fleet.revoke(account, device.device_id, "lost on a train")
    assert again.record.state == "revoked"
    assert [event for event, _ in await world.audited()].count("device.revoked") == 1


async def test_revoking_a_pending_device_ends_its_ticket_and_its_stored_answer(world: World) -> None:
    device, account = world.device(), await world.account()
    await world.take(device)
    activation = await world.activate(account, device)
    ticket = device.open(activation.sealed, world.root_spki_sha256).configuration.ticket
    await world.services.fleet.revoke(account, device.device_id, "changed my mind")
    with pytest.raises(AuthenticationFailed):
        await world.enrol(device, ticket)


async def test_a_released_device_is_free_for_the_next_owner_and_dead_for_the_last(world: World) -> None:
    account, device, issued = await onboarded(world)
    await world.services.fleet.release(account, device.device_id)
    with pytest.raises(AuthenticationFailed):
        await world.services.devices.authenticate(issued.certificate)
    with pytest.raises(AuthenticationFailed):
        await world.enrol(device)
    assert await world.services.fleet.list(account) == []
    next_owner = await world.account("bob")
    activation = await world.activate(next_owner, device)
    assert isinstance(activation, Activation)
    assert (activation.purpose, activation.epoch) == ("activate", 2)
    opened = device.open(activation.sealed, world.root_spki_sha256)
    await world.enrol(device, opened.configuration.ticket)
    with pytest.raises(NotFound):
        await world.services.fleet.show(account, device.device_id)


async def test_a_revoked_device_is_not_released(world: World) -> None:
    account, device, _ = await onboarded(world)
    await world.services.fleet.revoke(account, device.device_id, "stolen")
    with pytest.raises(Conflict):
        await world.services.fleet.release(account, device.device_id)


async def test_others_see_nothing_and_operators_see_all_and_may_revoke_but_not_release(world: World) -> None:
    account, device, _ = await onboarded(world)
    other, operator = await world.account("bob"), await world.account("root", operator=True)
    fleet = world.services.fleet
    for refused in (
        fleet.show(other, device.device_id),
        fleet.revoke(other, device.device_id, "mine"),
        fleet.release(other, device.device_id),
        fleet.release(operator, device.device_id),
        fleet.show(other, world.device().device_id),
    ):
        with pytest.raises(NotFound):
            await refused
    with pytest.raises(NotAllowed):
        await fleet.list(other, everyones=True)
    assert [each.record.device_id for each in await fleet.list(operator, everyones=True)] == [device.device_id]
    assert (await fleet.list(account))[0].is_certificate_live
    assert await fleet.count(account.account_id) == 1
    await fleet.revoke(operator, device.device_id, "recalled")
    assert "operator" in (await world.mails())[-1][2]
    assert await fleet.count(account.account_id) == 0


async def test_a_reason_is_one_short_line(world: World) -> None:
    account, device, _ = await onboarded(world)
    for reason in ("", "x" * 201, "two\nlines"):
        with pytest.raises(Malformed):
            await world.services.fleet.revoke(account, device.device_id, reason)


async def test_the_revocation_list_is_kept_until_a_revocation_and_its_number_grows(world: World) -> None:
    account, device, issued = await onboarded(world)
    first = await world.services.revocations.current()
    world.clock.pass_s(60)
    assert await world.services.revocations.current() == first
    assert await serials(world) == (1, set())
    await world.services.fleet.revoke(account, device.device_id, "lost")
    assert await serials(world) == (2, {serial(issued)})
    world.clock.pass_s(13 * 3600)
    assert await serials(world) == (3, {serial(issued)})
    world.clock.pass_s(8 * 24 * 3600)
    assert await serials(world) == (4, set())


async def test_a_list_is_never_served_near_its_end(world: World) -> None:
    world.clock.pass_s(1000)
    crl = x509.load_der_x509_crl(await world.services.revocations.current())
    assert crl.next_update_utc is not None
    assert crl.next_update_utc.timestamp() > datetime.fromtimestamp(world.clock(), UTC).timestamp() + 12 * 3600


async def test_when_a_device_was_last_seen_is_noted_once_a_minute(world: World) -> None:
    account, device, issued = await onboarded(world)
    for seconds, seen in ((0, 0), (30, 0), (30, 60)):
        world.clock.pass_s(seconds)
        await world.services.devices.authenticate(issued.certificate)
        record = (await world.services.fleet.show(account, device.device_id)).record
        assert record.last_seen_at == 1_800_000_000 + seen


async def test_a_device_is_online_while_a_relay_node_holds_it(world: World) -> None:
    account, device, _ = await onboarded(world)

    async def seen() -> tuple[bool, int | None]:
        [listed], shown = (
            await world.services.fleet.list(account),
            await world.services.fleet.show(account, device.device_id),
        )
        assert (listed.is_online, listed.last_seen_at) == (shown.is_online, shown.last_seen_at)
        return shown.is_online, shown.last_seen_at

    start = int(world.clock())
    assert await seen() == (False, None)
    async with world.database.transaction() as connection:
        arrivals = await presence.arrive(connection, "node", [device.device_id], start)
    world.clock.pass_s(90)
    assert await seen() == (True, start + 90)
    async with world.database.transaction() as connection:
        await presence.depart(connection, arrivals, start + 100)
    assert await seen() == (False, start + 100)


async def test_the_next_owner_does_not_learn_when_the_last_one_was_online(world: World) -> None:
    account, device, _ = await onboarded(world)
    async with world.database.transaction() as connection:
        await presence.arrive(connection, "node", [device.device_id], int(world.clock()))
    await world.services.fleet.release(account, device.device_id)
    world.clock.pass_s(90)
    bob = await world.account("bob")
    await world.onboard(bob, device)
    shown = await world.services.fleet.show(bob, device.device_id)
    assert (shown.is_online, shown.last_seen_at) == (False, None)


async def test_a_certificate_that_we_did_not_issue_is_refused(world: World) -> None:
    with pytest.raises(AuthenticationFailed):
        await world.services.devices.authenticate(world.keystore.tls_anchor.certificate_der)
