from dataclasses import replace
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admittance.errors import (
    AdmittanceError,
    ConfigurationExpired,
    Malformed,
    NotDecryptable,
    SequenceReplayed,
    UntrustedSigner,
    WrongDevice,
    WrongEpoch,
    WrongNonce,
    WrongPurpose,
)
from admittance.protocol.sealing import (
    Expectation,
    HybridSealKey,
    SealKey,
    SymmetricSealKey,
    open_sealed,
    recipient,
    seal,
    spki_sha256,
    thumbprint,
)
from admittance.protocol.signing import SoftwareSigner, sign1
from admittance.wire import cbor, message
from admittance.wire.cose import Sign1
from admittance.wire.evidence import SealAlgorithm
from admittance.wire.sealed import Configuration, Envelope, Header, Purpose
from tests.vectors.making.material import CLASSIC, DEVICE, OTHER_DEVICE
from tests.vectors.making.sealed import CONFIGURATION, HEADER, ROOT, SIGNER, SIGNER_KEY, der
from tests.wire_messages import changed, configurations, headers

ROOT_SHA256 = spki_sha256(ROOT)
CHAIN = (der(SIGNER), der(ROOT))
SIGN = SoftwareSigner(SIGNER_KEY)
KEYS: dict[SealAlgorithm, SealKey] = {
    "hybrid": HybridSealKey.generate(),
    "classic": CLASSIC,
    "symmetric": SymmetricSealKey(bytes(range(32))),
}
EXPECTATION = Expectation(DEVICE, frozenset(["activate"]), 3, 7, HEADER.device_nonce, 10.0)


def sealed(
    header: Header = HEADER, configuration: Configuration = CONFIGURATION, algorithm: SealAlgorithm = "classic"
) -> bytes:
    key = KEYS[algorithm]
    public = key.key if isinstance(key, SymmetricSealKey) else key.public
    return seal(header, configuration, recipient(algorithm, public), SIGN, CHAIN, lambda size: b"r" * size)


def opened(data: bytes, expectation: Expectation = EXPECTATION, algorithm: SealAlgorithm = "classic") -> Any:
    return open_sealed(data, root_spki_sha256=ROOT_SHA256, seal_key=KEYS[algorithm], expectation=expectation)


def signed_again(data: bytes, **header_changes: Any) -> bytes:
    """The sealed configuration with its header changed and signed again, around the ciphertext that it had."""
    envelope = message.decode(Sign1.decode(data).payload, Envelope)
    header = msgspec.structs.replace(message.decode(envelope.header, Header), **header_changes)
    again = msgspec.structs.replace(envelope, header=message.encode(header))
    return sign1(SIGN, message.encode(again), chain=CHAIN)


@settings(deadline=None)
@given(headers, configurations, st.sampled_from(get_args(SealAlgorithm)))
def test_what_was_sealed_for_this_device_opens(
    header: Header, configuration: Configuration, algorithm: SealAlgorithm
) -> None:
    header = msgspec.structs.replace(
        header,
        signer_thumbprint=thumbprint(der(SIGNER)),
        sequence=max(1, header.sequence),
        epoch=max(1, header.epoch),
    )
    expectation = Expectation(
        header.device_id,
        frozenset([header.purpose]),
        header.epoch - (header.purpose == "activate"),
        header.sequence - 1,
        header.device_nonce,
        float(header.lifetime_s),
    )
    result = opened(sealed(header, configuration, algorithm), expectation, algorithm)
    assert (result.header, result.configuration) == (header, configuration)


# One wrong field each, in the order in which a device checks them.
FAULTS: list[tuple[dict[str, Any], type[AdmittanceError]]] = [
    ({"signer_thumbprint": bytes(32)}, UntrustedSigner),
    ({"device_id": OTHER_DEVICE}, WrongDevice),
    ({"purpose": "reprovision"}, WrongPurpose),
    ({"epoch": 3}, WrongEpoch),
    ({"device_nonce": bytes(16)}, WrongNonce),
    ({"sequence": 7}, SequenceReplayed),
    ({"lifetime_s": 9}, ConfigurationExpired),
]


