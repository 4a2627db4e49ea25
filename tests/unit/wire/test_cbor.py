import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.wire import cbor
from tests.wire_messages import changed

integers = st.integers(min_value=-(2**64), max_value=2**64 - 1)
scalars = st.none() | st.booleans() | integers | st.binary(max_size=20) | st.text(max_size=20)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(integers | st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_what_is_encoded_decodes_to_itself(value: object) -> None:
    assert cbor.decode(cbor.encode(value)) == value


@given(st.dictionaries(integers | st.text(max_size=8), scalars, max_size=6), st.randoms())
def test_the_order_in_which_a_map_was_built_does_not_matter(
    value: dict[object, object], random: st.DataObject
) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert cbor.encode(dict(items)) == cbor.encode(value)


@given(st.dictionaries(integers | st.text(max_size=30), st.none(), max_size=6))
def test_map_keys_are_in_the_bytewise_order_of_their_encodings(value: dict[object, None]) -> None:
    decoded = cbor.decode(cbor.encode(value))
    assert isinstance(decoded, dict)
    encoded = [cbor.encode(key) for key in decoded]
    assert encoded == sorted(encoded)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_decode_to_their_own_encoding_or_are_malformed(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except Malformed:
        return
    assert cbor.encode(value) == data


@given(values.flatmap(lambda value: changed(cbor.encode(value))))
def test_changed_bytes_decode_to_their_own_encoding_or_are_malformed(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except Malformed:
        return
    assert cbor.encode(value) == data


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("nothing", ""),
        ("a byte after the value", "0000"),
        ("an integer longer than needed", "1801"),
        ("a length longer than needed", "580100"),
        ("an indefinite string", "5f4100ff"),
        ("an indefinite array", "9f00ff"),
        ("an indefinite map", "bf0000ff"),
        ("a break", "ff"),
        ("the same key twice", "a200000000"),
        ("keys out of order", "a201000000"),
        ("keys in the order of RFC 7049", "a22000181800"),
        ("a byte string as key", "a1410000"),
        ("an array as key", "a1800000"),
        ("a boolean as key", "a1f500"),
        ("a bignum", "c249010000000000000000"),
        ("a negative bignum", "c349010000000000000000"),
        ("a bignum as key", "a1c24901000000000000000000"),
        ("a small bignum", "c24101"),
        ("a date", "c11a514b67b0"),
        ("a regular expression", "d8236161"),
        ("a shared cycle", "d81c81d81d00"),
        ("a string reference", "d901008243616161d81900"),
        ("a tag of our own", "d9d9f700"),
        ("half a float", "f93c00"),
        ("a float", "fb3ff0000000000000"),
        ("undefined", "f7"),
        ("a simple value", "e0"),
        ("text that is not UTF-8", "63eda080"),
        ("an array of 2**63 elements", "9b7fffffffffffffff"),
        ("a string of 2**63 bytes", "5b7fffffffffffffff"),
        ("a map of 2**63 keys", "bb7fffffffffffffff"),
        ("17 arrays in one another", "81" * 17 + "00"),
        ("16,000 arrays in one another", "81" * 16000 + "00"),
        ("16,000 tags in one another", "c1" * 16000 + "00"),
    ],
)
def test_what_our_messages_do_not_use_is_malformed(what: str, data: str) -> None:
    with pytest.raises(Malformed):
        cbor.decode(bytes.fromhex(data))


@pytest.mark.parametrize("value", [2**64 - 1, -(2**64), 0, -1, 23, 24, 255, 256])
def test_integers_of_64_bits_decode(value: int) -> None:
    assert cbor.decode(cbor.encode(value)) == value


def test_longer_than_allowed() -> None:
    assert cbor.decode(cbor.encode(bytes(97)), max_bytes=99) == bytes(97)
    with pytest.raises(Malformed, match="at most 98"):
        cbor.decode(cbor.encode(bytes(97)), max_bytes=98)


def test_keys_of_both_signs() -> None:
    assert cbor.encode({-1: 0, 24: 0}).hex() == "a21818002000"
    assert cbor.decode(cbor.encode({-1: 0, 24: 0})) == {-1: 0, 24: 0}
    with pytest.raises(Malformed):
        cbor.decode(cbor2.dumps({-1: 0, 24: 0}, canonical=True))
