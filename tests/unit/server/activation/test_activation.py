import asyncio
import os
from pathlib import Path

import pytest

from admittance.errors import (
    AlreadyUsed,
    Conflict,
    EvidenceRefused,
    Expired,
    Malformed,
    NotFound,
    QuotaExceeded,
    Refused,
    WrongChallenge,
)
from admittance.protocol.provisioning.network_secret import Network, decrypt_network
from admittance.server.activation.model import Activation, ActivationRequest, ServerNetwork
from admittance.server.database import Database
from admittance.server.devices import store as registry
from admittance.wire.evidence import SealAlgorithm
from tests.device_world import World, caller

NETWORK = Network("Home", "correct horse battery")


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    return World(database, tmp_path)


@pytest.mark.parametrize("seal", ["hybrid", "classic", "symmetric"])
async def test_a_listed_device_is_activated_and_can_open_its_configuration(world: World, seal: SealAlgorithm) -> None:
    device, account = world.device("lamp", seal), await world.account()
    await world.take(device)
    activation = await world.activate(account, device)
    assert (activation.purpose, activation.epoch, activation.sequence, activation.is_new) == ("activate", 1, 1, True)
    opened = device.open(activation.sealed, world.root_spki_sha256)
    assert len(opened.configuration.ticket) == 32
    assert opened.configuration.network == b""
    assert opened.configuration.anchors == [world.keystore.tls_anchor.certificate_der]
    assert opened.configuration.server_channel == world.keystore.channel_spki
    assert ("device.activated") in [event for event, _ in await world.audited()]


async def test_a_certified_device_needs_no_manifest(world: World) -> None:
    device, account = world.device("vault", certified=True), await world.account()
    await world.activate(account, device)
    async with world.database.read() as connection:
        record = await registry.find(connection, device.device_id)
    assert record is not None
    assert (record.assurance, record.state, record.account_id) == ("certified", "pending", "ann")


async def test_a_stored_network_reaches_the_device_alone_and_needs_the_apps_key(world: World) -> None:
    device, account, app_key = world.device(), await world.account(), os.urandom(32)
    await world.take(device)
    activation = await world.activate(account, device, ServerNetwork(NETWORK, app_key))
    assert NETWORK.passphrase.encode() not in activation.sealed
    network = device.open(activation.sealed, world.root_spki_sha256).configuration.network
    salt, ciphertext = network[:32], network[32:]
    assert decrypt_network(app_key, salt, device.device_id, b"t" * 16, 0, ciphertext) == NETWORK


async def test_the_app_key_is_stored_nowhere(sqlite_database: Database, tmp_path: Path) -> None:
    world = World(sqlite_database, tmp_path)
    device, account, app_key = world.device(), await world.account(), os.urandom(32)
    await world.take(device)
    request = await world.request(account, device, ServerNetwork(NETWORK, app_key))
    await world.services.activations.activate(caller(account), request)
    await sqlite_database.close()
    for file in tmp_path.glob("admittance.db*"):
        assert app_key not in file.read_bytes()
    assert app_key.hex() not in repr(request)
    assert repr(app_key) not in repr(request)


async def test_the_same_request_gets_the_same_answer(world: World) -> None:
    device, account = world.device(), await world.account()
    await world.take(device)
    request = await world.request(account, device)
    first = await world.services.activations.activate(caller(account), request)
    again = await world.services.activations.activate(caller(account), request)
    assert again.sealed == first.sealed
    assert not again.is_new


async def test_of_fifty_uses_of_one_challenge_at_once_one_wins_and_its_repetitions_agree(world: World) -> None:
    device, account = world.device(), await world.account()
    await world.take(device)
    request = await world.request(account, device)
    others = [
        ActivationRequest(request.challenge, device.evidence(request.challenge, binding), binding, b"t" * 16)
        for binding in (os.urandom(32) for _ in range(25))
    ]
    service = world.services.activations
    answers = await asyncio.gather(
        *(service.activate(caller(account), each) for each in [*others, *[request] * 25]), return_exceptions=True
    )
    won = [answer for answer in answers if isinstance(answer, Activation)]
    assert len({answer.sealed for answer in won}) == 1
    assert sum(answer.is_new for answer in won) == 1
    assert all(isinstance(answer, Activation | AlreadyUsed) for answer in answers)


