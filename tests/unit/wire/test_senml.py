import math
import struct

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed, Misuse
from admittance.wire import senml
from admittance.wire.senml import Record

RFC_8428_SECTION_6 = bytes.fromhex(
    "87a721781b75726e3a6465763a6f773a3130653230373361303130383030363a22fb41d303a15b00106223614120050067766f6c"
    "7461676501615602fb405e066666666666a3006763757272656e74062402fb3ff3333333333333a3006763757272656e74062302"
    "fb3ff4cccccccccccda3006763757272656e74062202fb3ff6666666666666a3006763757272656e74062102f93e00a300676375"
    "7272656e74062002fb3ff999999999999aa3006763757272656e74060002fb3ffb333333333333"
)
DEVICE = "urn:dev:ow:10e2073a0108006:"
AT = 1276020076.001

names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9\-:./_]{0,40}\Z").filter(str.isascii)
numbers = st.floats(allow_nan=False, allow_infinity=False)
records = st.builds(
    Record,
    name=names,
    value=numbers | st.booleans() | st.binary(max_size=40) | st.text(max_size=40),
    unit=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12),
    time=numbers,
    sum=st.none() | numbers,
    update_time=st.none() | numbers,
)


def pack(*records: dict[int, object]) -> bytes:
    return cbor2.dumps(list(records))


def test_the_example_of_the_rfc_resolves_to_seven_records() -> None:
    """RFC 8428, section 6, and what section 4.6 makes of the same records in section 5.1.3."""
    current = [
        Record(DEVICE + "current", value, "A", AT + time)
        for time, value in enumerate((1.2, 1.3, 1.4, 1.5, 1.6, 1.7), -5)
    ]
    assert senml.decode(RFC_8428_SECTION_6) == (Record(DEVICE + "voltage", 120.1, "V", AT), *current)


@given(st.lists(records, min_size=1, max_size=8))
def test_what_is_encoded_decodes(given_records: list[Record]) -> None:
    assert senml.decode(senml.encode(given_records)) == tuple(given_records)


@given(st.binary(max_size=200))
def test_anything_decodes_or_is_malformed(data: bytes) -> None:
    for each in (data, b"\x81" + data, b"\x81\xa3\x00\x61a" + data):
        try:
            decoded = senml.decode(each)
        except Malformed:
            continue
        for record in decoded:
            assert isinstance(record.value, str | bytes | bool) or math.isfinite(record.value or 0.0)


@given(st.integers(0, len(RFC_8428_SECTION_6) - 1))
def test_a_pack_cut_short_is_malformed(size: int) -> None:
    with pytest.raises(Malformed):
        senml.decode(RFC_8428_SECTION_6[:size])


def test_base_value_and_base_sum_are_added_and_base_fields_change_in_between() -> None:
    data = pack(
        {-2: "a", -5: 10, -6: 100, 0: "1", 2: 1.5, 5: 5},
        {0: "2"},
        {-2: "b", -4: "Cel", -5: 0, 2: 3},
        {1: "K", 2: 4},
    )
    assert senml.decode(data) == (
        Record("a1", 11.5, sum=105.0),
        Record("a2", 10.0, sum=100.0),
        Record("b", 3.0, "Cel", sum=100.0),
        Record("b", 4.0, "K", sum=100.0),
    )


def test_a_record_of_base_fields_alone_makes_none() -> None:
    assert senml.decode(pack({-2: "a", -1: 10}, {2: 1})) == (Record("a", 1.0),)


def test_strings_booleans_data_and_sums() -> None:
    data = pack({0: "a", 3: "open"}, {0: "b", 4: True}, {0: "c", 8: b"\0"}, {0: "d", 5: 7, 7: 60})
    assert senml.decode(data) == (
        Record("a", "open"),
        Record("b", True),
        Record("c", b"\0"),
        Record("d", None, sum=7.0, update_time=60.0),
    )


