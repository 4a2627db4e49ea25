"""T33. Means: a TPM of one's own, of the trusted maker or of another; the victim's endorsement certificate, disk and
identity certificate; every byte of a request. Goal: a certificate for a device id without the TPM that it belongs to.
"""

import dataclasses
import os

import httpx
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.protocol.enrolment.attested import build_attested_csr
from admittance.protocol.enrolment.building import sign_request
from admittance.protocol.signing import SoftwareSigner
from admittance.wire.csr_attestation import TpmStatement
from admittance.wire.enrolment import EnrolmentRequest, TpmProof
from admittance.wire.tpm import algorithms as alg
from admittance.wire.tpm.attest import Attest
from admittance.wire.tpm.public import Public
from admittance.wire.tpm.signature import EcdsaSignature
from tests.attack.site import code_of, invented, new_key, seen
from tests.attack.tpm_site import KIOSK, METER, TpmSite
from tests.tpm_device import TpmDevice, certified_from_outside


async def _certificates(tpms: TpmSite) -> int:
    return len(await tpms.site.rows("certificates"))


async def test_the_control_enrols_and_enrols_again(tpms: TpmSite, victim: TpmDevice) -> None:
    assert (await tpms.enrol(victim)).chain


async def test_a_tpm_of_another_maker_gets_no_challenge(tpms: TpmSite) -> None:
    stranger = tpms.device(tpm_maker="forger")
    ticket = (await tpms.site.claim(await tpms.site.somebody("owner"), stranger)).ticket
    answer = await tpms.credential(stranger)
    assert (answer.status_code, code_of(answer)) == (403, "ek_refused")
    bare = await tpms.site.enrol(stranger, ticket)
    assert (bare.status_code, code_of(bare)) == (403, "attestation_missing")


async def test_an_endorsement_certificate_that_does_not_match_its_key_is_refused(
    tpms: TpmSite, victim: TpmDevice
) -> None:
    own = tpms.device(kind="rsa")
    foreign_chain = [victim.tpm.endorsement()[1]]
    foreign_key = victim.tpm.endorsement()[0]
    for changes in ({"ek_chain": foreign_chain}, {"ek_public": foreign_key}):
        answer = await tpms.credential(own, **changes)
        assert (answer.status_code, code_of(answer)) == (403, "ek_refused")


async def test_another_genuine_tpm_does_not_take_a_device_id_over(tpms: TpmSite, victim: TpmDevice) -> None:
    """A clone of the victim's disk and identity certificate, on a TPM of the same maker."""
    thief = tpms.device()
    clone = dataclasses.replace(thief, certificate=victim.certificate, epoch=victim.epoch)
    before = await _certificates(tpms)
    kept = clone.tpm.make_key()
    nonce = await tpms.site.nonce(victim.device_id)
    proof = await tpms.proof(clone, device_id=victim.device_id)
    statements = clone.tpm.attest(clone.attestation_label, kept, nonce, "")
    csr = build_attested_csr(clone.tpm.signer(kept), victim.device_id, statements)
    content = EnrolmentRequest(nonce, victim.device_id, victim.epoch, b"", csr, proof, None)
    answer = await tpms.site.hand_in(sign_request(clone.identity, content))
    assert (answer.status_code, code_of(answer)) == (401, "authentication_failed")
    assert await _certificates(tpms) == before


async def test_even_the_identity_key_does_not_move_to_another_tpm(tpms: TpmSite, victim: TpmDevice) -> None:
    """An oracle for the victim's identity key (malware on the device) signs for a TPM of the attacker's."""
    thief = tpms.device()
    before = await _certificates(tpms)
    kept = thief.tpm.make_key()
    nonce = await tpms.site.nonce(victim.device_id)
    proof = await tpms.proof(thief, device_id=victim.device_id)
    own = thief.tpm.attest(thief.attestation_label, kept, nonce, "")
    genuine = victim.tpm.attest(victim.attestation_label, victim.tpm.make_key(), nonce, "")
    for statements in (own, (own[0], genuine[1]), genuine):
        csr = build_attested_csr(thief.tpm.signer(kept), victim.device_id, statements)
        content = EnrolmentRequest(nonce, victim.device_id, victim.epoch, b"", csr, proof, None)
        answer = await tpms.site.hand_in(sign_request(victim.identity, content))
        assert answer.status_code in (401, 403, 409), answer.text
    assert await _certificates(tpms) == before