async def test_of_parallel_activations_no_more_succeed_than_the_quota_allows(world: World) -> None:
    account = await world.account(quota=2)
    devices = [world.device() for _ in range(6)]
    await world.take(*devices)
    answers = await asyncio.gather(*(world.activate(account, each) for each in devices), return_exceptions=True)
    assert sum(isinstance(answer, Activation) for answer in answers) == 2
    assert sum(isinstance(answer, QuotaExceeded) for answer in answers) == 4


async def test_of_two_people_at_once_one_gets_the_device(world: World) -> None:
    device, ann, bob = world.device(), await world.account("ann"), await world.account("bob")
    await world.take(device)
    answers = await asyncio.gather(world.activate(ann, device), world.activate(bob, device), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["Activation", "Conflict"]


async def test_the_owner_provisions_again_without_ticket_while_the_certificate_lives(world: World) -> None:
    device, account = world.device(), await world.account()
    await world.take(device)
    await world.onboard(account, device)
    activation = await world.activate(account, device)
    assert (activation.purpose, activation.epoch, activation.sequence) == ("reprovision", 1, 2)
    assert device.open(activation.sealed, world.root_spki_sha256).configuration.ticket == b""
    status = await world.services.fleet.show(account, device.device_id)
    assert status.record.state == "active"
    assert status.is_certificate_live


async def test_the_owner_gets_a_ticket_when_the_certificate_has_expired(world: World) -> None:
    device, account = world.device(), await world.account()
    await world.take(device)
    await world.onboard(account, device)
    world.clock.pass_s(8 * 24 * 3600)
    activation = await world.activate(account, device)
    assert len(device.open(activation.sealed, world.root_spki_sha256).configuration.ticket) == 32


async def test_a_device_that_was_reset_loses_its_certificates_and_gets_a_ticket(world: World) -> None:
    device, account = world.device(), await world.account()
    await world.take(device)
    issued = await world.onboard(account, device)
    device.resets, device.epoch = 1, 0
    activation = await world.activate(account, device)
    assert (activation.purpose, activation.epoch) == ("reprovision", 1)
    assert device.open(activation.sealed, world.root_spki_sha256).configuration.ticket
    with pytest.raises(Refused):
        await world.services.devices.authenticate(issued.certificate)


async def test_the_sequence_is_above_the_devices_even_after_a_restore(world: World) -> None:
    device, account = world.device(), await world.account()
    await world.take(device)
    device.last_sequence, device.epoch = 41, 7
    activation = await world.activate(account, device)
    assert (activation.epoch, activation.sequence) == (8, 42)


async def test_a_pending_activation_lapses_and_frees_device_and_quota(world: World) -> None:
    device, other = world.device(), world.device()
    ann, bob = await world.account("ann", quota=1), await world.account("bob")
    await world.take(device, other)
    lapsed = await world.activate(ann, device)
    with pytest.raises(QuotaExceeded):
        await world.activate(ann, other)
    with pytest.raises(Conflict):
        await world.activate(bob, device)
    world.clock.pass_s(3601)
    assert (await world.activate(bob, device)).epoch == 2
    await world.activate(ann, other)
    ticket = device.open(lapsed.sealed, world.root_spki_sha256).configuration.ticket
    with pytest.raises(Refused):
        await world.enrol(device, ticket)


async def test_a_pending_activation_repeated_before_delivery_still_raises_the_devices_epoch(world: World) -> None:
    device, account = world.device(), await world.account()
    await world.take(device)
    await world.activate(account, device)
    again = await world.activate(account, device)
    assert (again.purpose, again.epoch) == ("activate", 1)
    device.open(again.sealed, world.root_spki_sha256)
    third = await world.activate(account, device)
    assert (third.purpose, third.epoch) == ("reprovision", 1)


async def test_another_accounts_device_is_a_conflict_that_names_nobody(world: World) -> None:
    device, ann, bob = world.device(), await world.account("ann"), await world.account("bob")
    await world.take(device)
    await world.onboard(ann, device)
    with pytest.raises(Conflict) as refused:
        await world.activate(bob, device)
    assert "ann" not in str(refused.value)


async def test_refusals_look_alike_outside_and_tell_the_reason_in_the_audit_log(world: World) -> None:
    account = await world.account()
    unknown, weak, revoked, good = world.device(), world.device("vault"), world.device(), world.device()
    await world.take(weak, revoked, good)
    await world.onboard(account, revoked)
    await world.services.fleet.revoke(account, revoked.device_id, "stolen")
    messages = set()
    for device, changes in (
        (unknown, {}),
        (weak, {}),
        (revoked, {}),
        (good, {"binding": b"b" * 32}),
        (good, {"server_origin": "https://evil.example"}),
        (good, {"code_age_s": 5000}),
    ):
        request = await world.request(account, device, **changes)
        with pytest.raises(EvidenceRefused) as refused:
            await world.services.activations.activate(caller(account), request)
        messages.add((refused.value.code, str(refused.value)))
    assert len(messages) == 1
    reasons = [details for event, details in await world.audited() if event == "activation.refused"]
    expected = ("unknown_device", "assurance", "revoked", "wrong_binding", "wrong_origin", "code_age")
    assert [details.split('"')[3] for details in reasons] == list(expected)


async def test_evidence_signed_by_another_key_is_refused(world: World) -> None:
    account, device, thief = await world.account(), world.device(), world.device()
    await world.take(device)
    request = await world.request(account, thief, device_id=device.device_id)
    with pytest.raises(EvidenceRefused):
        await world.services.activations.activate(caller(account), request)


async def test_a_challenge_is_for_its_account_its_key_its_device_and_its_time(world: World) -> None:
    account, other = await world.account("ann"), await world.account("bob")
    device = world.device()
    await world.take(device)
    request = await world.request(account, device)
    activate = world.services.activations.activate
    with pytest.raises(WrongChallenge):
        await activate(caller(other), request)
    with pytest.raises(WrongChallenge):
        await activate(type(caller(account))(account.account_id, "another key"), request)
    bound = await world.services.challenges.issue(caller(account), world.device().device_id)
    elsewhere = ActivationRequest(bound.challenge, device.evidence(bound.challenge, b"b" * 32), b"b" * 32, b"t" * 16)
    with pytest.raises(WrongChallenge):
        await activate(caller(account), elsewhere)
    world.clock.pass_s(15 * 60)
    with pytest.raises(Expired):
        await activate(caller(account), request)


async def test_a_refused_challenge_is_used_up(world: World) -> None:
    account, device = await world.account(), world.device()
    request = await world.request(account, device)
    with pytest.raises(EvidenceRefused):
        await world.services.activations.activate(caller(account), request)
    await world.take(device)
    with pytest.raises(AlreadyUsed):
        await world.services.activations.activate(caller(account), request)


async def test_what_is_no_evidence_is_malformed_and_uses_nothing_up(world: World) -> None:
    account = await world.account()
    issued = await world.services.challenges.issue(caller(account), None)
    with pytest.raises(Malformed):
        await world.services.activations.activate(
            caller(account), ActivationRequest(issued.challenge, b"junk", b"b" * 32, b"t" * 16)
        )


async def test_presence_codes_need_the_callers_own_open_challenge_for_that_device(world: World) -> None:
    ann, bob, device = await world.account("ann"), await world.account("bob"), world.device("lock")
    issued = await world.services.challenges.issue(caller(ann), device.device_id)
    require = world.services.challenges.require
    await require(caller(ann), issued.challenge, device.device_id)
    with pytest.raises(NotFound):
        await require(caller(bob), issued.challenge, device.device_id)
    with pytest.raises(NotFound):
        await require(caller(ann), issued.challenge, world.device().device_id)
    world.clock.pass_s(15 * 60)
    with pytest.raises(Expired):
        await require(caller(ann), issued.challenge, device.device_id)


async def test_the_registry_keeps_the_channel_key_of_the_newest_evidence_until_the_device_is_nobodys(
    world: World,
) -> None:
    async def kept() -> bytes | None:
        async with world.database.read() as connection:
            record = await registry.find(connection, device.device_id)
        assert record is not None
        return record.channel_spki

    device, account = world.device(), await world.account()
    await world.take(device)
    device.channel = b"first"
    await world.onboard(account, device)
    assert await kept() == b"first"
    device.channel, device.resets = b"second", 1
    await world.activate(account, device)
    assert await kept() == b"second"
    await world.services.fleet.release(account, device.device_id)
    assert await kept() is None
