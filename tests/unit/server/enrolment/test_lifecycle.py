from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.errors import (
    AuthenticationFailed,
    Conflict,
    EvidenceRefused,
    NotAllowed,
    NotFound,
)
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.database import Database
from admittance.server.enrolment.model import CertificatePolicy, Issued
from admittance.server.enrolment.shown import shown_device
from tests.device_world import FakeDevice, World

NOTICE_S = 14 * 24 * 3600


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    return World(database, tmp_path)


async def owned(world: World) -> tuple[AuthenticatedAccount, FakeDevice, Issued]:
    ann, device = await world.account(), world.device()
    await world.take(device)
    return ann, device, await world.onboard(ann, device)


async def alerts(world: World, place: str = "") -> list[str]:
    return [text for _, subject, text in await world.mails() if "appeared" in subject and place in text]


async def test_a_lost_device_goes_on_working_and_its_owner_hears_of_it_once_an_hour(world: World) -> None:
    ann, device, issued = await owned(world)
    await world.services.lifecycle.report(ann, device.device_id, "lost")
    for _ in range(3):
        await world.services.devices.authenticate(issued.certificate, "203.0.113.9")
    [alert] = await alerts(world)
    assert "203.0.113.9" in alert
    await world.enrol(device)
    assert len(await alerts(world, "it asked for a certificate")) == 1
    world.clock.pass_s(3600)
    await world.services.devices.authenticate(issued.certificate)
    assert len(await alerts(world)) == 3
    await world.services.lifecycle.found(ann, device.device_id)
    world.clock.pass_s(3600)
    await world.services.devices.authenticate(issued.certificate)
    assert len(await alerts(world)) == 3


async def test_a_stolen_device_is_refused_everywhere_and_every_appearance_is_told(world: World) -> None:
    ann, device, issued = await owned(world)
    thief = await world.account("thief")
    await world.services.lifecycle.report(ann, device.device_id, "stolen")
    with pytest.raises(AuthenticationFailed):
        await world.services.devices.authenticate(issued.certificate, "203.0.113.9")
    with pytest.raises(AuthenticationFailed):
        await world.enrol(device)
    for claimer in (thief, ann):
        with pytest.raises(EvidenceRefused):
            await world.activate(claimer, device)
    assert len(await alerts(world)) == 3
    assert (await world.services.setup.setup(device.device_id, thief.account_id)).access_point.passphrase != (
        device.secrets.access_point_passphrase
    )
    sighted = [details for event, details in await world.audited() if event == "device.sighted"]
    assert len(sighted) == 3


async def test_a_stolen_device_that_is_found_works_once_it_is_provisioned_again(world: World) -> None:
    ann, device, _ = await owned(world)
    await world.services.lifecycle.report(ann, device.device_id, "stolen")
    with pytest.raises(Conflict):
        await world.services.fleet.release(ann, device.device_id)
    await world.services.lifecycle.found(ann, device.device_id)
    with pytest.raises(AuthenticationFailed):
        await world.enrol(device)
    issued = await world.onboard(ann, device)
    assert await world.services.devices.authenticate(issued.certificate)


async def test_only_the_owner_reports_and_only_what_is_enrolled(world: World) -> None:
    ann, device, _ = await owned(world)
    bob, operator = await world.account("bob"), await world.account("operator", operator=True)
    for other in (bob, operator):
        for act in (
            world.services.lifecycle.report(other, device.device_id, "stolen"),
            world.services.lifecycle.found(other, device.device_id),
            world.services.lifecycle.keep(other, device.device_id),
        ):
            with pytest.raises(NotFound):
                await act
    pending = world.device()
    await world.take(pending)
    await world.activate(ann, pending)
    with pytest.raises(Conflict):
        await world.services.lifecycle.report(ann, pending.device_id, "lost")


async def test_an_assigned_device_is_claimed_by_its_assignee_alone(world: World) -> None:
    ann, bob = await world.account(), await world.account("bob")
    operator, device = await world.account("operator", operator=True), world.device()
    await world.take(device)
    with pytest.raises(NotAllowed):
        await world.services.lifecycle.assign(await world.account("eve", operator=False), device.device_id, "x@y.z")
    with pytest.raises(NotFound):
        await world.services.lifecycle.assign(operator, device.device_id, "nobody@example.org")
    await world.services.lifecycle.assign(operator, device.device_id, bob.email)
    with pytest.raises(EvidenceRefused):
        await world.activate(ann, device)
    await world.onboard(bob, device)
    with pytest.raises(Conflict):
        await world.services.lifecycle.assign(operator, device.device_id, ann.email)
    await world.services.fleet.release(bob, device.device_id)
    assert await world.onboard(ann, device)