async def test_a_software_key_is_not_certified_by_anybodys_tpm(tpms: TpmSite, victim: TpmDevice) -> None:
    before = await _certificates(tpms)
    software, kept = SoftwareSigner(new_key()), victim.tpm.make_key()
    nonce, proof = await tpms.site.nonce(victim.device_id), await tpms.proof(victim)
    statements = victim.tpm.attest(victim.attestation_label, kept, nonce, "")
    csr = build_attested_csr(software, victim.device_id, statements)
    content = EnrolmentRequest(nonce, victim.device_id, victim.epoch, b"", csr, proof, None)
    answer = await tpms.site.hand_in(sign_request(victim.identity, content))
    assert (answer.status_code, code_of(answer)) == (403, "name_mismatch")
    bare = await tpms.site.enrol(victim)
    assert (bare.status_code, code_of(bare)) == (403, "attestation_missing")
    assert await _certificates(tpms) == before


async def test_a_statement_that_no_tpm_made_is_refused(tpms: TpmSite, victim: TpmDevice) -> None:
    """An oracle for all that the victim's TPM does (malware on the device), and a key in software: a statement about
    that key, with the signature of another statement and with one by a key of the attacker's."""
    before = await _certificates(tpms)
    nonce = await tpms.site.nonce(victim.device_id)
    genuine, identity = victim.tpm.attest(victim.attestation_label, victim.tpm.make_key(), nonce, "")
    software = new_key()
    area = _area_of(software.public_key(), genuine)
    statement = Attest.decode(genuine.attest)
    named = dataclasses.replace(statement.attested, name=Public.decode(area).name)
    attest = dataclasses.replace(statement, attested=named).encode()
    signature = SoftwareSigner(new_key()).sign(attest)
    by_another = EcdsaSignature(alg.SHA256, signature[:32], signature[32:]).encode()
    for forged, refusal in (
        (TpmStatement(attest, genuine.signature, area), (401, "authentication_failed")),
        (TpmStatement(attest, by_another, area), (401, "authentication_failed")),
        (dataclasses.replace(genuine, public=area), (403, "name_mismatch")),
    ):
        answer = await _with_software_key(tpms, victim, software, nonce, (forged, identity))
        assert (answer.status_code, code_of(answer)) == refusal
    assert await _certificates(tpms) == before


async def test_a_key_that_can_leave_the_tpm_is_refused(tpms: TpmSite, victim: TpmDevice) -> None:
    """Malware loads a key of its own into the victim's TPM, which certifies it then, as one from outside."""
    before = await _certificates(tpms)
    nonce, software = await tpms.site.nonce(victim.device_id), new_key()
    _, identity = victim.tpm.attest(victim.attestation_label, victim.tpm.make_key(), nonce, "")
    statement = certified_from_outside(victim.tpm, victim.attestation_label, software, nonce)
    answer = await _with_software_key(tpms, victim, software, nonce, (statement, identity))
    assert (answer.status_code, code_of(answer)) == (403, "key_attributes_refused")
    assert await _certificates(tpms) == before


async def test_statements_of_an_earlier_enrolment_are_refused(tpms: TpmSite, victim: TpmDevice) -> None:
    before, kept = await _certificates(tpms), victim.tpm.make_key()
    earlier = victim.tpm.attest(victim.attestation_label, kept, await tpms.site.nonce(victim.device_id), "")
    nonce, proof = await tpms.site.nonce(victim.device_id), await tpms.proof(victim)
    answer = await tpms.site.hand_in(victim.attested_request(kept, nonce, proof, statements=earlier))
    assert (answer.status_code, code_of(answer)) == (403, "stale_attestation")
    assert await _certificates(tpms) == before


