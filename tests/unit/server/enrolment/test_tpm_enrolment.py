import asyncio
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from admittance.errors import (
    AlreadyUsed,
    AttestationMissing,
    AuthenticationFailed,
    EkRefused,
    Expired,
    KeyAttributesRefused,
    Malformed,
    NameMismatch,
    PcrMismatch,
    Refused,
    StaleAttestation,
    TicketUsed,
)
from admittance.protocol.enrolment.request import read_request
from admittance.server.config import ModelSection, TpmSection
from admittance.server.database import Database
from admittance.server.enrolment.model import Issued
from admittance.server.enrolment.shown import shown_device
from admittance.server.enrolment.tpm.store import credential_challenges
from admittance.wire.csr_attestation import TpmStatement
from admittance.wire.enrolment import TpmProof
from admittance.wire.tpm_enrolment import CredentialChallenge
from tests.device_world import MODELS, World
from tests.logins import authenticated
from tests.tpm_device import TpmDevice
from tests.tpm_made import authority
from tests.unit.server.enrolment.conftest import Tpms

RACERS = 200
ANN = authenticated("ann", jkt="jkt-ann")
TPM_MODELS = {
    "meter": ModelSection(display_name="Meter", presence="display", makers=("acme",), minimum_assurance="tpm"),
    "kiosk": ModelSection(
        display_name="Kiosk", presence="display", makers=("acme",), pcrs={"sha256:16": ("00" * 32,)}
    ),
}


@pytest.fixture
def world(database: Database, tmp_path: Path, tpms: Tpms) -> World:
    return World(database, tmp_path, models=MODELS | TPM_MODELS, tpm=TpmSection(ek_roots=(str(tpms.root),)))


async def claimed(world: World, device: TpmDevice, **line: object) -> bytes:
    """Import the device, activate it for ``ann``; gives its ticket."""
    await world.account()
    summary = await world.importer.run([world.manifest_line(device, **line)])
    assert not summary.errors, summary.errors
    activation = await world.activate(ANN, device)
    return device.open(activation.sealed, world.root_spki_sha256).configuration.ticket


async def challenge(world: World, device: TpmDevice, **changes: object) -> CredentialChallenge:
    return await world.services.tpm.credentials.challenge(device.credential_request(**changes))


async def request_of(
    world: World,
    device: TpmDevice,
    ticket: bytes = b"",
    *,
    kept: bytes = b"",
    proof: TpmProof | None = None,
    **changes: Any,
) -> bytes:
    nonce, _ = world.services.enrolments.nonce(device.device_id)
    proof = proof or device.answer(await challenge(world, device))
    return device.attested_request(kept or device.tpm.make_key(), nonce, proof, ticket, **changes)


async def hand_in(world: World, request: bytes) -> Issued:
    return await world.services.enrolments.enrol(request, "192.0.2.7")


async def enrol(world: World, device: TpmDevice, ticket: bytes = b"") -> Issued:
    return await hand_in(world, await request_of(world, device, ticket))


async def assurance(world: World, device: TpmDevice) -> str:
    return (await world.services.fleet.show(ANN, device.device_id)).record.assurance


async def outcomes(world: World, requests: Sequence[bytes]) -> list[object]:
    return await asyncio.gather(*(hand_in(world, request) for request in requests), return_exceptions=True)


@pytest.mark.parametrize("kind", ["p256", "rsa", "p384"])
async def test_a_device_enrols_by_its_tpm(world: World, tpms: Tpms, kind: str) -> None:
    device = tpms.device(kind, "meter")
    ticket = await claimed(world, device)
    assert await assurance(world, device) == "listed"
    assert (await enrol(world, device, ticket)).is_new
    assert await assurance(world, device) == "tpm"


async def test_the_evidence_is_kept_and_shown(world: World, tpms: Tpms) -> None:
    device = tpms.device(model="meter")
    request = await request_of(world, device, await claimed(world, device))
    await hand_in(world, request)
    shown = shown_device(await world.services.fleet.show(ANN, device.device_id), in_full=True)["enrolment"]
    assert (shown["assurance"], shown["by"], shown["tpm"]["decision"]) == ("tpm", "ticket", "issued")
    assert len(shown["tpm"]["checks"]) == 5
    assert [each["about"] for each in shown["tpm"]["statements"]] == ["operational key", "identity key"]
    assert shown["tpm"]["ek_chain"][0]["issuer"] == "CN=ACME test EK CA"
    assert read_request(request).request.proof is not None


