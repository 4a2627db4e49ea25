"""Attested requests: what is accepted, and each refusal with its class."""

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from admittance.errors import (
    AdmittanceError,
    AttestationMissing,
    KeyAttributesRefused,
    KeyRefused,
    Malformed,
    Misuse,
    NameMismatch,
    PcrMismatch,
    SignatureInvalid,
    StaleAttestation,
    WrongChallenge,
    WrongDevice,
)
from admittance.protocol.enrolment.attested import build_attested_csr, verify_attested
from admittance.protocol.enrolment.building import build_request, sign_request
from admittance.protocol.enrolment.request import read_request
from admittance.protocol.signing import SoftwareSigner
from admittance.protocol.tpm.quote import PcrPolicy
from admittance.wire.enrolment import EnrolmentRequest, TpmProof
from admittance.wire.tpm import algorithms as alg
from admittance.wire.tpm.public import Attributes, Public, Scheme
from tests.tpm_material import BOUND, NONCE, PCR_DIGEST, RSASSA_SHA256, MemoryTpm, p256, public_of

TPM = MemoryTpm()
POLICY = PcrPolicy.parse("sha256:0,7", [bytes(32).hex(), PCR_DIGEST.hex()])
RSA_KEY = rsa.generate_private_key(65537, 2048)
OTHER = MemoryTpm(p256("other identity"), p256("other operational"), p256("other attestation"))


def verify(csr: bytes, tpm: MemoryTpm = TPM, **changes: Any) -> Any:
    values = {
        "nonce": tpm.nonce,
        "ak_public": tpm.ak_public,
        "identity_spki": tpm.identity_spki,
        "pcr_policy": None,
    } | changes
    return verify_attested(csr, **values)


def refused(csr: bytes, error: type[AdmittanceError], tpm: MemoryTpm = TPM, **changes: Any) -> None:
    with pytest.raises(error) as caught:
        verify(csr, tpm, **changes)
    assert caught.type is error


@pytest.mark.parametrize(
    "tpm", [TPM, MemoryTpm(ak=RSA_KEY, ak_scheme=RSASSA_SHA256)], ids=["ECDSA attestation key", "RSASSA"]
)
@pytest.mark.parametrize("quote", [False, True])
def test_an_attested_request_is_accepted(tpm: MemoryTpm, quote: bool) -> None:
    verified = verify(tpm.csr(quote=quote), tpm, pcr_policy=POLICY if quote else None)
    assert verified.operational_spki == SoftwareSigner(tpm.operational).spki
    assert verified.operational_name == public_of(tpm.operational).name
    assert verified.identity_name == public_of(tpm.identity).name
    assert verified.ak_name == tpm.ak_public.name
    assert (verified.clock_ms, verified.reset_count, verified.restart_count) == (123456, 3, 1)
    assert (verified.pcr_selections, verified.pcr_digest) == (("sha256:0,7", PCR_DIGEST) if quote else ("", None))


def test_the_nonce() -> None:
    refused(TPM.csr(), StaleAttestation, nonce=bytes(32))
    stale = (TPM.certified(public_of(TPM.operational)), TPM.certified(public_of(TPM.identity), extra_data=bytes(32)))
    refused(TPM.csr(stale), StaleAttestation)
    refused(TPM.csr((*TPM.statements(), TPM.quoted(extra_data=b""))), StaleAttestation, pcr_policy=POLICY)


def test_another_attestation_key() -> None:
    refused(TPM.csr(), SignatureInvalid, ak_public=OTHER.ak_public)
    refused(TPM.csr(), SignatureInvalid, ak_public=MemoryTpm(ak=RSA_KEY, ak_scheme=RSASSA_SHA256).ak_public)


@pytest.mark.parametrize(
    "public",
    [
        public_of(TPM.ak),
        public_of(TPM.ak, BOUND | Attributes.RESTRICTED | Attributes.DECRYPT),
        public_of(TPM.ak, (BOUND | Attributes.RESTRICTED) & ~Attributes.FIXED_TPM),
        public_of(TPM.ak, (BOUND | Attributes.RESTRICTED) & ~Attributes.SENSITIVE_DATA_ORIGIN),
        public_of(TPM.ak, BOUND | Attributes.RESTRICTED, None),
        public_of(TPM.ak, BOUND | Attributes.RESTRICTED, Scheme(alg.ECDSA, alg.SHA512)),
    ],
    ids=["not restricted", "decrypts", "can leave", "made outside", "no scheme", "SHA-512"],
)
def test_an_attestation_key_that_is_none(public: Public) -> None:
    refused(TPM.csr(), KeyAttributesRefused, ak_public=public)


@pytest.mark.parametrize("which", [0, 1], ids=["operational", "identity"])
@pytest.mark.parametrize(
    "attributes",
    [
        BOUND & ~Attributes.FIXED_TPM,
        BOUND & ~Attributes.FIXED_PARENT,
        BOUND & ~Attributes.SENSITIVE_DATA_ORIGIN,
        BOUND & ~Attributes.SIGN,
        BOUND | Attributes.DECRYPT,
        BOUND | Attributes.RESTRICTED,
        BOUND | Attributes.ENCRYPTED_DUPLICATION,
        BOUND | Attributes.X509_SIGN,
    ],
    ids=str,
)
def test_a_key_that_is_not_bound_to_its_tpm(which: int, attributes: Attributes) -> None:
    statements = list(TPM.statements())
    statements[which] = TPM.certified(public_of([TPM.operational, TPM.identity][which], attributes))
    refused(TPM.csr(tuple(statements)), KeyAttributesRefused)