async def _with_software_key(
    tpms: TpmSite,
    victim: TpmDevice,
    key: ec.EllipticCurvePrivateKey,
    nonce: bytes,
    statements: tuple[TpmStatement, ...],
) -> httpx.Response:
    """Ask for a certificate for `key`, with all else as the victim's device would do it."""
    csr = build_attested_csr(SoftwareSigner(key), victim.device_id, statements)
    content = EnrolmentRequest(nonce, victim.device_id, victim.epoch, b"", csr, await tpms.proof(victim), None)
    return await tpms.site.hand_in(sign_request(victim.identity, content))


def _area_of(key: ec.EllipticCurvePublicKey, like: TpmStatement) -> bytes:
    """The public area of `key`, with the attributes of the key in `like`."""
    assert like.public is not None
    area, numbers = Public.decode(like.public), key.public_numbers()
    point = {"x": numbers.x.to_bytes(32), "y": numbers.y.to_bytes(32)}
    return dataclasses.replace(area, parameters=dataclasses.replace(area.parameters, **point)).encode()


async def test_what_does_not_parse_is_refused_and_skips_nothing(tpms: TpmSite, victim: TpmDevice) -> None:
    """Statements cut, padded, emptied, doubled or out of order, each time signed anew by all keys that sign."""
    before = await _certificates(tpms)
    kept = victim.tpm.make_key()

    def cut(part: str) -> list[tuple[TpmStatement, ...]]:
        broken = []
        for value in (b"", b"\0", getattr(first, part)[:-1], getattr(first, part) + b"\0", os.urandom(64)):
            broken.append((dataclasses.replace(first, **{part: value}), second))
        return broken

    nonce = await tpms.site.nonce(victim.device_id)
    first, second = victim.tpm.attest(victim.attestation_label, kept, nonce, "")
    without = dataclasses.replace(first, public=None)
    attempts = [*cut("attest"), *cut("signature"), *cut("public"), (without, second), (first,), (second, first)]
    attempts += [(first, first), (first, second, first), (second, second)]
    for statements in attempts:
        nonce_of_its_own = await tpms.site.nonce(victim.device_id)
        proof = await tpms.proof(victim)
        request = victim.attested_request(kept, nonce_of_its_own, proof, statements=statements)
        answer = await tpms.site.hand_in(request)
        assert answer.status_code in (400, 401, 403), answer.text
        assert code_of(answer)
    assert await _certificates(tpms) == before


async def test_a_flipped_byte_anywhere_in_a_proof_is_refused(tpms: TpmSite, victim: TpmDevice) -> None:
    before = await _certificates(tpms)
    for flip_id, flip_secret in ((True, False), (False, True)):
        proof = await tpms.proof(victim)
        changed = TpmProof(
            bytes([proof.challenge_id[0] ^ flip_id]) + proof.challenge_id[1:],
            proof.secret[:-1] + bytes([proof.secret[-1] ^ flip_secret]),
        )
        answer = await tpms.site.hand_in(await tpms.request(victim, proof=changed))
        assert (answer.status_code, code_of(answer)) == (401, "authentication_failed")
    assert await _certificates(tpms) == before


async def test_a_device_that_booted_something_else_is_refused(tpms: TpmSite) -> None:
    device = tpms.device(model=KIOSK)
    ticket = (await tpms.site.claim(await tpms.site.somebody("owner"), device)).ticket
    nonce, proof = await tpms.site.nonce(device.device_id), await tpms.proof(device)
    request = device.attested_request(device.tpm.make_key(), nonce, proof, ticket, pcrs="sha256:16")
    answer = await tpms.site.hand_in(request)
    assert (answer.status_code, code_of(answer)) == (403, "pcr_mismatch")


async def test_the_device_id_tells_nobody_whether_it_exists(tpms: TpmSite, victim: TpmDevice) -> None:
    """T31: a challenge for a device that nobody made is like that for one of some model, and always the same."""
    own, booted = tpms.device(model=METER), tpms.device(model=KIOSK)
    await tpms.site.claim(await tpms.site.somebody("owner"), booted)

    async def shape(device_id: str) -> tuple[object, ...]:
        answer = await tpms.credential(own, device_id=device_id)
        return (answer.status_code, seen(answer)[1], len(answer.content))

    known = {await shape(victim.device_id), await shape(booted.device_id)}
    for device_id in (invented().device_id for _ in range(8)):
        unknown = await shape(device_id)
        assert unknown in known
        assert await shape(device_id) == unknown
