from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admittance.errors import (
    KeyRefused,
    Malformed,
    SignatureInvalid,
    WrongBinding,
    WrongChallenge,
    WrongDevice,
    WrongOrigin,
)
from admittance.protocol.provisioning.evidence import VerifiedEvidence, read_evidence, sign_evidence
from admittance.protocol.signing import PrivateKey, SoftwareSigner, sign1, spki_of
from admittance.wire import message
from admittance.wire.device_id import device_id
from admittance.wire.evidence import Evidence
from tests.vectors.making.evidence import BINDING, CHALLENGE, EVIDENCE, IDENTITY_CERTIFICATE
from tests.vectors.making.material import DEVICE, IDENTITY, ORIGIN, OTHER_DEVICE, OTHER_IDENTITY, P384_KEY, der
from tests.wire_messages import changed, evidences

SIGNER = SoftwareSigner(IDENTITY)
GOOD = sign_evidence(EVIDENCE, SIGNER)


def verify(data: bytes, spki: bytes = SIGNER.spki) -> VerifiedEvidence:
    return read_evidence(data).verify(spki, origin=ORIGIN, challenge=CHALLENGE, binding=BINDING)


@given(evidences, st.sampled_from([IDENTITY, OTHER_IDENTITY]), st.sampled_from([(), (der(IDENTITY_CERTIFICATE),)]))
def test_evidence_verifies(evidence: Evidence, identity: PrivateKey, chain: tuple[bytes, ...]) -> None:
    signer = SoftwareSigner(identity)
    evidence = msgspec.structs.replace(evidence, device_id=device_id(signer.spki))
    unverified = read_evidence(sign_evidence(evidence, signer, chain))
    assert unverified.chain == chain
    assert unverified.evidence == evidence
    verified = unverified.verify(
        signer.spki, origin=evidence.server_origin, challenge=evidence.challenge, binding=evidence.binding
    )
    assert verified == VerifiedEvidence(evidence, signer.spki)


@settings(max_examples=300)
@given(changed(GOOD) | st.binary(max_size=200))
def test_changed_bytes_are_malformed_or_do_not_verify(data: bytes) -> None:
    with pytest.raises((Malformed, SignatureInvalid)):
        verify(data)


@settings(max_examples=300)
@given(st.binary(max_size=100) | changed(message.encode(EVIDENCE)))
def test_another_payload_is_malformed_or_what_was_signed(payload: bytes) -> None:
    try:
        unverified = read_evidence(sign1(SIGNER, payload))
    except Malformed:
        return
    assert message.encode(unverified.evidence) == payload


FAULTS: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"device_id": OTHER_DEVICE}, WrongDevice),
    ({"server_origin": ORIGIN + "."}, WrongOrigin),
    ({"challenge": bytes(32)}, WrongChallenge),
    ({"binding": bytes(32)}, WrongBinding),
]


@given(st.sets(st.integers(0, len(FAULTS) - 1), min_size=1))
def test_evidence_for_something_else_is_refused_with_the_class_of_its_first_fault(chosen: set[int]) -> None:
    changes = {key: value for at in chosen for key, value in FAULTS[at][0].items()}
    with pytest.raises(Exception) as caught:
        verify(sign_evidence(msgspec.structs.replace(EVIDENCE, **changes), SIGNER))
    assert type(caught.value) is FAULTS[min(chosen)][1]


@pytest.mark.parametrize("changes", [changes for changes, _ in FAULTS], ids=lambda changes: next(iter(changes)))
def test_without_a_new_signature_every_change_is_an_invalid_signature(changes: dict[str, Any]) -> None:
    unverified = read_evidence(GOOD)
    payload = message.encode(msgspec.structs.replace(EVIDENCE, **changes))
    forged = msgspec.structs.replace(EVIDENCE, **changes)
    data = type(unverified.sign1)(unverified.sign1.protected_bytes, payload, unverified.sign1.signature).encode()
    assert read_evidence(data).evidence == forged
    with pytest.raises(SignatureInvalid):
        verify(data)


@pytest.mark.parametrize(
    "changes",
    [{"code_age_s": 0}, {"last_sequence": 0}, {"epoch": 2}, {"presence": "resume"}, {"device_nonce": bytes(16)}],
    ids=lambda changes: next(iter(changes)),
)
def test_what_the_server_judges_later_is_covered_by_the_signature(changes: dict[str, Any]) -> None:
    evidence = msgspec.structs.replace(EVIDENCE, **changes)
    assert verify(sign_evidence(evidence, SIGNER)).evidence == evidence
    original = read_evidence(GOOD).sign1
    with pytest.raises(SignatureInvalid):
        verify(type(original)(original.protected_bytes, message.encode(evidence), original.signature).encode())


def test_the_chain_is_covered_by_the_signature() -> None:
    signed = read_evidence(sign_evidence(EVIDENCE, SIGNER, (der(IDENTITY_CERTIFICATE),))).sign1
    bare = read_evidence(GOOD).sign1
    with pytest.raises(SignatureInvalid):
        verify(type(bare)(bare.protected_bytes, signed.payload, signed.signature).encode())


def test_an_identity_that_is_no_key_of_ours_is_refused() -> None:
    with pytest.raises(KeyRefused):
        verify(GOOD, spki_of(P384_KEY.public_key()))
    with pytest.raises(Malformed):
        verify(GOOD, b"")


def test_the_device_id_is_that_of_the_identity_key() -> None:
    assert verify(GOOD).evidence.device_id == DEVICE == device_id(verify(GOOD).identity_spki)
