"""Attested requests that were changed, with every signature left as it was or made again: none is accepted.

Who changes a request may hold the identity key and the operational key, as software on the device does. The
attestation key signs but what its TPM made, so re-signing a changed statement stands for a broken TPM: even then all
that the server relies on must be checked.
"""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from admittance.errors import Malformed, Refused
from admittance.protocol.enrolment.attested import build_attested_csr
from admittance.protocol.enrolment.building import sign_request
from admittance.protocol.enrolment.request import read_request
from admittance.protocol.signing import SoftwareSigner
from admittance.protocol.tpm.quote import PcrPolicy
from admittance.wire.csr_attestation import TpmStatement, decode_request
from admittance.wire.enrolment import EnrolmentRequest, TpmProof
from admittance.wire.tpm.attest import Attest
from tests.tpm_material import NONCE, PCR_DIGEST, RSASSA_SHA256, MemoryTpm

MUTATIONS = 1500
ECDSA_TPM = MemoryTpm()
TPMS = [ECDSA_TPM, MemoryTpm(ak=rsa.generate_private_key(65537, 2048), ak_scheme=RSASSA_SHA256)]
POLICY = PcrPolicy.parse("sha256:0,7", [PCR_DIGEST.hex()])
COSE_TAG = b"\xd2"

Mutation = Callable[[MemoryTpm, random.Random], bytes | None]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """`data` with a bit flipped, a byte or a run changed, inserted, doubled, moved or left out, or cut short."""
    at = chance.randrange(len(data))
    length = chance.choice([1, 1, 2, 4, 8, 32])
    other = chance.randrange(len(data))
    return chance.choice(
        [
            data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :],
            data[:at] + chance.randbytes(length) + data[at + length :],
            data[:at] + bytes(length) + data[at + length :],
            data[:at] + chance.randbytes(length) + data[at:],
            data[:at] + data[at : at + length] + data[at:],
            data[:at] + data[at + length :],
            data[:at] + data[other : other + length] + data[at + length :],
            data[:at],
        ]
    )


def csr_of(tpm: MemoryTpm) -> bytes:
    return tpm.csr(quote=True)


def request(tpm: MemoryTpm, csr: bytes) -> bytes:
    """The request that the identity key signs."""
    proof = TpmProof(bytes(16), bytes(32))
    content = EnrolmentRequest(NONCE, tpm.device_id, 4, bytes(32), csr, proof)
    return sign_request(SoftwareSigner(tpm.identity), content)


def nothing_signed_again(tpm: MemoryTpm, chance: random.Random) -> bytes | None:
    good = request(tpm, csr_of(tpm))
    changed = mutated(good, chance)
    return None if changed in (good, COSE_TAG + good) else changed


def identity_signs_again(tpm: MemoryTpm, chance: random.Random) -> bytes | None:
    good = csr_of(tpm)
    changed = mutated(good, chance)
    return None if changed == good or len(changed) > 4096 else request(tpm, changed)


def both_keys_sign_again(tpm: MemoryTpm, chance: random.Random) -> bytes | None:
    statements = list(decode_request(csr_of(tpm)).statements)
    which = chance.randrange(len(statements))
    part = chance.choice(["attest", "signature", "public"])
    value = getattr(statements[which], part)
    changed = mutated(value, chance) if value is not None else chance.randbytes(chance.randrange(100))
    if changed == value:
        return None
    statements[which] = replace(statements[which], **{part: changed})
    return request(tpm, rebuilt(tpm, statements))


def statements_in_another_order(tpm: MemoryTpm, chance: random.Random) -> bytes | None:
    good = decode_request(csr_of(tpm)).statements
    chosen = [chance.choice(good) for _ in range(chance.randrange(1, 4))]
    return None if tuple(chosen) == good else request(tpm, rebuilt(tpm, chosen))


def parts_exchanged(tpm: MemoryTpm, chance: random.Random) -> bytes | None:
    """Statement, signature and public area each from one of the good statements."""
    good = decode_request(csr_of(tpm)).statements
    chosen = [
        TpmStatement(chance.choice(good).attest, chance.choice(good).signature, chance.choice(good).public)
        for _ in good
    ]
    return None if tuple(chosen) == good else request(tpm, rebuilt(tpm, chosen))


def even_the_attestation_key_signs_again(tpm: MemoryTpm, chance: random.Random) -> bytes | None:
    statements = list(decode_request(csr_of(tpm)).statements)
    which = chance.randrange(len(statements))
    good = statements[which].attest
    changed = mutated(good, chance)
    if changed == good or differs_only_in_what_is_free(good, changed):
        return None
    signature = tpm.statement(changed).signature
    statements[which] = replace(statements[which], attest=changed, signature=signature)
    return request(tpm, rebuilt(tpm, statements))


def rebuilt(tpm: MemoryTpm, statements: list[TpmStatement]) -> bytes:
    return build_attested_csr(SoftwareSigner(tpm.operational), tpm.device_id, statements)


def differs_only_in_what_is_free(good: bytes, changed: bytes) -> bool:
    """Clock, firmware version and qualified names are the TPM's own account, held against nothing."""
    before = Attest.decode(good)
    try:
        after = Attest.decode(changed)
    except Malformed:
        return False
    account = {
        "qualified_signer": before.qualified_signer,
        "clock_info": before.clock_info,
        "firmware_version": before.firmware_version,
    }
    attested = after.attested
    if hasattr(attested, "qualified_name") and hasattr(before.attested, "qualified_name"):
        attested = replace(attested, qualified_name=before.attested.qualified_name)
    return replace(after, attested=attested, **account) == before


@pytest.mark.parametrize("tpm", TPMS, ids=["ECDSA", "RSASSA"])
def test_the_unchanged_request_is_accepted(tpm: MemoryTpm) -> None:
    accept(tpm, request(tpm, csr_of(tpm)))


@pytest.mark.parametrize("tpm", TPMS, ids=["ECDSA", "RSASSA"])
@pytest.mark.parametrize(
    "mutation",
    [
        nothing_signed_again,
        identity_signs_again,
        both_keys_sign_again,
        statements_in_another_order,
        parts_exchanged,
        even_the_attestation_key_signs_again,
    ],
    ids=lambda mutation: mutation.__name__,
)
def test_no_changed_request_is_accepted(tpm: MemoryTpm, mutation: Mutation) -> None:
    tried = 0
    for seed in range(MUTATIONS // 6):
        data = mutation(tpm, random.Random(seed))
        if data is None:
            continue
        tried += 1
        with pytest.raises((Malformed, Refused)):
            accept(tpm, data)
    assert tried > MUTATIONS // 12


def accept(tpm: MemoryTpm, data: bytes) -> None:
    read_request(data).verify_attested(tpm.identity_spki, NONCE, ak_public=tpm.ak_public, pcr_policy=POLICY)
