import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from admittance.errors import AlreadyUsed, AuthenticationFailed, Expired, KeyRefused, Refused, TicketUsed
from admittance.protocol.enrolment.building import build_request
from admittance.protocol.enrolment.reset import build_reset_report
from admittance.server.database import Database
from admittance.server.enrolment.model import Issued
from tests.device_world import START, FakeDevice, World
from tests.logins import authenticated

DAY_S = 24 * 3600
RACERS = 200


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    return World(database, tmp_path)


async def activated(world: World) -> tuple[FakeDevice, bytes]:
    """A device that holds a ticket, activated for ``ann``."""
    device, account = world.device(), await world.account()
    await world.take(device)
    activation = await world.activate(account, device)
    return device, device.open(activation.sealed, world.root_spki_sha256).configuration.ticket


async def test_a_ticket_gives_a_certificate_that_holds_what_it_should(world: World) -> None:
    device, ticket = await activated(world)
    issued = await world.enrol(device, ticket)
    certificate = x509.load_der_x509_certificate(issued.certificate)
    certificate.verify_directly_issued_by(world.keystore.issuing_ca.certificate)
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier(f"urn:admittance:device:{device.device_id}")]
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    assert extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert lifetime <= timedelta(days=7)
    assert certificate.not_valid_before_utc <= datetime.fromtimestamp(START, UTC)
    assert certificate.serial_number.bit_length() > 64
    assert issued.issuer == world.keystore.issuing_ca.certificate_der


async def test_the_first_enrolment_makes_the_device_active_and_tells_the_owner(world: World) -> None:
    device, ticket = await activated(world)
    await world.enrol(device, ticket)
    proven = await world.services.devices.authenticate((await world.enrol(device)).certificate)
    assert (proven.device_id, proven.account_id, proven.epoch) == (device.device_id, "ann", 1)
    [(recipient, subject, text)] = await world.mails()
    assert recipient == "ann@example.org"
    assert "Lamp" in subject
    assert "192.0.2.7" in text
    assert f"admit devices revoke {device.device_id}" in text


async def test_the_same_key_and_ticket_get_the_same_certificate_again(world: World) -> None:
    device, ticket = await activated(world)
    key = new_key()
    first = await world.enrol(device, ticket, key)
    again = await world.enrol(device, ticket, key)
    assert (first.certificate, first.is_new, again.is_new) == (again.certificate, True, False)
    assert len(await world.mails()) == 1


async def test_the_same_bytes_get_the_same_certificate_even_after_the_nonce_ended(world: World) -> None:
    device, ticket = await activated(world)
    nonce, _ = world.services.enrolments.nonce(device.device_id)
    request = device.enrolment(new_key(), nonce, ticket)
    first = await world.services.enrolments.enrol(request, "192.0.2.7")
    world.clock.pass_s(600)
    assert (await world.services.enrolments.enrol(request, "192.0.2.7")).certificate == first.certificate


async def test_another_key_finds_the_ticket_used(world: World) -> None:
    device, ticket = await activated(world)
    await world.enrol(device, ticket)
    with pytest.raises(TicketUsed):
        await world.enrol(device, ticket)


async def test_of_200_uses_of_one_ticket_at_once_one_wins(world: World) -> None:
    device, ticket = await activated(world)
    answers = await asyncio.gather(*(world.enrol(device, ticket) for _ in range(RACERS)), return_exceptions=True)
    assert sum(isinstance(answer, Issued) for answer in answers) == 1
    assert sum(isinstance(answer, TicketUsed) for answer in answers) == RACERS - 1


async def test_200_times_the_same_request_at_once_is_one_certificate(world: World) -> None:
    device, ticket = await activated(world)
    key = new_key()
    answers = await asyncio.gather(*(world.enrol(device, ticket, key) for _ in range(RACERS)))
    assert len({answer.certificate for answer in answers}) == 1
    assert sum(answer.is_new for answer in answers) == 1


async def test_of_200_uses_of_one_nonce_at_once_one_wins(world: World) -> None:
    device, ticket = await activated(world)
    await world.enrol(device, ticket)
    nonce, _ = world.services.enrolments.nonce(device.device_id)
    requests = [device.enrolment(new_key(), nonce) for _ in range(RACERS)]
    answers = await asyncio.gather(
        *(world.services.enrolments.enrol(request, "") for request in requests), return_exceptions=True
    )
    assert sum(isinstance(answer, Issued) for answer in answers) == 1
    assert sum(isinstance(answer, AlreadyUsed) for answer in answers) == RACERS - 1


async def test_a_nonce_is_for_its_device_and_five_minutes(world: World) -> None:
    device, ticket = await activated(world)
    nonce, _ = world.services.enrolments.nonce(world.device().device_id)
    with pytest.raises(AuthenticationFailed):
        await world.services.enrolments.enrol(device.enrolment(new_key(), nonce, ticket), "")
    nonce, _ = world.services.enrolments.nonce(device.device_id)
    world.clock.pass_s(300)
    with pytest.raises(Expired):
        await world.services.enrolments.enrol(device.enrolment(new_key(), nonce, ticket), "")
    await world.enrol(device, ticket)


