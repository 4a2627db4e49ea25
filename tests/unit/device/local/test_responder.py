import struct

import pytest

from admittance.device.local import dns
from admittance.device.local.responder import MULTICAST_PORT, SERVICE, MdnsResponder, Reply
from admittance.errors import Malformed

DEVICE = "ADJBSWY3DPEHPK3PXPJBSW"
INSTANCE = (DEVICE.encode(), *dns.name(SERVICE))
POINTER = dns.encode_name(INSTANCE)


@pytest.fixture
def responder() -> MdnsResponder:
    return MdnsResponder(DEVICE, "192.0.2.7", 5683)


def asked(name: str, kind: int, *, unicast: bool = False, known: bytes = b"") -> bytes:
    question = dns.encode_name(dns.name(name)) + struct.pack(">2H", kind, 0x8001 if unicast else 1)
    return struct.pack(">6H", 0x1234, 0, 1, 1 if known else 0, 0, 0) + question + known


def known_pointer(ttl_s: int) -> bytes:
    return dns.encode_name(dns.name(SERVICE)) + struct.pack(">2HIH", dns.PTR, 1, ttl_s, len(POINTER)) + POINTER


def answered(reply: Reply | None) -> bytes:
    assert reply is not None
    return reply.data


def counts(data: bytes) -> tuple[int, ...]:
    """Questions, answers, authorities, additional records."""
    return struct.unpack_from(">4H", data, 4)


def test_who_looks_for_the_service_gets_everything_at_once(responder: MdnsResponder) -> None:
    reply = responder.receive(asked(SERVICE, dns.PTR), MULTICAST_PORT, 0.0)
    assert reply is not None
    assert not reply.unicast
    assert counts(reply.data) == (0, 1, 0, 3)
    assert POINTER in reply.data
    assert f"id={DEVICE}".encode() in reply.data
    assert bytes((192, 0, 2, 7)) in reply.data
    assert dns.srv(5683, dns.name(f"{DEVICE}.local")) in reply.data


@pytest.mark.parametrize(
    ("name", "kind", "records"),
    [
        (f"{DEVICE}.{SERVICE}", dns.SRV, (0, 1, 0, 2)),
        (f"{DEVICE}.{SERVICE}", dns.TXT, (0, 1, 0, 0)),
        (f"{DEVICE}.{SERVICE}", dns.ANY, (0, 2, 0, 1)),
        (f"{DEVICE}.local", dns.A, (0, 1, 0, 0)),
        ("_services._dns-sd._udp.local", dns.PTR, (0, 1, 0, 0)),
    ],
)
def test_each_record_is_found_by_its_name(
    responder: MdnsResponder, name: str, kind: int, records: tuple[int, ...]
) -> None:
    assert counts(answered(responder.receive(asked(name, kind), MULTICAST_PORT, 0.0))) == records


def test_what_is_not_ours_is_not_answered(responder: MdnsResponder) -> None:
    assert responder.receive(asked("_http._tcp.local", dns.PTR), MULTICAST_PORT, 0.0) is None
    assert responder.receive(asked(f"{DEVICE}.local", dns.TXT), MULTICAST_PORT, 0.0) is None


def test_an_answer_that_is_known_is_not_given_again_before_half_its_time(responder: MdnsResponder) -> None:
    fresh = asked(SERVICE, dns.PTR, known=known_pointer(4500))
    stale = asked(SERVICE, dns.PTR, known=known_pointer(2000))
    assert responder.receive(fresh, MULTICAST_PORT, 0.0) is None
    assert responder.receive(stale, MULTICAST_PORT, 0.0) is not None


def test_everybody_is_told_a_record_once_a_second_at_most(responder: MdnsResponder) -> None:
    question = asked(SERVICE, dns.PTR)
    assert responder.receive(question, MULTICAST_PORT, 10.0) is not None
    assert responder.receive(question, MULTICAST_PORT, 10.9) is None
    assert responder.receive(question, MULTICAST_PORT, 11.0) is not None


def test_who_asks_to_be_answered_alone_is_and_at_any_time(responder: MdnsResponder) -> None:
    question = asked(SERVICE, dns.PTR, unicast=True)
    for _ in range(2):
        reply = responder.receive(question, MULTICAST_PORT, 0.0)
        assert reply is not None
        assert reply.unicast


def test_an_ordinary_dns_client_gets_its_id_and_question_back(responder: MdnsResponder) -> None:
    reply = responder.receive(asked(SERVICE, dns.PTR), 40000, 0.0)
    assert reply is not None
    assert reply.unicast
    assert reply.data[:2] == b"\x12\x34"
    assert counts(reply.data)[0] == 1
    assert struct.pack(">HI", 1, 10) in reply.data
    assert struct.pack(">H", 0x8001) not in reply.data


def test_a_goodbye_lets_every_record_end(responder: MdnsResponder) -> None:
    assert counts(responder.announcement()) == counts(responder.goodbye()) == (0, 4, 0, 0)
    assert responder.goodbye().count(struct.pack(">I", 0)) >= 4


def test_a_response_of_another_is_no_query(responder: MdnsResponder) -> None:
    with pytest.raises(Malformed):
        responder.receive(responder.announcement(), MULTICAST_PORT, 0.0)