def test_numbers_may_be_integers_floats_of_every_size_and_decimal_fractions() -> None:
    # 2.5 as half, single and double, and 273.15 = 27315 * 10**-2 (RFC 8949, section 3.4.4).
    encodings = [b"\xf9" + struct.pack(">e", 2.5), b"\xfa" + struct.pack(">f", 2.5), b"\xfb" + struct.pack(">d", 2.5)]
    assert {senml.decode(b"\x81\xa2\x00\x61a\x02" + each)[0].value for each in encodings} == {2.5}
    assert senml.decode(b"\x81\xa2\x00\x61a\x02\xc4\x82\x21\x19\x6a\xb3")[0].value == 273.15
    assert senml.decode(b"\x81\xa2\x00\x61a\x02\x38\x63")[0].value == -100.0


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("no records", b"\x80"),
        ("no array", pack()[:-1] + b"\xa0"),
        ("indefinite array", b"\x9f\xa2\x00\x61a\x02\x01\xff"),
        ("indefinite text", b"\x81\xa2\x00\x7f\x61a\xff\x02\x01"),
        ("reserved head", b"\x81\xbc"),
        ("bytes behind", pack({0: "a", 2: 1}) + b"\0"),
        ("label twice", b"\x81\xa3\x00\x61a\x02\x01\x02\x01"),
        ("text label", pack({"n": "a", 2: 1})),
        ("boolean label", b"\x81\xa2\xf4\x61a\x02\x01"),
        ("unknown label", pack({0: "a", 2: 1, 9: 1})),
        ("nested value", pack({0: "a", 2: [1]})),
        ("null value", pack({0: "a", 2: None})),
        ("tagged value", b"\x81\xa2\x00\x61a\x02\xc2\x41\x01"),
        ("no name", pack({2: 1})),
        ("name with a space", pack({0: "a b", 2: 1})),
        ("name that begins with a dash", pack({0: "-a", 2: 1})),
        ("long name", pack({-2: "a" * 100, 0: "a" * 29, 2: 1})),
        ("name is a number", pack({0: 1, 2: 1})),
        ("no value", pack({0: "a", 6: 1})),
        ("two values", pack({0: "a", 2: 1, 3: "b"})),
        ("number is a text", pack({0: "a", 2: "1"})),
        ("number is a boolean", pack({0: "a", 2: True})),
        ("time is a text", pack({0: "a", 2: 1, 6: "now"})),
        ("data is a text", pack({0: "a", 8: "AAA"})),
        ("boolean is a number", pack({0: "a", 4: 1})),
        ("not a number", pack({0: "a", 2: math.nan})),
        ("infinite", pack({0: "a", 2: math.inf})),
        ("infinite by addition", pack({0: "a", -5: 1e308, 2: 1e308})),
        ("decimal fraction beyond a double", b"\x81\xa2\x00\x61a\x02\xc4\x82\x19\x01\x8f\x01"),
        ("decimal fraction of huge exponent", b"\x81\xa2\x00\x61a\x02\xc4\x82\x1a\x3b\x9a\xca\x00\x01"),
        ("decimal fraction of three parts", b"\x81\xa2\x00\x61a\x02\xc4\x83\x01\x01\x01"),
        ("unknown version", pack({-1: 11, 0: "a", 2: 1})),
        ("version zero", pack({-1: 0, 0: "a", 2: 1})),
        ("version is a boolean", pack({-1: True, 0: "a", 2: 1})),
        ("another version later", pack({0: "a", 2: 1}, {-1: 5, 0: "a", 2: 1})),
        ("unit with a control character", pack({0: "a", 1: "C\n", 2: 1})),
        ("long unit", pack({0: "a", 1: "C" * 33, 2: 1})),
        ("not UTF-8", b"\x81\xa2\x00\x61a\x03\x61\xff"),
        ("long string", pack({0: "a", 3: "a" * 257})),
        ("many records", cbor2.dumps([{0: "a", 2: 1}] * 257)),
        ("many fields", b"\x81\xb1"),
        ("many bytes", cbor2.dumps([{0: "a", 3: "a" * 250}] * 65)),
    ],
)
def test_what_is_not_a_pack_is_malformed(name: str, data: bytes) -> None:
    with pytest.raises(Malformed):
        senml.decode(data)


@pytest.mark.parametrize(
    "given_records",
    [[], [Record("a b", 1.0)], [Record("a", math.nan)], [Record("a", None)], [Record("a", 1.0)] * 257],
)
def test_only_a_pack_is_encoded(given_records: list[Record]) -> None:
    with pytest.raises(Misuse):
        senml.encode(given_records)


def test_small_times_count_from_now() -> None:
    assert Record("a", 1.0, time=-5).taken_at(2e9) == 2e9 - 5
    assert Record("a", 1.0).taken_at(2e9) == 2e9
    assert Record("a", 1.0, time=2.0**28).taken_at(2e9) == 2**28
