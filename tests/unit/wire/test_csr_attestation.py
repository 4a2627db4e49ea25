"""Attested PKCS #10 requests: what `openssl` and `cryptography` also read, and what is Malformed."""

import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.protocol.enrolment.attested import subject_of
from admittance.protocol.enrolment.building import certificate_request
from admittance.wire.csr_attestation import TpmStatement, decode_request, encode_request
from tests.tpm_material import MemoryTpm
from tests.wire_messages import changed

TPM = MemoryTpm()
CSR = TPM.csr(quote=True)
SPKI = decode_request(CSR).spki
SUBJECT = subject_of(TPM.device_id)

statements = st.lists(
    st.builds(TpmStatement, st.binary(max_size=60), st.binary(max_size=60), st.none() | st.binary(max_size=60)),
    min_size=1,
    max_size=3,
).map(tuple)


@given(statements, st.binary(max_size=80))
def test_decoding_gives_what_was_encoded(content: tuple[TpmStatement, ...], signature: bytes) -> None:
    request = decode_request(encode_request(SUBJECT, SPKI, content, signature))
    assert (request.subject, request.spki, request.statements) == (SUBJECT, SPKI, content)
    assert request.signature == signature


@given(changed(CSR))
def test_changed_bytes_are_malformed_or_mean_something_else(candidate: bytes) -> None:
    try:
        request = decode_request(candidate)
    except Malformed:
        return
    assert encode_request(request.subject, request.spki, request.statements, request.signature) == candidate


def test_cryptography_reads_the_same_request() -> None:
    request = x509.load_der_x509_csr(CSR)
    assert request.is_signature_valid
    assert request.subject.rfc4514_string() == f"CN={TPM.device_id}"
    encoding = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    assert request.public_key().public_bytes(*encoding) == SPKI
    assert request.tbs_certrequest_bytes == decode_request(CSR).info


def test_openssl_reads_and_verifies_it() -> None:
    command = ["openssl", "req", "-inform", "DER", "-verify", "-noout", "-text"]
    finished = subprocess.run(command, input=CSR, capture_output=True, check=True)
    assert b"verify OK" in finished.stderr + finished.stdout
    assert b"1.2.840.113549.1.9.16.2.59" in finished.stdout or b"id-smime-aa-59" in finished.stdout


def replaced(old: str, new: str) -> bytes:
    before, after = bytes.fromhex(old), bytes.fromhex(new)
    assert before in CSR
    return CSR.replace(before, after)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        CSR[:-1],
        CSR + b"\0",
        bytes(4097),
        certificate_request(TPM.operational, TPM.device_id),
        replaced("020100", "020101"),
        replaced("060b2a864886f70d010910023b", "060b2a864886f70d010910023c"),
        replaced("06056781051401", "06056781051402"),
        replaced("06082a8648ce3d040302", "06082a8648ce3d040303"),
    ],
    ids=[
        "nothing",
        "cut short",
        "bytes behind",
        "too long",
        "without attestation",
        "another version",
        "another attribute",
        "another statement",
        "ECDSA with SHA-384",
    ],
)
def test_what_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_request(data)
