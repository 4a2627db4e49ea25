"""Options: their encoding, and the forms of their values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed, Misuse
from admittance.wire.coap import options
from admittance.wire.coap.options import Block, Options, decode_options, encode_options

NUMBERS = st.one_of(st.integers(0, 30), st.integers(240, 300), st.integers(0, options.MAX_NUMBER))
VALUES = st.one_of(st.binary(max_size=14), st.binary(min_size=260, max_size=280))
OPTIONS = st.lists(st.tuples(NUMBERS, VALUES), max_size=6).map(lambda pairs: tuple(sorted(pairs, key=lambda p: p[0])))


@given(OPTIONS, st.binary(max_size=20))
def test_round_trip(pairs: Options, payload: bytes) -> None:
    assert decode_options(encode_options(pairs, payload)) == (pairs, payload)


@given(st.binary(max_size=40))
def test_decoder_raises_malformed_and_nothing_else(data: bytes) -> None:
    try:
        pairs, payload = decode_options(data)
    except Malformed:
        return
    assert len(encode_options(pairs, payload)) <= len(data)


@given(OPTIONS, st.binary(max_size=20), st.data())
def test_what_ends_early_is_malformed_or_another_message(pairs: Options, payload: bytes, data: st.DataObject) -> None:
    encoded = encode_options(pairs, payload)
    cut = data.draw(st.integers(0, len(encoded)))
    try:
        decoded = decode_options(encoded[:cut])
    except Malformed:
        return
    assert encode_options(*decoded) == encoded[:cut]


@pytest.mark.parametrize(
    "data",
    ["ff", "f0", "0f", "b2aa", "d0", "0d", "e000", "0e00", "1dff", "e0fffe", "e0ffff", "d1", "01", "b161ff"],
)
def test_malformed(data: str) -> None:
    with pytest.raises(Malformed):
        decode_options(bytes.fromhex(data))


def test_limits_hold_on_both_sides() -> None:
    many = ((options.URI_PATH, b""),) * options.MAX_OPTIONS
    assert decode_options(encode_options(many, b""))[0] == many
    with pytest.raises(Misuse):
        encode_options((*many, many[0]), b"")
    with pytest.raises(Malformed):
        decode_options(encode_options(many, b"") + b"\0")
    longest = ((options.PROXY_URI, bytes(options.MAX_VALUE_BYTES)),)
    assert decode_options(encode_options(longest, b""))[0] == longest
    with pytest.raises(Misuse):
        encode_options(((options.PROXY_URI, bytes(options.MAX_VALUE_BYTES + 1)),), b"")


@pytest.mark.parametrize("pairs", [((2, b""), (1, b"")), ((0x10000, b""),), ((-1, b""),)])
def test_options_that_do_not_ascend_are_misuse(pairs: Options) -> None:
    with pytest.raises(Misuse):
        encode_options(pairs, b"")


@given(st.integers(0, 2**32 - 1))
def test_numbers(value: int) -> None:
    assert options.decode_uint(options.encode_uint(value)) == value


@pytest.mark.parametrize("value", [b"\0", b"\0\1", b"\1\1\1\1\1"])
def test_what_is_no_number(value: bytes) -> None:
    with pytest.raises(Malformed):
        options.decode_uint(value)


@given(st.integers(0, 2**20 - 1), st.booleans(), st.integers(0, 6).map(lambda exponent: 16 << exponent))
def test_blocks(number: int, more: bool, size: int) -> None:
    block = Block(number, more, size)
    assert Block.decode(block.encode()) == block
    assert block.offset == number * size


@pytest.mark.parametrize(
    "block", [Block(1 << 20, False, 16), Block(-1, False, 16), Block(0, False, 17), Block(0, True, 8)]
)
def test_blocks_that_do_not_exist(block: Block) -> None:
    with pytest.raises(Misuse):
        block.encode()


@pytest.mark.parametrize("value", ["07", "0f", "00", "01000000"])
def test_what_is_no_block(value: str) -> None:
    with pytest.raises(Malformed):
        Block.decode(bytes.fromhex(value))


@pytest.mark.parametrize("path", ["/", "/a", "/sensors/temperature", "/grüße", "/a b/c%2F"])
def test_paths(path: str) -> None:
    segments = tuple(value for _, value in options.path_options(path))
    assert options.path_of(segments) == path


@pytest.mark.parametrize("path", ["", "a", "//", "/a/", "/a//b", "/.", "/a/../b", "/" + "x" * 256])
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(Malformed):
        options.path_options(path)


@pytest.mark.parametrize("segments", [(b"a/b",), (b"/",), (b"\xff",), (b"..",), (b"a", b""), (b"",)])
def test_segments_that_make_no_path(segments: tuple[bytes, ...]) -> None:
    with pytest.raises(Malformed):
        options.path_of(segments)


def test_critical_options_are_the_odd_ones() -> None:
    assert options.is_critical(options.URI_PATH)
    assert not options.is_critical(options.OBSERVE)