@pytest.mark.parametrize(("changes", "expected"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_field_for_something_else_is_refused_with_its_own_class(
    changes: dict[str, Any], expected: type[AdmittanceError]
) -> None:
    with pytest.raises(AdmittanceError) as caught:
        opened(sealed(msgspec.structs.replace(HEADER, **changes)))
    assert type(caught.value) is expected


@given(st.sets(st.integers(0, len(FAULTS) - 1), min_size=1))
def test_of_several_faults_the_first_in_order_is_named(chosen: set[int]) -> None:
    changes = {key: value for at in chosen for key, value in FAULTS[at][0].items()}
    if {2, 3} <= chosen:
        changes["epoch"] = 2
    with pytest.raises(AdmittanceError) as caught:
        opened(sealed(msgspec.structs.replace(HEADER, **changes)))
    assert type(caught.value) is FAULTS[min(chosen)][1]


@pytest.mark.parametrize("algorithm", get_args(SealAlgorithm))
@pytest.mark.parametrize(
    ("changes", "expectation"),
    [
        ({"device_id": OTHER_DEVICE}, replace(EXPECTATION, device_id=OTHER_DEVICE)),
        ({"purpose": "reprovision"}, replace(EXPECTATION, purposes=frozenset(["reprovision"]))),
        ({"epoch": 5}, EXPECTATION),
        ({"device_nonce": bytes(16)}, replace(EXPECTATION, device_nonce=bytes(16))),
        ({"sequence": 9}, EXPECTATION),
        ({"lifetime_s": 901}, EXPECTATION),
    ],
    ids=["device_id", "purpose", "epoch", "device_nonce", "sequence", "lifetime_s"],
)
def test_a_header_moved_to_another_ciphertext_does_not_decrypt(
    changes: dict[str, Any], expectation: Expectation, algorithm: SealAlgorithm
) -> None:
    assert opened(sealed(msgspec.structs.replace(HEADER, **changes), algorithm=algorithm), expectation, algorithm)
    with pytest.raises(NotDecryptable):
        opened(signed_again(sealed(algorithm=algorithm), **changes), expectation, algorithm)


GOOD = sealed()


@pytest.mark.filterwarnings("ignore:Parsed a")
@settings(max_examples=300, deadline=None)
@given(changed(GOOD))
def test_changed_bytes_are_malformed_or_of_an_untrusted_signer(data: bytes) -> None:
    with pytest.raises((Malformed, UntrustedSigner)):
        opened(data)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        opened(data)


@settings(max_examples=200)
@given(st.binary(max_size=60) | changed(message.encode(CONFIGURATION)))
def test_another_plaintext_is_malformed(plaintext: bytes) -> None:
    header = message.encode(HEADER)
    ciphertext = recipient("classic", CLASSIC.public).encrypt(plaintext, header, bytes)
    data = sign1(SIGN, message.encode(Envelope(header, "classic", ciphertext)), chain=CHAIN)
    try:
        result = opened(data)
    except Malformed:
        return
    assert message.encode(result.configuration) == plaintext


@given(st.binary(max_size=60) | changed(message.encode(HEADER)))
def test_another_header_never_opens(header: bytes) -> None:
    ciphertext = recipient("classic", CLASSIC.public).encrypt(
        message.encode(CONFIGURATION), message.encode(HEADER), bytes
    )
    data = sign1(SIGN, message.encode(Envelope(header, "classic", ciphertext)), chain=CHAIN)
    with pytest.raises(AdmittanceError):
        opened(data)


def test_another_envelope_is_malformed() -> None:
    for payload in ([], [b"", "classic"], [b"", "rot13", b""], [b"", "classic", b"", 0], [None, "classic", b""]):
        with pytest.raises(Malformed):
            opened(sign1(SIGN, cbor.encode(payload), chain=CHAIN))


@pytest.mark.parametrize("algorithm", ["hybrid", "symmetric"])
def test_sealed_in_another_way_than_the_device_s(algorithm: SealAlgorithm) -> None:
    with pytest.raises(NotDecryptable):
        opened(GOOD, algorithm=algorithm)


@pytest.mark.parametrize(
    ("purpose", "epoch", "accepted"),
    [
        ("activate", 2, False),
        ("activate", 3, False),
        ("activate", 4, True),
        ("activate", 9, True),
        ("reprovision", 2, False),
        ("reprovision", 3, True),
        ("reprovision", 4, True),
    ],
)
def test_a_claim_raises_the_epoch_and_reprovisioning_never_lowers_it(
    purpose: Purpose, epoch: int, accepted: bool
) -> None:
    data = sealed(msgspec.structs.replace(HEADER, purpose=purpose, epoch=epoch))
    expectation = replace(EXPECTATION, purposes=frozenset(["activate", "reprovision"]))
    if accepted:
        assert opened(data, expectation).header.epoch == epoch
    else:
        with pytest.raises(WrongEpoch):
            opened(data, expectation)


@pytest.mark.parametrize(("elapsed_s", "accepted"), [(0.0, True), (900.0, True), (900.001, False)])
def test_the_lifetime_ends_exactly(elapsed_s: float, accepted: bool) -> None:
    expectation = replace(EXPECTATION, elapsed_s=elapsed_s)
    if accepted:
        assert opened(GOOD, expectation)
    else:
        with pytest.raises(ConfigurationExpired):
            opened(GOOD, expectation)


def test_accepted_once_is_replayed_ever_after() -> None:
    first = opened(GOOD)
    with pytest.raises(SequenceReplayed):
        opened(GOOD, replace(EXPECTATION, last_sequence=first.header.sequence))


def test_the_unprotected_header_cannot_carry_the_chain() -> None:
    bare = Sign1.decode(sign1(SIGN, Sign1.decode(GOOD).payload))
    with pytest.raises(UntrustedSigner):
        opened(Sign1(bare.protected_bytes, bare.payload, bare.signature, {33: list(CHAIN)}).encode())