async def test_the_same_request_gets_the_same_certificate_long_after(world: World, tpms: Tpms) -> None:
    device = tpms.device(model="meter")
    request = await request_of(world, device, await claimed(world, device))
    first = await hand_in(world, request)
    world.clock.pass_s(3000)
    again = await hand_in(world, request)
    assert (first.certificate, again.is_new) == (again.certificate, False)


async def test_a_lost_answer_costs_nothing_whatever_the_device_asks_next(world: World, tpms: Tpms) -> None:
    """With a fresh nonce and a fresh credential challenge, the same key and ticket get the same certificate."""
    device = tpms.device(model="meter")
    ticket, kept = await claimed(world, device), device.tpm.make_key()
    first = await hand_in(world, await request_of(world, device, ticket, kept=kept))
    again = await hand_in(world, await request_of(world, device, ticket, kept=kept))
    assert (first.certificate, again.is_new) == (again.certificate, False)


async def test_a_model_that_needs_it_takes_nothing_less(world: World, tpms: Tpms) -> None:
    device = tpms.device(model="meter")
    ticket = await claimed(world, device)
    with pytest.raises(AttestationMissing):
        await world.enrol(device, ticket)
    assert ("enrolment.refused", '{"reason":"attestation_missing"}') in await world.audited()
    await enrol(world, device, ticket)


async def test_any_device_may_bring_it_and_then_always_must(world: World, tpms: Tpms) -> None:
    device = tpms.device(model="lamp")
    await enrol(world, device, await claimed(world, device))
    assert await assurance(world, device) == "tpm"
    with pytest.raises(AttestationMissing):
        await world.enrol(device)
    await enrol(world, device)


async def test_the_next_owner_gets_a_device_that_must_prove_its_tpm_again(world: World, tpms: Tpms) -> None:
    device, bob = tpms.device(model="lamp"), await world.account("bob")
    await enrol(world, device, await claimed(world, device))
    await world.services.fleet.release(ANN, device.device_id)
    opened = device.open((await world.activate(bob, device)).sealed, world.root_spki_sha256)
    assert (await world.services.fleet.show(bob, device.device_id)).record.assurance == "listed"
    with pytest.raises(AttestationMissing):
        await world.enrol(device, opened.configuration.ticket)
    await enrol(world, device, opened.configuration.ticket)
    assert (await world.services.fleet.show(bob, device.device_id)).record.assurance == "tpm"


async def test_provisioning_again_does_not_lower_the_assurance(world: World, tpms: Tpms) -> None:
    device = tpms.device(model="lamp")
    await enrol(world, device, await claimed(world, device))
    await world.activate(ANN, device)
    assert await assurance(world, device) == "tpm"


async def test_a_certificate_alone_authenticates_no_device_with_a_tpm(world: World, tpms: Tpms) -> None:
    device = tpms.device(model="lamp")
    issued = await enrol(world, device, await claimed(world, device))
    with pytest.raises(AuthenticationFailed):
        await world.services.devices.authenticate(issued.certificate)


async def test_a_credential_challenge_is_stored_without_its_secret(world: World, tpms: Tpms) -> None:
    device = tpms.device()
    proof = device.answer(await challenge(world, device))
    async with world.database.read() as connection:
        [row] = await connection.execute(select(credential_challenges))
    assert not any(isinstance(value, bytes) and proof.secret in value for value in row)


async def test_a_credential_challenge_is_good_for_five_minutes(world: World, tpms: Tpms) -> None:
    device = tpms.device(model="meter")
    ticket = await claimed(world, device)
    proof = device.answer(await challenge(world, device))
    world.clock.pass_s(300)
    with pytest.raises(Expired):
        await hand_in(world, await request_of(world, device, ticket, proof=proof))


async def test_a_wrong_secret_or_anothers_challenge_is_refused(world: World, tpms: Tpms) -> None:
    device, other = tpms.device(model="meter"), tpms.device("rsa")
    ticket = await claimed(world, device)
    proof = device.answer(await challenge(world, device))
    of_other = other.answer(await challenge(world, other))
    for wrong in (TpmProof(proof.challenge_id, os.urandom(32)), TpmProof(os.urandom(16), proof.secret), of_other):
        with pytest.raises(AuthenticationFailed):
            await hand_in(world, await request_of(world, device, ticket, proof=wrong))
    await hand_in(world, await request_of(world, device, ticket, proof=proof))


