"""The part of DNS that a responder on the local network needs: reading queries, writing answers (RFC 1035, RFC 6762).

Names are tuples of labels in lower case: DNS compares them without case.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from admittance.errors import Malformed, Misuse

A: Final = 1
PTR: Final = 12
TXT: Final = 16
SRV: Final = 33
ANY: Final = 255
INTERNET: Final = 1

MAX_PACKET_BYTES: Final = 9000
MAX_RECORDS: Final = 64
MAX_NAME_BYTES: Final = 255
MAX_LABEL_BYTES: Final = 63

Name: TypeAlias = tuple[bytes, ...]

_HEADER: Final = struct.Struct(">6H")
_QUESTION: Final = struct.Struct(">2H")
_RECORD: Final = struct.Struct(">2HIH")
_RESPONSE: Final = 0x8000
_OPCODE_AND_ERROR: Final = 0x780F
_AUTHORITATIVE_RESPONSE: Final = 0x8400
_POINTER: Final = 0xC0
_TOP_BIT: Final = 0x8000
"""Of a question's class: answer me alone; of a record's: forget what you knew (RFC 6762, sections 5.4 and 10.2)."""


@dataclass(frozen=True, slots=True)
class Question:
    """`unicast` asks for an answer to the asker alone."""

    name: Name
    type: int
    unicast: bool


@dataclass(frozen=True, slots=True)
class Record:
    """`ttl_s` is how long to believe it; `unique` that nobody else has a record of this name and type."""

    name: Name
    type: int
    ttl_s: int
    data: bytes
    unique: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """`known` are the answers that the asker has already, with the names in their data written out."""

    id: int
    questions: tuple[Question, ...]
    known: tuple[Record, ...]


def name(text: str) -> Name:
    """The name that ``a.b.local`` is. Raises `Misuse` for one that DNS can't carry."""
    labels = tuple(label.encode().lower() for label in text.split("."))
    if not all(0 < len(label) <= MAX_LABEL_BYTES for label in labels) or len(encode_name(labels)) > MAX_NAME_BYTES:
        raise Misuse(f"{text!r} is no DNS name")
    return labels


def encode_name(labels: Name) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def srv(port: int, host: Name) -> bytes:
    """The data of a SRV record (RFC 2782) of priority and weight 0."""
    return struct.pack(">3H", 0, 0, port) + encode_name(host)


def txt(entries: Iterable[str]) -> bytes:
    """The data of a TXT record (RFC 6763, section 6)."""
    return b"".join(bytes((len(entry.encode()),)) + entry.encode() for entry in entries) or b"\0"


def encode_response(
    answers: Sequence[Record],
    additional: Sequence[Record] = (),
    *,
    id: int = 0,
    questions: Sequence[Question] = (),
) -> bytes:
    """A response. One to an asker that is no mDNS querier carries its id and questions (RFC 6762, section 6.7)."""
    header = _HEADER.pack(id, _AUTHORITATIVE_RESPONSE, len(questions), len(answers), 0, len(additional))
    asked = b"".join(encode_name(q.name) + _QUESTION.pack(q.type, INTERNET) for q in questions)
    return header + asked + b"".join(_encode_record(record) for record in (*answers, *additional))


def decode_query(data: bytes) -> Query:
    """Read a query. Raises `Malformed` for anything else, responses included."""
    if len(data) > MAX_PACKET_BYTES or len(data) < _HEADER.size:
        raise Malformed("a DNS message of a size that is not allowed")
    number, flags, questions, answers, _, _ = _HEADER.unpack_from(data)
    if flags & (_RESPONSE | _OPCODE_AND_ERROR):
        raise Malformed("a DNS message that is no query")
    if questions > MAX_RECORDS or answers > MAX_RECORDS:
        raise Malformed("a DNS query with too many records")
    reader = _Reader(data, _HEADER.size)
    return Query(
        number,
        tuple(reader.question() for _ in range(questions)),
        tuple(reader.record() for _ in range(answers)),
    )


def _encode_record(record: Record) -> bytes:
    kind = INTERNET | (_TOP_BIT if record.unique else 0)
    head = encode_name(record.name) + _RECORD.pack(record.type, kind, record.ttl_s, len(record.data))
    return head + record.data


class _Reader:
    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._position = position

    def question(self) -> Question:
        labels = self._name()
        kind, cls = self._unpack(_QUESTION)
        return Question(labels, kind, bool(cls & _TOP_BIT))

    def record(self) -> Record:
        labels = self._name()
        kind, cls, ttl_s, length = self._unpack(_RECORD)
        end = self._position + length
        if end > len(self._data):
            raise Malformed("a DNS record that is cut off")
        if kind == PTR:
            target = self._name()
            if self._position != end:
                raise Malformed("a DNS pointer record with something behind its name")
            return Record(labels, kind, ttl_s, encode_name(target), bool(cls & _TOP_BIT))
        data = self._data[self._position : end]
        self._position = end
        return Record(labels, kind, ttl_s, data, bool(cls & _TOP_BIT))

    def _unpack(self, form: struct.Struct) -> tuple[int, ...]:
        start, self._position = self._position, self._position + form.size
        if self._position > len(self._data):
            raise Malformed("a DNS message that is cut off")
        return form.unpack_from(self._data, start)

    def _name(self) -> Name:
        """A name, with pointers followed: each must lead further back than the one before (RFC 1035, 4.1.4)."""
        labels: list[bytes] = []
        position, limit, size = self._position, self._position, 0
        follows: int | None = None
        while True:
            if position >= len(self._data):
                raise Malformed("a DNS name that is cut off")
            length = self._data[position]
            if length & _POINTER == _POINTER:
                if position + 2 > len(self._data):
                    raise Malformed("a DNS name that is cut off")
                follows = position + 2 if follows is None else follows
                position = int.from_bytes(self._data[position : position + 2]) & 0x3FFF
                if position >= limit:
                    raise Malformed("a DNS name that points forward")
                limit = position
                continue
            if length & _POINTER:
                raise Malformed("a DNS label of an unknown kind")
            position += 1
            if not length:
                break
            label = self._data[position : position + length]
            position += length
            size += 1 + length
            if len(label) < length or size >= MAX_NAME_BYTES:
                raise Malformed("a DNS name that is cut off or too long")
            labels.append(label.lower())
        self._position = position if follows is None else follows
        return tuple(labels)
