from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admittance.errors import KeyRefused, Malformed, NotDecryptable
from admittance.protocol.sealing import (
    ClassicSealKey,
    HybridSealKey,
    SealKey,
    SymmetricSealKey,
    recipient,
)
from admittance.wire import cbor, cose
from admittance.wire.cose import Encrypt0
from admittance.wire.evidence import SealAlgorithm
from tests.wire_messages import changed

ALGORITHMS: tuple[SealAlgorithm, ...] = ("hybrid", "classic", "symmetric")
algorithms = st.sampled_from(ALGORITHMS)
SYMMETRIC = bytes(range(32))


@cache
def seal_key(algorithm: SealAlgorithm, which: int = 0) -> SealKey:
    if algorithm == "hybrid":
        return HybridSealKey.from_bytes(bytes([which]) * 96)
    if algorithm == "classic":
        return ClassicSealKey.from_bytes(bytes([which]) * 32)
    return SymmetricSealKey(bytes([which]) * 32)


def encrypt(key: SealKey, plaintext: bytes, info: bytes) -> bytes:
    public = key.key if isinstance(key, SymmetricSealKey) else key.public
    return recipient(key.algorithm, public).encrypt(plaintext, info, lambda size: bytes(size))


@settings(deadline=None)
@given(algorithms, st.binary(max_size=100), st.binary(max_size=100))
def test_what_was_sealed_opens(algorithm: SealAlgorithm, plaintext: bytes, info: bytes) -> None:
    key = seal_key(algorithm)
    assert key.decrypt(encrypt(key, plaintext, info), info) == plaintext


@settings(deadline=None)
@given(algorithms, st.binary(max_size=20), st.binary(max_size=20))
def test_other_info_does_not_open(algorithm: SealAlgorithm, info: bytes, other: bytes) -> None:
    key = seal_key(algorithm)
    if info != other:
        with pytest.raises(NotDecryptable):
            key.decrypt(encrypt(key, b"plaintext", info), other)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_key_does_not_open(algorithm: SealAlgorithm) -> None:
    sealed = encrypt(seal_key(algorithm), b"plaintext", b"info")
    with pytest.raises(NotDecryptable):
        seal_key(algorithm, 1).decrypt(sealed, b"info")


@settings(deadline=None)
@given(algorithms, st.data())
def test_a_changed_ciphertext_does_not_open(algorithm: SealAlgorithm, data: st.DataObject) -> None:
    key = seal_key(algorithm)
    bad = data.draw(changed(encrypt(key, b"plaintext", b"info")))
    expected = (NotDecryptable, Malformed) if algorithm == "symmetric" else NotDecryptable
    with pytest.raises(expected):
        key.decrypt(bad, b"info")


@settings(deadline=None)
@given(algorithms, st.binary(max_size=1300))
def test_arbitrary_bytes_do_not_open(algorithm: SealAlgorithm, data: bytes) -> None:
    expected = (NotDecryptable, Malformed) if algorithm == "symmetric" else NotDecryptable
    with pytest.raises(expected):
        seal_key(algorithm).decrypt(data, b"info")


@pytest.mark.parametrize("kind", [HybridSealKey, ClassicSealKey])
def test_a_key_comes_back_from_its_bytes(kind: type[HybridSealKey] | type[ClassicSealKey]) -> None:
    key = kind.generate()
    assert kind.from_bytes(key.to_bytes()).public == key.public
    with pytest.raises(Malformed):
        kind.from_bytes(key.to_bytes()[:-1])


@pytest.mark.parametrize(
    "key",
    [HybridSealKey.generate(), ClassicSealKey.generate(), SymmetricSealKey(SYMMETRIC)],
    ids=lambda key: key.algorithm,
)
def test_a_representation_shows_no_key(key: SealKey) -> None:
    assert repr(key) == f"{type(key).__name__}(algorithm='{key.algorithm}')"


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("hybrid", b""),
        ("hybrid", bytes(1215)),
        ("hybrid", b"\xff" * 1216),
        ("hybrid", seal_key("hybrid").public[:1184] + bytes(32)),
        ("hybrid", seal_key("hybrid").public[:1184] + b"\1" + bytes(31)),
        ("classic", b""),
        ("classic", bytes(31)),
        ("classic", bytes(32)),
        ("classic", b"\1" + bytes(31)),
        ("symmetric", b""),
        ("symmetric", bytes(31)),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
)
def test_keys_that_are_none_are_refused(algorithm: SealAlgorithm, key: bytes) -> None:
    with pytest.raises(KeyRefused):
        recipient(algorithm, key).encrypt(b"plaintext", b"info", lambda size: bytes(size))


@settings(deadline=None)
@given(algorithms, st.binary(max_size=1300))
def test_an_arbitrary_key_works_or_is_refused(algorithm: SealAlgorithm, key: bytes) -> None:
    try:
        sealed = recipient(algorithm, key).encrypt(b"plaintext", b"info", lambda size: bytes(size))
    except KeyRefused:
        return
    assert sealed


def test_symmetric_draws_a_salt_and_a_nonce() -> None:
    drawn = []

    def random(size: int) -> bytes:
        drawn.append(size)
        return bytes([len(drawn)]) * size

    sealed = Encrypt0.decode(recipient("symmetric", SYMMETRIC).encrypt(b"plaintext", b"info", random))
    assert sorted(drawn) == [12, 32]
    assert sealed.unprotected == {cose.IV: b"\2" * 12, -65537: b"\1" * 32}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {cose.IV: bytes(12)},
        {-65537: bytes(32)},
        {cose.IV: bytes(11), -65537: bytes(32)},
        {cose.IV: bytes(12), -65537: bytes(31)},
        {cose.IV: "a" * 12, -65537: bytes(32)},
        {cose.IV: bytes(12), -65537: None},
    ],
)
def test_symmetric_without_its_headers_is_malformed(headers: dict[int, object]) -> None:
    protected = cose.protected_header({cose.ALG: cose.A256GCM})
    with pytest.raises(Malformed):
        SymmetricSealKey(SYMMETRIC).decrypt(Encrypt0(protected, bytes(32), headers).encode(), b"info")


@pytest.mark.parametrize("algorithm", [1, 2, 24])
def test_symmetric_with_another_algorithm_is_malformed(algorithm: int) -> None:
    headers = {cose.IV: bytes(12), -65537: bytes(32)}
    encoded = Encrypt0(cbor.encode({cose.ALG: algorithm}), bytes(32), headers).encode()
    with pytest.raises(Malformed):
        SymmetricSealKey(SYMMETRIC).decrypt(encoded, b"info")