def test_a_key_of_another_kind() -> None:
    p384 = public_of(ec.generate_private_key(ec.SECP384R1()))
    rsa_key = public_of(RSA_KEY, scheme=RSASSA_SHA256)
    for public in (p384, rsa_key, public_of(TPM.operational, scheme=Scheme(alg.ECDSA, alg.SHA384))):
        refused(TPM.csr((TPM.certified(public), TPM.statements()[1])), KeyAttributesRefused)


def test_a_statement_about_another_key() -> None:
    other = public_of(OTHER.operational)
    refused(TPM.csr((TPM.certified(other), TPM.statements()[1])), NameMismatch)
    refused(TPM.csr((TPM.statements()[0], TPM.certified(other))), NameMismatch)
    refused(TPM.csr((TPM.statements()[1], TPM.statements()[0])), NameMismatch)
    beside = replace(TPM.certified(other), public=public_of(TPM.operational).encode())
    refused(TPM.csr((beside, TPM.statements()[1])), NameMismatch)


def test_statements_that_are_missing_or_too_many() -> None:
    operational, identity, quote = TPM.statements(quote=True)
    refused(TPM.csr((operational,)), AttestationMissing)
    refused(TPM.csr((operational, identity, quote)), AttestationMissing)
    refused(TPM.csr((operational, identity)), AttestationMissing, pcr_policy=POLICY)
    refused(TPM.csr((operational, identity, identity)), AttestationMissing, pcr_policy=POLICY)
    refused(TPM.csr((replace(operational, public=None), identity)), AttestationMissing)
    refused(TPM.csr((replace(quote, public=operational.public), identity)), AttestationMissing)
    unnamed = replace(identity, public=None)
    refused(TPM.csr((operational, identity, unnamed)), AttestationMissing, pcr_policy=POLICY)


@pytest.mark.parametrize(
    ("selections", "digest"),
    [("sha256:0,7", bytes(31) + b"\x01"), ("sha256:0", PCR_DIGEST), ("sha384:0,7", PCR_DIGEST)],
)
def test_a_platform_that_booted_something_else(selections: str, digest: bytes) -> None:
    csr = TPM.csr((*TPM.statements(), TPM.quoted(selections, digest)))
    refused(csr, PcrMismatch, pcr_policy=POLICY)


def test_the_request_itself() -> None:
    refused(TPM.csr(subject=OTHER.device_id), WrongDevice)
    refused(TPM.csr(), WrongDevice, identity_spki=OTHER.identity_spki)
    refused(replace(TPM, operational=TPM.identity).csr(), KeyRefused)
    refused(TPM.csr()[:-1] + bytes([TPM.csr()[-1] ^ 1]), SignatureInvalid)
    refused(b"", Malformed)
    refused(TPM.csr() + b"\0", Malformed)
    refused(bytes(5000), Malformed)


def test_what_an_attested_request_is_built_with() -> None:
    ed_key = ed25519.Ed25519PrivateKey.generate()
    with pytest.raises(Misuse):
        build_attested_csr(SoftwareSigner(ed_key), TPM.device_id, TPM.statements())


def enrolment(tpm: MemoryTpm = TPM, **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "nonce": NONCE,
        "device_id": tpm.device_id,
        "epoch": 4,
        "ticket": bytes(32),
        "csr": tpm.csr(),
        "proof": TpmProof(bytes(16), bytes(32)),
    }
    signer = SoftwareSigner(tpm.identity)
    return sign_request(signer, EnrolmentRequest(**(fields | changes)))


def test_the_signed_request_with_its_attestation() -> None:
    verified = read_request(enrolment()).verify_attested(
        TPM.identity_spki, NONCE, ak_public=TPM.ak_public, pcr_policy=None
    )
    assert verified.attestation is not None
    assert verified.attestation.operational_spki == verified.operational_spki
    assert verified.proof == TpmProof(bytes(16), bytes(32))


WITHOUT_TPM = build_request(
    SoftwareSigner(p256("tpm identity")), p256("x"), nonce=NONCE, device_id=TPM.device_id, epoch=4
)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (enrolment(proof=None), AttestationMissing),
        (enrolment(nonce=bytes(32)), WrongChallenge),
        (enrolment(device_id=OTHER.device_id), WrongDevice),
        (enrolment(csr=OTHER.csr()), WrongDevice),
        (
            build_request(
                SoftwareSigner(p256("tpm identity")), p256("x"), nonce=NONCE, device_id=TPM.device_id, epoch=4
            ),
            AttestationMissing,
        ),
    ],
)
def test_the_signed_request_is_refused(data: bytes, error: type[AdmittanceError]) -> None:
    with pytest.raises(error):
        read_request(data).verify_attested(TPM.identity_spki, NONCE, ak_public=TPM.ak_public, pcr_policy=None)


def test_a_representation_shows_no_secret() -> None:
    unverified = read_request(enrolment(proof=TpmProof(bytes(16), b"s" * 32)))
    assert "sss" not in repr(unverified.request.proof)
    verified = unverified.verify_attested(TPM.identity_spki, NONCE, ak_public=TPM.ak_public, pcr_policy=None)
    assert "sss" not in repr(verified)