async def test_a_ticket_works_for_its_own_device_only(world: World) -> None:
    device, ticket = await activated(world)
    thief = world.device()
    await world.take(thief)
    with pytest.raises(AuthenticationFailed):
        await world.enrol(thief, ticket)
    other = world.device()
    await world.take(other)
    activation = await world.activate(await world.account("bob"), other)
    other.open(activation.sealed, world.root_spki_sha256)
    with pytest.raises(AuthenticationFailed):
        await world.enrol(other, ticket)
    await world.enrol(device, ticket)


async def test_a_ticket_lapses_after_an_hour(world: World) -> None:
    device, ticket = await activated(world)
    world.clock.pass_s(3600)
    with pytest.raises(AuthenticationFailed):
        await world.enrol(device, ticket)


async def test_a_pending_device_cannot_enrol_without_its_ticket(world: World) -> None:
    device, _ = await activated(world)
    with pytest.raises(AuthenticationFailed):
        await world.enrol(device)


async def test_unknown_devices_and_wrong_signatures_are_refused_alike(world: World) -> None:
    device, ticket = await activated(world)
    thief = world.device()
    nonce, _ = world.services.enrolments.nonce(device.device_id)
    forged = FakeDevice(
        thief.identity, device.model, device.presence, device.secrets, device.seal_key, epoch=device.epoch
    )
    with pytest.raises(AuthenticationFailed) as unknown:
        await world.enrol(forged, ticket)
    request = build_request(
        thief.identity, new_key(), nonce=nonce, device_id=device.device_id, epoch=device.epoch, ticket=ticket
    )
    with pytest.raises(AuthenticationFailed) as wrong:
        await world.services.enrolments.enrol(request, "")
    assert (unknown.value.code, str(unknown.value)) == (wrong.value.code, str(wrong.value))


async def test_a_wrong_signature_looks_like_a_wrong_ticket(world: World) -> None:
    device, _ = await activated(world)
    with pytest.raises(AuthenticationFailed) as wrong_ticket:
        await world.enrol(device, b"u" * 32)
    attacker = world.device().identity
    nonce, _ = world.services.enrolments.nonce(device.device_id)
    named = {"nonce": nonce, "device_id": device.device_id, "epoch": 1}
    request = build_request(attacker, new_key(), ticket=b"u" * 32, **named)
    with pytest.raises(AuthenticationFailed) as wrong_signature:
        await world.services.enrolments.enrol(request, "192.0.2.7")
    report = build_reset_report(attacker, resets=1, **named)
    with pytest.raises(AuthenticationFailed) as wrong_report:
        await world.services.enrolments.report_reset(report)
    told = {(error.value.code, str(error.value)) for error in (wrong_ticket, wrong_signature, wrong_report)}
    assert len(told) == 1


async def test_the_identity_key_is_no_operational_key(world: World) -> None:
    device, ticket = await activated(world)
    nonce, _ = world.services.enrolments.nonce(device.device_id)
    identity: ec.EllipticCurvePrivateKey = device.identity._private_key
    with pytest.raises(KeyRefused):
        await world.services.enrolments.enrol(device.enrolment(identity, nonce, ticket), "")


async def test_a_device_renews_and_its_owner_hears_nothing_of_it(world: World) -> None:
    device, ticket = await activated(world)
    first = await world.enrol(device, ticket)
    world.clock.pass_s(4 * DAY_S)
    renewed = await world.enrol(device)
    assert renewed.certificate != first.certificate
    assert len(await world.mails()) == 1


async def test_a_device_that_was_off_for_400_days_enrols_again_by_itself(world: World) -> None:
    device, ticket = await activated(world)
    old = await world.enrol(device, ticket)
    world.clock.pass_s(400 * DAY_S)
    with pytest.raises(AuthenticationFailed):
        await world.services.devices.authenticate(old.certificate)
    again = await world.enrol(device)
    assert (await world.services.devices.authenticate(again.certificate)).device_id == device.device_id
    assert len(await world.mails()) == 2


async def test_another_epoch_is_refused(world: World) -> None:
    device, ticket = await activated(world)
    await world.enrol(device, ticket)
    device.epoch = 0
    with pytest.raises(AuthenticationFailed):
        await world.enrol(device)


async def test_a_reset_ends_certificates_until_the_owner_provisions_again(world: World) -> None:
    device, ticket = await activated(world)
    issued = await world.enrol(device, ticket)
    device.resets = 1
    for _ in range(2):
        nonce, _ = world.services.enrolments.nonce(device.device_id)
        await world.services.enrolments.report_reset(device.reset_report(nonce))
    with pytest.raises(AuthenticationFailed):
        await world.services.devices.authenticate(issued.certificate)
    with pytest.raises(AuthenticationFailed):
        await world.enrol(device)

    owner = authenticated("ann", jkt="jkt-ann")
    await world.onboard(owner, device)
    assert [event for event, _ in await world.audited()].count("device.reset") == 1


async def test_a_forged_reset_report_changes_nothing(world: World) -> None:
    device, ticket = await activated(world)
    issued = await world.enrol(device, ticket)
    thief = world.device()
    nonce, _ = world.services.enrolments.nonce(thief.device_id)
    with pytest.raises(Refused):
        await world.services.enrolments.report_reset(thief.reset_report(nonce))
    await world.services.devices.authenticate(issued.certificate)
