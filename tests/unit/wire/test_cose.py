from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.wire import cbor, cose
from tests.wire_messages import changed

ALGORITHMS = st.sampled_from([cose.ES256, cose.EDDSA, cose.A256GCM, 1])
short = st.binary(max_size=20)
chains = st.none() | short | st.lists(short, min_size=2, max_size=3)
unprotected = st.dictionaries(st.sampled_from([cose.KID, cose.IV, -65537]), short)


def protected(algorithm: int, chain: Any) -> bytes:
    return cose.protected_header({cose.ALG: algorithm} | ({} if chain is None else {cose.X5CHAIN: chain}))


signatures = st.builds(
    lambda algorithm, chain, payload, signature, headers: cose.Sign1(
        protected(algorithm, chain), payload, signature, headers
    ),
    ALGORITHMS,
    chains,
    short,
    short,
    unprotected,
)
encrypted = st.builds(
    lambda algorithm, ciphertext, headers: cose.Encrypt0(protected(algorithm, None), ciphertext, headers),
    ALGORITHMS,
    short,
    unprotected,
)


@given(signatures)
def test_a_signed_message_decodes_to_itself_with_and_without_its_tag(value: cose.Sign1) -> None:
    assert cose.Sign1.decode(value.encode()) == value
    assert cose.Sign1.decode(b"\xd2" + value.encode()) == value


@given(encrypted)
def test_an_encrypted_message_decodes_to_itself_with_and_without_its_tag(value: cose.Encrypt0) -> None:
    assert cose.Encrypt0.decode(value.encode()) == value
    assert cose.Encrypt0.decode(b"\xd0" + value.encode()) == value


@given(signatures.flatmap(lambda value: changed(value.encode())) | st.binary(max_size=100))
def test_a_changed_signed_message_decodes_to_its_own_bytes_or_is_malformed(data: bytes) -> None:
    try:
        value = cose.Sign1.decode(data)
    except Malformed:
        return
    assert value.encode() == data.removeprefix(b"\xd2")
    assert isinstance(value.algorithm, int)
    assert all(isinstance(certificate, bytes) for certificate in value.chain)


@given(encrypted.flatmap(lambda value: changed(value.encode())) | st.binary(max_size=100))
def test_a_changed_encrypted_message_decodes_to_its_own_bytes_or_is_malformed(data: bytes) -> None:
    try:
        value = cose.Encrypt0.decode(data)
    except Malformed:
        return
    assert value.encode() == data.removeprefix(b"\xd0")
    assert isinstance(value.algorithm, int)


@pytest.mark.parametrize(("chain", "expected"), [(None, ()), (b"a", (b"a",)), ([b"a", b"b"], (b"a", b"b"))])
def test_the_chain(chain: Any, expected: tuple[bytes, ...]) -> None:
    message = cose.Sign1(protected(cose.ES256, chain), b"", b"")
    assert cose.Sign1.decode(message.encode()).chain == expected


GOOD = cbor.encode({1: -7})


@pytest.mark.parametrize(
    "value",
    [
        {},
        b"",
        [GOOD, {}, b""],
        [GOOD, {}, b"", b"", b""],
        [{1: -7}, {}, b"", b""],
        [GOOD, [], b"", b""],
        [GOOD, b"", b"", b""],
        [GOOD, {}, None, b""],
        [GOOD, {}, "", b""],
        [GOOD, {}, b"", None],
        [b"", {1: -7}, b"", b""],
        [b"\xa0", {1: -7}, b"", b""],
        [cbor.encode({4: b"a"}), {}, b"", b""],
        [cbor.encode({1: "ES256"}), {}, b"", b""],
        [cbor.encode({1: True}), {}, b"", b""],
        [cbor.encode({1: -7, "a": 1}), {}, b"", b""],
        [GOOD, {"a": 1}, b"", b""],
        [cbor.encode({1: -7, 2: [99], 99: 1}), {}, b"", b""],
        [GOOD, {2: [99]}, b"", b""],
        [GOOD, {1: -8}, b"", b""],
        [cbor.encode({1: -7, 33: []}), {}, b"", b""],
        [cbor.encode({1: -7, 33: [b"a"]}), {}, b"", b""],
        [cbor.encode({1: -7, 33: [b"a", "b"]}), {}, b"", b""],
        [cbor.encode({1: -7, 33: None}), {}, b"", b""],
        [cbor.encode({1: -7, 33: "a"}), {}, b"", b""],
        [bytes.fromhex("a1011806"), {}, b"", b""],
        [GOOD + b"\0", {}, b"", b""],
    ],
)
def test_what_our_subset_leaves_out_is_malformed(value: Any) -> None:
    with pytest.raises(Malformed):
        cose.Sign1.decode(cbor.encode(value))
    if isinstance(value, list) and len(value) == 4:
        with pytest.raises(Malformed):
            cose.Encrypt0.decode(cbor.encode(value))


@pytest.mark.parametrize("tag", [b"\xd0", b"\xd1", b"\xd8\x62", b"\xd2\xd2", b"\xd8\x12"])
def test_another_tag_is_malformed(tag: bytes) -> None:
    with pytest.raises(Malformed):
        cose.Sign1.decode(tag + cbor.encode([GOOD, {}, b"", b""]))


def test_longer_than_allowed() -> None:
    data = cose.Sign1(GOOD, bytes(100), b"").encode()
    assert cose.Sign1.decode(data, max_bytes=len(data)).payload == bytes(100)
    with pytest.raises(Malformed):
        cose.Sign1.decode(data, max_bytes=len(data) - 1)


def test_an_empty_protected_header_is_an_empty_string() -> None:
    assert cose.protected_header({}) == b""
    assert cose.protected_header({cose.ALG: cose.ES256}) == GOOD