async def test_an_operators_release_waits_for_the_owner_to_object(world: World) -> None:
    ann, device, issued = await owned(world)
    operator = await world.account("operator", operator=True)
    with pytest.raises(NotAllowed):
        await world.services.lifecycle.announce_release(ann, device.device_id)
    await world.services.lifecycle.announce_release(operator, device.device_id)
    assert any(f"admit devices keep {device.device_id}" in text for _, _, text in await world.mails())
    world.clock.pass_s(3600)
    assert await world.services.lifecycle.release_due() == 0
    await world.services.lifecycle.keep(ann, device.device_id)
    world.clock.pass_s(NOTICE_S)
    assert await world.services.lifecycle.release_due() == 0
    assert (await world.services.fleet.show(ann, device.device_id)).record.state == "active"
    await world.services.lifecycle.announce_release(operator, device.device_id)
    world.clock.pass_s(NOTICE_S)
    assert await world.services.lifecycle.release_due() == 1
    assert await world.services.lifecycle.release_due() == 0
    with pytest.raises(NotFound):
        await world.services.fleet.show(ann, device.device_id)
    with pytest.raises(AuthenticationFailed):
        await world.services.devices.authenticate(issued.certificate)
    assert await world.onboard(await world.account("bob"), device)


async def test_a_decommissioned_device_never_returns(world: World) -> None:
    ann, device, issued = await owned(world)
    operator = await world.account("operator", operator=True)
    await world.services.lifecycle.decommission(operator, device.device_id, "scrapped")
    assert any("for good" in text for _, _, text in await world.mails())
    with pytest.raises(AuthenticationFailed):
        await world.services.devices.authenticate(issued.certificate)
    with pytest.raises(AuthenticationFailed):
        await world.enrol(device)
    with pytest.raises(NotFound):
        await world.services.fleet.show(ann, device.device_id)
    for attempt in (world.services.fleet.release, world.services.lifecycle.announce_release):
        with pytest.raises(Conflict):
            await attempt(operator, device.device_id)
    summary = await world.take(device)
    assert (summary.added, summary.known) == (0, 1)
    with pytest.raises(EvidenceRefused):
        await world.activate(ann, device)
    record = (await world.services.fleet.show(operator, device.device_id)).record
    assert (record.state, record.account_id, record.secrets) == ("decommissioned", None, None)
    await world.services.lifecycle.decommission(operator, device.device_id, "again")
    await world.services.fleet.revoke(operator, device.device_id, "again")
    assert (await world.services.fleet.show(operator, device.device_id)).record.state == "decommissioned"


async def test_a_transfer_leaves_a_chain_and_nothing_of_the_old_owner(world: World) -> None:
    ann, device, issued = await owned(world)
    await world.services.devices.authenticate(issued.certificate)
    await world.services.fleet.release(ann, device.device_id)
    bob, operator = await world.account("bob"), await world.account("operator", operator=True)
    activation = await world.activate(bob, device)
    shown = shown_device(await world.services.fleet.show(bob, device.device_id), in_full=True)
    assert (shown["epoch"], shown["last_seen_at"], shown["certificate"]) == (2, None, None)
    assert "enrolment" not in shown
    await world.enrol(device, device.open(activation.sealed, world.root_spki_sha256).configuration.ticket)
    seen_by_bob = await world.services.history.of(bob, device.device_id)
    assert [(each.event, each.by, each.epoch) for each in seen_by_bob] == [
        ("device.activated", "an earlier owner", 1),
        ("device.released", "an earlier owner", 1),
        ("device.activated", "you", 2),
        ("device.enrolled", "device", 2),
    ]
    assert [each.details is None for each in seen_by_bob] == [True, True, False, False]
    assert "ann" not in repr(seen_by_bob)
    with pytest.raises(NotFound):
        await world.services.history.of(ann, device.device_id)
    whole = await world.services.history.of(operator, device.device_id)
    assert [each.by for each in whole[:1]] == ["account:ann"]
    exported = b"".join([line async for line in world.foundation.audit_service.export()])
    assert all(each.mac.encode() in exported for each in whole)


def test_devices_that_enrolled_together_renew_apart_and_well_before_expiry() -> None:
    policy = CertificatePolicy(7 * 24 * 3600)
    at = [policy.renew_after(first.to_bytes(2) + bytes(30)) for first in (0, 0x8000, 0xFFFF)]
    assert at[0] == policy.ttl_s * 2 // 5
    assert at[0] < at[1] < at[2] <= policy.ttl_s * 3 // 5


async def test_renewal_is_at_the_same_time_however_often_the_device_asks(world: World) -> None:
    _, device, _ = await owned(world)
    key = ec.generate_private_key(ec.SECP256R1())
    first, again = await world.enrol(device, key=key), await world.enrol(device, key=key)
    assert (first.certificate, first.renew_after_s) == (again.certificate, again.renew_after_s)
    proven = await world.services.devices.authenticate(first.certificate)
    assert proven.renew_after_s == first.renew_after_s
