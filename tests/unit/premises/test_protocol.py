import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.premises import protocol
from admittance.wire import cbor
from admittance.wire.message import encode

TOKEN = bytes(16)
DECODERS = (
    protocol.decode_opening,
    protocol.decode_station_request,
    protocol.decode_admin_request,
    protocol.decode_report,
)


async def _read(data: bytes) -> bytes | None:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await protocol.read_frame(reader)


@pytest.mark.parametrize(
    "message",
    [
        protocol.Attach("device", False),
        protocol.OpenStream(TOKEN, "localhost", 8443),
        protocol.AcceptStream(TOKEN, 7),
        protocol.Administer(),
    ],
)
async def test_opening_survives_the_wire(message: protocol.Opening) -> None:
    data = await _read(protocol.frame(message))
    assert data is not None
    assert protocol.decode_opening(data) == message


def test_kinds_do_not_mix() -> None:
    join = encode(protocol.Join(1, "Home", "correct horse"))
    assert protocol.decode_station_request(join) == protocol.Join(1, "Home", "correct horse")
    for decode in (protocol.decode_opening, protocol.decode_admin_request, protocol.decode_report):
        with pytest.raises(Malformed):
            decode(join)


@pytest.mark.parametrize(
    "value",
    [
        ["open", b"short", "localhost", 80],
        ["open", TOKEN, "localhost", 0],
        ["open", TOKEN, "", 80],
        ["open", TOKEN, "localhost", 80, 1],
        ["open", TOKEN, "localhost"],
        ["attach", "", False],
        ["unknown"],
        [],
        {"open": 1},
    ],
)
def test_wrong_field_is_malformed(value: object) -> None:
    with pytest.raises(Malformed):
        protocol.decode_opening(cbor.encode(value))


@pytest.mark.parametrize("data", [b"\0", b"\0\0\0\0", b"\0\0\0\x05ab", b"\xff\xff\xff\xffx"])
async def test_bad_frame_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        await _read(data)


async def test_end_between_frames_is_no_error() -> None:
    assert await _read(b"") is None


@given(st.binary(max_size=64))
def test_decoders_raise_malformed_and_nothing_else(data: bytes) -> None:
    for decode in DECODERS:
        try:
            decode(data)
        except Malformed:
            continue


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8) | st.binary(max_size=16),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=8,
)
_labels = st.sampled_from(["attach", "open", "join", "scan", "seen", "stations", "failed", "incoming", "done"])


@given(_labels, st.lists(_values, max_size=5))
def test_decoders_hold_against_well_formed_nonsense(label: str, fields: list[object]) -> None:
    data = cbor.encode([label, *fields])
    for decode in DECODERS:
        try:
            message = decode(data)
        except Malformed:
            continue
        assert encode(message) == data
