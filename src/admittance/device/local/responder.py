"""Answers who looks for this device on the local network (RFC 6762 and 6763), without any I/O.

The device offers one service, ``_admittance._udp``, as an instance named by its id. It doesn't probe for a conflict
(RFC 6762, section 8.1): an id is a key's hash, so another device with that name is an impostor, and its channel key
shows that.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from admittance.device.local import dns
from admittance.device.local.dns import Name, Question, Record

SERVICE: Final = "_admittance._udp.local"
MULTICAST_PORT: Final = 5353
HOST_TTL_S: Final = 120
SERVICE_TTL_S: Final = 4500
UNICAST_TTL_S: Final = 10
QUIET_S: Final = 1.0
"""No record is sent to everybody twice within that time (RFC 6762, section 6)."""

_ENUMERATION: Final = dns.name("_services._dns-sd._udp.local")


@dataclass(frozen=True, slots=True)
class Reply:
    """`data` goes to the asker alone, or to everybody. An answer to everybody waits 20 to 120 ms, so that the answers
    of several devices don't meet."""

    data: bytes
    unicast: bool


class MdnsResponder:
    """For the device `device_id`, whose channel is at `address` and `port` of UDP."""

    def __init__(self, device_id: str, address: str, port: int) -> None:
        service = dns.name(SERVICE)
        instance: Name = (device_id.encode(), *service)
        host: Name = (device_id.lower().encode(), b"local")
        self._pointer = Record(service, dns.PTR, SERVICE_TTL_S, dns.encode_name(instance))
        self._enumeration = Record(_ENUMERATION, dns.PTR, SERVICE_TTL_S, dns.encode_name(service))
        self._srv = Record(_lower(instance), dns.SRV, HOST_TTL_S, dns.srv(port, host), unique=True)
        self._txt = Record(_lower(instance), dns.TXT, SERVICE_TTL_S, dns.txt([f"id={device_id}"]), unique=True)
        self._address = Record(host, dns.A, HOST_TTL_S, IPv4Address(address).packed, unique=True)
        self._sent_at: dict[Record, float] = {}

    def receive(self, data: bytes, source_port: int, now: float) -> Reply | None:
        """What to answer, if anything. Raises `Malformed` for what is no query."""
        query = dns.decode_query(data)
        known = {(r.name, r.type, r.data.lower()) for r in query.known if r.ttl_s >= SERVICE_TTL_S // 2}
        asked = [record for question in query.questions for record in self._answers(question)]
        answers = [r for r in dict.fromkeys(asked) if (r.name, r.type, r.data.lower()) not in known]
        if not answers:
            return None
        if source_port != MULTICAST_PORT:
            return self._legacy(query, answers)
        unicast = all(question.unicast for question in query.questions)
        if not unicast:
            answers = [record for record in answers if now - self._sent_at.get(record, -QUIET_S) >= QUIET_S]
            if not answers:
                return None
            self._sent_at.update(dict.fromkeys(answers, now))
        return Reply(dns.encode_response(answers, self._further(answers)), unicast)

    def announcement(self) -> bytes:
        """What to tell everybody, unasked, when the device comes to the network."""
        return dns.encode_response(self._all())

    def goodbye(self) -> bytes:
        """What to tell everybody when it leaves (RFC 6762, section 10.1)."""
        return dns.encode_response([_lasting(record, 0) for record in self._all()])

    def _answers(self, question: Question) -> Iterable[Record]:
        for record in (self._enumeration, *self._all()):
            if record.name == question.name and question.type in (record.type, dns.ANY):
                yield record

    def _further(self, answers: list[Record]) -> list[Record]:
        """What the asker will want to know next (RFC 6763, section 12)."""
        if self._pointer in answers or self._srv in answers:
            return [record for record in (self._srv, self._txt, self._address) if record not in answers]
        return []

    def _legacy(self, query: dns.Query, answers: list[Record]) -> Reply:
        """An answer as an ordinary DNS client understands it (RFC 6762, section 6.7)."""
        brief = [_lasting(record, UNICAST_TTL_S) for record in answers]
        further = [_lasting(record, UNICAST_TTL_S) for record in self._further(answers)]
        return Reply(dns.encode_response(brief, further, id=query.id, questions=query.questions), unicast=True)

    def _all(self) -> tuple[Record, ...]:
        return self._pointer, self._srv, self._txt, self._address


def _lasting(record: Record, ttl_s: int) -> Record:
    return Record(record.name, record.type, min(record.ttl_s, ttl_s), record.data, record.unique and ttl_s == 0)


def _lower(labels: Name) -> Name:
    return tuple(label.lower() for label in labels)
