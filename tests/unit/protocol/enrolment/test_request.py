from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from admittance.errors import KeyRefused, Malformed, SignatureInvalid, WrongChallenge, WrongDevice
from admittance.protocol.enrolment.building import build_request, certificate_request
from admittance.protocol.enrolment.request import read_request, verify_certificate_request
from admittance.protocol.signing import PrivateKey, SoftwareSigner, sign1, spki_of
from admittance.wire import message
from admittance.wire.device_id import device_id
from admittance.wire.enrolment import EnrolmentRequest
from tests.vectors.making.enrolment import csr
from tests.vectors.making.material import DEVICE, IDENTITY, OTHER_DEVICE, OTHER_IDENTITY, P384_KEY, p256
from tests.wire_messages import bytes32, changed, enrolment_requests, tickets, unsigned

NONCE, TICKET = bytes(range(32)), b"t" * 32
SIGNER = SoftwareSigner(IDENTITY)
KEY = p256("a new operational key")
CSR = certificate_request(KEY, DEVICE)
ED_KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
GOOD = build_request(SIGNER, KEY, nonce=NONCE, device_id=DEVICE, epoch=4, ticket=TICKET)


def signed(key: PrivateKey = IDENTITY, **changes: Any) -> bytes:
    fields = {"nonce": NONCE, "device_id": DEVICE, "epoch": 4, "ticket": TICKET, "csr": CSR} | changes
    return sign1(SoftwareSigner(key), message.encode(EnrolmentRequest(**fields)))


@given(
    st.sampled_from([IDENTITY, OTHER_IDENTITY]),
    st.sampled_from([KEY, ED_KEY]),
    bytes32,
    unsigned,
    tickets,
)
def test_a_request_verifies(identity: PrivateKey, key: PrivateKey, nonce: bytes, epoch: int, ticket: bytes) -> None:
    signer = SoftwareSigner(identity)
    device = device_id(signer.spki)
    data = build_request(signer, key, nonce=nonce, device_id=device, epoch=epoch, ticket=ticket)
    verified = read_request(data).verify(signer.spki, nonce)
    assert (verified.device_id, verified.epoch, verified.ticket) == (device, epoch, ticket)
    assert verified.operational_spki == spki_of(key.public_key())


@given(enrolment_requests)
def test_what_is_read_is_what_was_signed(request: EnrolmentRequest) -> None:
    assert read_request(sign1(SIGNER, message.encode(request))).request == request


@settings(max_examples=300, deadline=None)
@given(changed(GOOD) | st.binary(max_size=200))
def test_changed_bytes_are_malformed_or_do_not_verify(data: bytes) -> None:
    with pytest.raises((Malformed, SignatureInvalid)):
        read_request(data).verify(SIGNER.spki, NONCE)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (signed(OTHER_IDENTITY), SignatureInvalid),
        (signed(device_id=OTHER_DEVICE), WrongDevice),
        (signed(nonce=bytes(32)), WrongChallenge),
        (signed(csr=csr(IDENTITY)), KeyRefused),
        (signed(csr=csr(P384_KEY)), KeyRefused),
        (signed(csr=CSR[:-1] + bytes([CSR[-1] ^ 1])), SignatureInvalid),
        (signed(csr=b""), Malformed),
        (signed(csr=CSR + b"\0"), Malformed),
        (signed(csr=CSR.replace(b"\x02\x01\x00", b"\x02\x01\x05", 1)), Malformed),
    ],
)
def test_a_request_for_something_else_is_refused_with_its_own_class(data: bytes, expected: type[Exception]) -> None:
    with pytest.raises(Exception) as caught:
        read_request(data).verify(SIGNER.spki, NONCE)
    assert type(caught.value) is expected


def test_the_signature_is_checked_before_anything_that_it_covers() -> None:
    data = signed(OTHER_IDENTITY, device_id=OTHER_DEVICE, nonce=bytes(32), csr=b"")
    with pytest.raises(SignatureInvalid):
        read_request(data).verify(SIGNER.spki, NONCE)


@settings(max_examples=300, deadline=None)
@given(changed(CSR) | st.binary(max_size=200))
def test_a_changed_pkcs10_request_is_refused(data: bytes) -> None:
    with pytest.raises((Malformed, KeyRefused, SignatureInvalid)):
        verify_certificate_request(data)


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256K1())],
    ids=["RSA", "secp256k1"],
)
def test_other_kinds_of_keys_are_refused(key: Any) -> None:
    with pytest.raises(KeyRefused):
        verify_certificate_request(certificate_request(key, DEVICE))


@pytest.mark.parametrize("size", [1, 31])
def test_a_ticket_of_another_size_is_not_even_built(size: int) -> None:
    with pytest.raises(Malformed):
        build_request(SIGNER, KEY, nonce=NONCE, device_id=DEVICE, epoch=4, ticket=bytes(size))


def test_a_representation_shows_no_ticket() -> None:
    assert "tttt" not in repr(read_request(GOOD).verify(SIGNER.spki, NONCE))