async def test_unknown_ids_get_challenges_alike(world: World, tpms: Tpms) -> None:
    device = tpms.device()
    await world.take(device)
    known, unknown = (
        await challenge(world, device),
        await challenge(world, device, device_id=world.device().device_id),
    )
    assert [len(each) for each in (known.id_object, known.encrypted_secret)] == [
        len(each) for each in (unknown.id_object, unknown.encrypted_secret)
    ]
    assert device.answer(unknown).secret


async def test_a_tpm_of_nobody_we_trust_gets_no_challenge(database: Database, tmp_path: Path, tpms: Tpms) -> None:
    stranger = tmp_path / "stranger"
    made_by = authority(stranger)
    world = World(database, tmp_path, tpm=TpmSection(ek_roots=(str(stranger / "ek-ca.pem"),)))
    assert made_by.certificate.subject
    with pytest.raises(EkRefused):
        await challenge(world, tpms.device())
    with pytest.raises(EkRefused):
        await challenge(World(database, tmp_path), tpms.device())


async def test_an_attestation_key_must_be_one(world: World, tpms: Tpms) -> None:
    device = tpms.device()
    with pytest.raises(KeyAttributesRefused):
        await challenge(world, device, ak_public=device.tpm.endorsement()[0])
    with pytest.raises(Malformed):
        await challenge(world, device, ak_public=device.tpm.endorsement()[0][:-1])


async def test_statements_over_another_nonce_or_of_another_key_are_refused(world: World, tpms: Tpms) -> None:
    device = tpms.device(model="meter")
    ticket, kept = await claimed(world, device), device.tpm.make_key()
    stale = device.tpm.attest(device.attestation_label, kept, os.urandom(32), "")
    with pytest.raises(StaleAttestation):
        await hand_in(world, await request_of(world, device, ticket, kept=kept, statements=stale))
    nonce, _ = world.services.enrolments.nonce(device.device_id)
    another = device.tpm.attest(device.attestation_label, device.tpm.make_key(), nonce, "")
    proof = device.answer(await challenge(world, device))
    with pytest.raises(NameMismatch):
        await hand_in(world, device.attested_request(kept, nonce, proof, ticket, statements=another))
    refused = [details for event, details in await world.audited() if event == "enrolment.refused"]
    assert refused == ['{"reason":"stale_attestation"}', '{"reason":"name_mismatch"}']


async def test_statements_by_another_attestation_key_are_refused(world: World, tpms: Tpms) -> None:
    device = tpms.device(model="meter")
    ticket = await claimed(world, device)
    proof = device.answer(await challenge(world, device))
    device.attestation_label = os.urandom(32)
    with pytest.raises(AuthenticationFailed):
        await hand_in(world, await request_of(world, device, ticket, proof=proof))


async def test_a_request_with_a_proof_and_no_statements_is_refused(world: World, tpms: Tpms) -> None:
    device = tpms.device(model="meter")
    ticket, kept = await claimed(world, device), device.tpm.make_key()
    nonce, _ = world.services.enrolments.nonce(device.device_id)
    statements: tuple[TpmStatement, ...] = device.tpm.attest(device.attestation_label, kept, nonce, "")[:1]
    proof = device.answer(await challenge(world, device))
    with pytest.raises(AttestationMissing):
        await hand_in(world, device.attested_request(kept, nonce, proof, ticket, statements=statements))


async def test_a_model_with_reference_values_sees_what_booted(world: World, tpms: Tpms) -> None:
    device = tpms.device(model="kiosk")
    ticket = await claimed(world, device)
    asked = await challenge(world, device)
    assert asked.pcrs == "sha256:16"
    with pytest.raises(PcrMismatch):
        await hand_in(world, await request_of(world, device, ticket, pcrs="sha256:16"))
    with pytest.raises(PcrMismatch):
        await hand_in(world, await request_of(world, device, ticket, pcrs="sha256:17"))
    with pytest.raises(AttestationMissing):
        await hand_in(world, await request_of(world, device, ticket))


