import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.device.local import dns
from admittance.device.local.dns import Question, Record
from admittance.errors import Malformed, Misuse

LOCAL = dns.name("lamp._admittance._udp.local")
labels = st.lists(st.binary(min_size=1, max_size=63).map(bytes.lower), min_size=1, max_size=3).map(tuple)


def query(questions: bytes, count: int = 1, answers: bytes = b"", known: int = 0, flags: int = 0) -> bytes:
    return struct.pack(">6H", 7, flags, count, known, 0, 0) + questions + answers


def question(name: bytes, kind: int = dns.PTR, cls: int = 1) -> bytes:
    return name + struct.pack(">2H", kind, cls)


@given(labels, st.sampled_from([dns.PTR, dns.SRV, dns.TXT, dns.A, dns.ANY]), st.booleans())
def test_a_question_is_read_as_it_was_written(name: dns.Name, kind: int, unicast: bool) -> None:
    data = query(question(dns.encode_name(name), kind, 0x8001 if unicast else 1))
    assert dns.decode_query(data).questions == (Question(name, kind, unicast),)


def test_names_are_compared_without_case() -> None:
    data = query(question(b"\x04LaMp\x05LOCAL\0"))
    assert dns.decode_query(data).questions[0].name == dns.name("lamp.local")


def test_a_pointer_leads_to_a_name_before_it() -> None:
    first = question(dns.encode_name(dns.name("_udp.local")))
    second = question(b"\x04lamp\xc0\x0c")
    assert dns.decode_query(query(first + second, 2)).questions[1].name == dns.name("lamp._udp.local")


def test_known_answers_are_read_with_their_names_written_out() -> None:
    asked = question(dns.encode_name(dns.name("_udp.local")))
    target = b"\x04lamp\xc0\x0c"
    known = b"\xc0\x0c" + struct.pack(">2HIH", dns.PTR, 1, 4500, len(target)) + target
    found = dns.decode_query(query(asked, 1, known, 1)).known
    assert found == (Record(dns.name("_udp.local"), dns.PTR, 4500, dns.encode_name(dns.name("lamp._udp.local"))),)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 11,
        query(b"", flags=0x8400),
        query(b"", flags=0x0800),
        query(b"", count=65),
        query(b"\x05local"),
        query(b"\x05loc"),
        query(question(b"\xc0\x0c")),
        query(question(b"\xc0\xff")),
        query(question(b"\x40a\0")),
        query(question((b"\x3f" + b"a" * 63) * 5 + b"\0")),
        query(question(b"\x01a\0")[:-1]),
        query(question(b"\0"), 1, b"\0" + struct.pack(">2HIH", dns.A, 1, 9, 4) + b"abc", 1),
        query(question(b"\0"), 1, b"\0" + struct.pack(">2HIH", dns.PTR, 1, 9, 4) + b"\x01a\0x", 1),
        bytes(9001),
    ],
)
def test_what_is_no_query_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        dns.decode_query(data)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_query_or_malformed(data: bytes) -> None:
    for candidate in (data, data[:2] + b"\0\0" + data[4:]):
        try:
            dns.decode_query(candidate)
        except Malformed:
            continue


@given(st.integers(0, 40), st.binary(min_size=1, max_size=8))
def test_a_changed_query_is_a_query_or_malformed(position: int, change: bytes) -> None:
    good = query(question(dns.encode_name(LOCAL)) + question(b"\x01a\xc0\x0c"), 2)
    data = good[:position] + change + good[position + len(change) :]
    try:
        dns.decode_query(data)
    except Malformed:
        return


@pytest.mark.parametrize("text", ["", "a..b", "a" * 64, ".".join(["a" * 63] * 4)])
def test_a_name_that_dns_cannot_carry_is_our_mistake(text: str) -> None:
    with pytest.raises(Misuse):
        dns.name(text)


def test_a_txt_record_without_entries_has_an_empty_one() -> None:
    assert dns.txt([]) == b"\0"
    assert dns.txt(["id=a"]) == b"\x04id=a"
