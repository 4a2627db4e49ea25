"""The OSCORE option."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed, Misuse
from admittance.wire import oscore
from admittance.wire.oscore import OscoreOption

PARTIAL_IVS = st.integers(0, oscore.MAX_SEQUENCE).map(oscore.encode_partial_iv)
OPTIONS = st.builds(
    OscoreOption,
    partial_iv=st.none() | PARTIAL_IVS,
    kid=st.none() | st.binary(max_size=7),
    kid_context=st.none() | st.binary(max_size=20),
)


@given(OPTIONS)
def test_round_trip(option: OscoreOption) -> None:
    assert oscore.decode(oscore.encode(option)) == option


@given(st.binary(max_size=20))
def test_decoder_raises_malformed_and_nothing_else(value: bytes) -> None:
    try:
        option = oscore.decode(value)
    except Malformed:
        return
    assert oscore.encode(option) == value


@pytest.mark.parametrize(
    ("option", "value"),
    [
        (OscoreOption(b"\x05", b"\x25"), "090525"),
        (OscoreOption(b"\x00", b""), "0900"),
        (OscoreOption(b"\x05", b"", b"\x44\x61\x6c\x65\x6b"), "19050544616c656b"),
        (OscoreOption(), ""),
        (OscoreOption(b"\x07"), "0107"),
    ],
)
def test_examples_of_rfc_8613_section_6_3(option: OscoreOption, value: str) -> None:
    assert oscore.encode(option).hex() == value
    assert oscore.decode(bytes.fromhex(value)) == option


@pytest.mark.parametrize(
    "value",
    [
        "00",
        "20",
        "40",
        "80",
        "e9",
        "01",
        "06",
        "0701020304050607",
        "06010203040506",
        "020005",
        "10",
        "1003aabb",
        "0114ff",
    ],
)
def test_malformed(value: str) -> None:
    with pytest.raises(Malformed):
        oscore.decode(bytes.fromhex(value))


@pytest.mark.parametrize(
    "option",
    [OscoreOption(b""), OscoreOption(b"\0\1"), OscoreOption(bytes([1] * 6)), OscoreOption(None, b"", bytes(256))],
)
def test_what_the_option_does_not_carry_is_misuse(option: OscoreOption) -> None:
    with pytest.raises(Misuse):
        oscore.encode(option)
