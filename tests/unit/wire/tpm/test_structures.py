"""TPM structures: one value, one encoding; everything else is Malformed."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.wire.tpm import algorithms as alg
from admittance.wire.tpm.attest import Attest, CertifyInfo, ClockInfo, QuoteInfo
from admittance.wire.tpm.credential import EncryptedPoint, EncryptedSeed, IdObject, decode_encrypted_secret
from admittance.wire.tpm.pcr import PcrSelection, PcrSelections
from admittance.wire.tpm.public import Attributes, EccParameters, Public, RsaParameters, Scheme, Symmetric
from admittance.wire.tpm.signature import EcdsaSignature, RsassaSignature, decode_signature
from tests.tpm_material import NONCE, PCR_DIGEST, MemoryTpm, public_of
from tests.wire_messages import changed

Decoder = Callable[[bytes], Any]

hash_algs = st.sampled_from(list(alg.DIGEST_BYTES))


def sizes(*choices: int) -> st.SearchStrategy[bytes]:
    return st.sampled_from(choices).flatmap(lambda size: st.binary(min_size=size, max_size=size))


digests = sizes(32, 48, 64)
names = hash_algs.flatmap(
    lambda name_alg: sizes(alg.DIGEST_BYTES[name_alg]).map(lambda digest: name_alg.to_bytes(2) + digest)
)
symmetric = st.none() | st.builds(Symmetric, st.sampled_from([128, 256]))


def schemes(algorithm: int) -> st.SearchStrategy[Scheme | None]:
    return st.none() | st.builds(Scheme, st.just(algorithm), hash_algs)


ecc_parameters = st.sampled_from(list(alg.COORDINATE_BYTES.items())).flatmap(
    lambda curve: st.builds(
        EccParameters, symmetric, schemes(alg.ECDSA), st.just(curve[0]), sizes(curve[1]), sizes(curve[1])
    )
)
rsa_parameters = st.sampled_from(alg.RSA_KEY_BITS).flatmap(
    lambda bits: st.builds(
        RsaParameters,
        symmetric,
        schemes(alg.RSASSA),
        st.just(bits),
        sizes(bits // 8 - 1).map(lambda rest: b"\x80" + rest),
    )
)
publics = hash_algs.flatmap(
    lambda name_alg: st.builds(
        Public,
        st.just(name_alg),
        st.lists(st.sampled_from(list(Attributes)), unique=True).map(lambda flags: Attributes(sum(flags))),
        st.just(b"") | sizes(alg.DIGEST_BYTES[name_alg]),
        ecc_parameters | rsa_parameters,
    )
)
selections = st.lists(
    st.builds(PcrSelection, hash_algs, st.lists(st.integers(0, 23), unique=True).map(sorted).map(tuple)), max_size=4
).map(lambda banks: PcrSelections(tuple(banks)))
uint32s, uint64s = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
attests = st.builds(
    Attest,
    names,
    st.binary(max_size=66),
    st.builds(
        ClockInfo, st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.booleans()
    ),
    st.integers(0, 2**64 - 1),
    st.builds(CertifyInfo, names, names) | st.builds(QuoteInfo, selections, digests),
)
signatures = st.one_of(
    st.sampled_from([32, 48]).flatmap(lambda size: st.builds(EcdsaSignature, hash_algs, sizes(size), sizes(size))),
    st.builds(RsassaSignature, hash_algs, sizes(256, 384, 512)),
)
id_objects = st.builds(IdObject, digests, st.binary(min_size=3, max_size=66))
encrypted_secrets = st.one_of(
    st.sampled_from([32, 48]).flatmap(lambda size: st.builds(EncryptedPoint, sizes(size), sizes(size))),
    st.builds(EncryptedSeed, sizes(256, 384, 512)),
)


@pytest.mark.parametrize(
    ("values", "decode"),
    [
        (publics, Public.decode),
        (attests, Attest.decode),
        (signatures, decode_signature),
        (id_objects, IdObject.decode),
        (encrypted_secrets, decode_encrypted_secret),
    ],
    ids=["public", "attest", "signature", "id object", "encrypted secret"],
)
@given(data=st.data())
def test_decoding_gives_what_was_encoded(
    values: st.SearchStrategy[Any], decode: Decoder, data: st.DataObject
) -> None:
    value = data.draw(values)
    assert decode(value.encode()) == value


TPM = MemoryTpm()
GOOD: list[tuple[Decoder, bytes]] = [
    (Public.decode, TPM.ak_public.encode()),
    (Public.decode, public_of(rsa.generate_private_key(65537, 2048), scheme=None).encode()),
    (Public.decode, public_of(ec.generate_private_key(ec.SECP384R1()), name_alg=alg.SHA384).encode()),
    (Attest.decode, TPM.statements()[0].attest),
    (Attest.decode, TPM.quoted().attest),
    (decode_signature, TPM.statements()[0].signature),
    (IdObject.decode, IdObject(bytes(32), bytes(34)).encode()),
    (decode_encrypted_secret, EncryptedPoint(bytes(32), bytes(32)).encode()),
    (decode_encrypted_secret, EncryptedSeed(bytes(256)).encode()),
]


@pytest.mark.parametrize(("decode", "good"), GOOD)
@given(data=st.data())
def test_changed_bytes_are_malformed_or_mean_something_else(
    decode: Decoder, good: bytes, data: st.DataObject
) -> None:
    candidate = data.draw(changed(good))
    try:
        value = decode(candidate)
    except Malformed:
        return
    assert value.encode() == candidate
    assert value != decode(good)


@pytest.mark.parametrize(("decode", "good"), GOOD)
def test_no_prefix_and_nothing_behind(decode: Decoder, good: bytes) -> None:
    for end in range(len(good)):
        with pytest.raises(Malformed):
            decode(good[:end])
    with pytest.raises(Malformed):
        decode(good + b"\0")


@pytest.mark.parametrize("decode", [Public.decode, Attest.decode, decode_signature, IdObject.decode])
@given(data=st.binary(max_size=200))
def test_any_bytes(decode: Decoder, data: bytes) -> None:
    with suppress(Malformed):
        assert decode(data).encode() == data


ECC = TPM.ak_public.encode()
RSA = GOOD[1][1]
QUOTE = TPM.quoted().attest


@pytest.mark.parametrize(
    ("decode", "good", "at", "replacement"),
    [
        (Public.decode, ECC, 0, "0008"),
        (Public.decode, ECC, 2, "0004"),
        (Public.decode, ECC, 4, "8"),
        (Public.decode, ECC, 8, "0001"),
        (Public.decode, ECC, 10, "0006"),
        (Public.decode, ECC, 12, "001a"),
        (Public.decode, ECC, 14, "0004"),
        (Public.decode, ECC, 16, "0005"),
        (Public.decode, ECC, 18, "0020"),
        (Public.decode, ECC, 20, "001f"),
        (Public.decode, RSA, 14, "0400"),
        (Public.decode, RSA, 16, "00010001"),
        (Public.decode, RSA, 22, "00"),
        (Attest.decode, QUOTE, 0, "ff544348"),
        (Attest.decode, QUOTE, 4, "801a"),
        (Attest.decode, QUOTE, 8, "0004"),
        (decode_signature, TPM.statements()[0].signature, 0, "001c"),
        (decode_signature, TPM.statements()[0].signature, 2, "0004"),
    ],
)
def test_what_is_not_allowed(decode: Decoder, good: bytes, at: int, replacement: str) -> None:
    new = bytes.fromhex(replacement.rjust(len(replacement) + len(replacement) % 2, "8"))
    with pytest.raises(Malformed):
        decode(good[:at] + new + good[at + len(new) :])


def test_a_flag_of_the_clock_is_0_or_1() -> None:
    at = 4 + 2 + 2 + 34 + 2 + len(NONCE) + 16
    assert QUOTE[at] == 1
    with pytest.raises(Malformed):
        Attest.decode(QUOTE[:at] + b"\x02" + QUOTE[at + 1 :])


def test_a_selection_of_four_bytes() -> None:
    at = QUOTE.index(b"\x00\x00\x00\x01\x00\x0b\x03\x81\x00\x00")
    with pytest.raises(Malformed):
        Attest.decode(QUOTE[: at + 6] + b"\x04\x81\x00\x00\x00" + QUOTE[at + 10 :])


@pytest.mark.parametrize("text", ["sha256:0,7", "sha256:0+sha384:1,2,23", "sha512:14"])
def test_the_text_of_a_selection(text: str) -> None:
    assert str(PcrSelections.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "sha1:0", "sha256", "sha256:", "sha256:24", "sha256:7,0", "sha256:0,0", "sha256:-1", "sha256:x", "sha256:²"],
)
def test_a_text_that_is_no_selection(text: str) -> None:
    with pytest.raises(Malformed):
        PcrSelections.parse(text)


def test_the_name_of_an_object() -> None:
    assert TPM.ak_public.name[:2] == b"\x00\x0b"
    assert len(TPM.ak_public.name) == 2 + len(PCR_DIGEST)
