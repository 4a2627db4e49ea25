"""proto3 encoding, read and written as the generated codec does it."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.wire.protobuf import Fields, data, message, number
from tests.protocomm.wifi_scan_pb2 import ScanCommandStart, ScanEntry, ScanResponseResult

UNSIGNED = st.integers(0, 2**32 - 1)
SIGNED = st.integers(-(2**31), 2**31 - 1)


@given(UNSIGNED, SIGNED, st.binary(max_size=300), SIGNED)
def test_a_message_is_what_the_generated_codec_makes_of_it(channel: int, rssi: int, ssid: bytes, auth: int) -> None:
    written = data(1, ssid) + number(2, channel) + number(3, rssi) + number(5, auth)
    generated = ScanEntry(ssid=ssid, channel=channel, rssi=rssi)
    generated.MergeFromString(number(5, auth))
    assert written == generated.SerializeToString()
    fields = Fields(written)
    assert (fields.data(1), fields.unsigned(2), fields.signed(3), fields.signed(5)) == (ssid, channel, rssi, auth)


@given(st.booleans(), UNSIGNED)
def test_flags(blocking: bool, period: int) -> None:
    written = number(1, blocking) + number(4, period)
    assert written == ScanCommandStart(blocking=blocking, period_ms=period).SerializeToString()
    assert Fields(written).flag(1) is blocking


@given(st.binary(max_size=40))
def test_whatever_is_read_reads_as_the_generated_codec_reads_it(encoded: bytes) -> None:
    try:
        fields = Fields(encoded)
    except Malformed:
        return
    generated = ScanEntry.FromString(encoded)
    assert fields.data(1) == generated.ssid
    assert fields.unsigned(2) == generated.channel
    assert fields.signed(3) == generated.rssi
    assert fields.signed(5) == generated.auth


@given(st.binary(max_size=20).filter(lambda encoded: not any(byte & 7 in (3, 4) for byte in encoded)))
def test_without_groups_only_what_the_generated_codec_refuses_is_malformed(encoded: bytes) -> None:
    try:
        Fields(encoded)
    except Malformed:
        with pytest.raises(DecodeError):
            ScanEntry.FromString(encoded)


@given(st.lists(st.binary(max_size=8), max_size=4))
def test_repeated_messages(ssids: list[bytes]) -> None:
    written = b"".join(message(1, data(1, ssid)) for ssid in ssids)
    assert written == ScanResponseResult(entries=[ScanEntry(ssid=ssid) for ssid in ssids]).SerializeToString()
    assert [entry.data(1) for entry in Fields(written).messages(1)] == ssids


def test_what_is_absent_is_zero_or_empty() -> None:
    fields = Fields(b"")
    assert (fields.unsigned(1), fields.signed(1), fields.flag(1), fields.data(1)) == (0, 0, False, b"")
    assert fields.message(1).data(1) == b""
    assert fields.messages(1) == []
    assert fields.chosen(1, 2) is None


def test_the_last_of_a_field_counts() -> None:
    fields = Fields(number(1, 7) + number(1, 8) + data(2, b"a") + data(2, b"b"))
    assert fields.unsigned(1) == 8
    assert fields.data(2) == b"b"


def test_the_last_of_a_choice_counts() -> None:
    first, second = message(1, b""), message(2, b"")
    assert Fields(first + second).chosen(1, 2) == 2
    assert Fields(first + second + first).chosen(1, 2) == 1
    assert Fields(first + second).chosen(1, 3) == 1


def test_a_message_in_parts_is_merged() -> None:
    fields = Fields(message(1, number(1, 5)) + message(1, number(2, 6)))
    assert (fields.message(1).unsigned(1), fields.message(1).unsigned(2)) == (5, 6)


@pytest.mark.parametrize(
    "encoded",
    [
        b"\x08",  # a key without its number
        b"\x08\x80",  # a number that does not end
        b"\x08" + b"\xff" * 10,  # a number of more than ten bytes
        b"\x00\x01",  # field number 0
        b"\x88\x80\x80\x80\x10\x00",  # a key of more than 32 bits
        b"\x0a\x02a",  # two bytes of which one is there
        b"\x09abcdefg",  # eight bytes of which seven are there
        b"\x0dabc",  # four bytes of which three are there
        b"\x0b\x0c",  # a group
        b"\x0e",  # wire type 6
    ],
)
def test_malformed(encoded: bytes) -> None:
    with pytest.raises(Malformed):
        Fields(encoded)