async def test_a_device_id_has_one_endorsement_key_for_ever(world: World, tpms: Tpms, tmp_path: Path) -> None:
    """T33: the manifest names the key of another TPM of the same maker."""
    device, other = tpms.device(model="meter"), tpms.device("rsa")
    ticket = await claimed(world, device, ek_certificate=other.tpm.endorsement()[1])
    with pytest.raises(EkRefused):
        await enrol(world, device, ticket)
    assert ("enrolment.refused", '{"reason":"another_ek"}') in await world.audited()
    summary = await world.importer.run([world.manifest_line(other, ek_certificate=other.tpm.endorsement()[1])])
    assert "another device" in summary.errors[0].reason


async def test_the_manifests_endorsement_key_is_the_one(world: World, tpms: Tpms) -> None:
    device, other = tpms.device(model="meter"), tpms.device("rsa", "meter")
    certificate = device.tpm.endorsement()[1]
    await enrol(world, device, await claimed(world, device, ek_certificate=certificate))
    lines = [
        world.manifest_line(device, ek_certificate=certificate),
        world.manifest_line(device, ek_certificate=other.tpm.endorsement()[1]),
        world.manifest_line(other, ek_certificate=b"no certificate"),
        world.manifest_line(other, ek_certificate=certificate),
    ]
    summary = await world.importer.run(lines)
    assert (summary.known, [error.line for error in summary.errors]) == (1, [2, 3, 4])


async def test_two_identities_in_one_tpm_are_not_two_devices(world: World, tpms: Tpms) -> None:
    """T33: a TPM vouches truly for a second identity key that it holds, and its endorsement key is bound already."""
    device = tpms.device(model="meter")
    await enrol(world, device, await claimed(world, device))
    identity, kept = device.tpm.make_key(), device.tpm.make_key()
    second = dataclasses.replace(device, identity=device.tpm.signer(identity), epoch=0, last_sequence=0)
    await world.take(second)
    opened = second.open((await world.activate(ANN, second)).sealed, world.root_spki_sha256)
    nonce, _ = world.services.enrolments.nonce(second.device_id)
    label = device.attestation_label
    statements = (device.tpm.attest(label, kept, nonce, "")[0], device.tpm.attest(label, identity, nonce, "")[0])
    proof = second.answer(await challenge(world, second))
    request = second.attested_request(kept, nonce, proof, opened.configuration.ticket, statements=statements)
    with pytest.raises(EkRefused):
        await hand_in(world, request)


@pytest.mark.parametrize("spent", ["nonce", "ticket", "challenge"])
async def test_of_200_uses_at_once_one_wins(world: World, tpms: Tpms, spent: str) -> None:
    """The TPM makes a few keys; which request wins is the database's to say."""
    device = tpms.device(model="meter")
    ticket = await claimed(world, device)
    if spent != "ticket":
        await enrol(world, device, ticket)
        ticket = b""
    requests = await _racing(world, device, ticket, spent)
    answers = await outcomes(world, [requests[number % len(requests)] for number in range(RACERS)])
    certificates = {answer.certificate for answer in answers if isinstance(answer, Issued)}
    assert len(certificates) == 1
    assert sum(isinstance(answer, Issued) and answer.is_new for answer in answers) == 1
    losers = [answer for answer in answers if not isinstance(answer, Issued)]
    assert losers
    assert all(isinstance(answer, AlreadyUsed | TicketUsed) for answer in losers)
    assert all(isinstance(answer, Refused) for answer in losers)


async def _racing(world: World, device: TpmDevice, ticket: bytes, spent: str) -> list[bytes]:
    """Requests for different keys that have nothing but `spent` in common."""
    proof = device.answer(await challenge(world, device))
    nonce, _ = world.services.enrolments.nonce(device.device_id)
    requests = []
    for _ in range(8):
        if spent != "challenge":
            proof = device.answer(await challenge(world, device))
        if spent != "nonce":
            nonce, _ = world.services.enrolments.nonce(device.device_id)
        requests.append(device.attested_request(device.tpm.make_key(), nonce, proof, ticket))
    return requests


async def test_challenges_of_one_endorsement_key_are_few(world: World, tpms: Tpms) -> None:
    device = tpms.device()
    for _ in range(20):
        await challenge(world, device)
    async with world.database.read() as connection:
        assert len(list(await connection.execute(select(credential_challenges)))) == 16
