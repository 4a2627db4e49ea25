"""SenML packs in CBOR (RFC 8428, section 6): measurements with name, unit, value and time.

Encoding writes each record whole. Decoding resolves the base fields (section 4.6), so that every record stands for
itself. Labels are the integers of table 4; everything has a definite length.
"""

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import cbor2

from admittance.errors import Malformed, Misuse

BASE_VERSION: Final = -1
BASE_NAME: Final = -2
BASE_TIME: Final = -3
BASE_UNIT: Final = -4
BASE_VALUE: Final = -5
BASE_SUM: Final = -6
NAME: Final = 0
UNIT: Final = 1
VALUE: Final = 2
STRING_VALUE: Final = 3
BOOLEAN_VALUE: Final = 4
SUM: Final = 5
TIME: Final = 6
UPDATE_TIME: Final = 7
DATA_VALUE: Final = 8

VERSION: Final = 10
MAX_PACK_BYTES: Final = 16000
MAX_RECORDS: Final = 256
MAX_NAME_CHARACTERS: Final = 128
MAX_UNIT_CHARACTERS: Final = 32
MAX_VALUE_BYTES: Final = 256
RELATIVE_BELOW: Final = 2**28
"""Times below are seconds from now, others Unix seconds (section 4.5.3)."""

Value: TypeAlias = float | str | bool | bytes
_Field: TypeAlias = int | float | str | bool | bytes

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*", re.ASCII)
_BASES: Final = frozenset(range(BASE_SUM, NAME))
_NUMBERS: Final = frozenset((BASE_TIME, BASE_VALUE, BASE_SUM, VALUE, SUM, TIME, UPDATE_TIME))
_TEXTS: Final = frozenset((BASE_NAME, BASE_UNIT, NAME, UNIT, STRING_VALUE))
_VALUES: Final = (VALUE, STRING_VALUE, BOOLEAN_VALUE, DATA_VALUE)

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_DECIMAL_FRACTION = 4
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
_MAX_EXPONENT = 400
_MAX_FIELDS = 16


@dataclass(frozen=True, slots=True)
class Record:
    """One resolved record. `value` is None only where there is a `sum`, the integral over time.

    `time` is as `RELATIVE_BELOW` tells; `update_time` is the most seconds until the next reading.
    """

    name: str
    value: Value | None
    unit: str = ""
    time: float = 0.0
    sum: float | None = None
    update_time: float | None = None

    def taken_at(self, now: float) -> float:
        """When it was measured, in Unix seconds, where the pack was made at `now`."""
        return now + self.time if self.time < RELATIVE_BELOW else self.time


def encode(records: Sequence[Record]) -> bytes:
    """A pack of 1 to 256 records. Raises `Misuse` for what `decode` does not take."""
    if not 1 <= len(records) <= MAX_RECORDS:
        raise Misuse(f"a SenML pack of {len(records)} records")
    data: bytes = cbor2.dumps([_fields(record) for record in records], canonical=True)
    try:
        decode(data)
    except Malformed as error:
        raise Misuse(str(error)) from error
    return data


def decode(data: bytes) -> tuple[Record, ...]:
    """The resolved records of a pack, in their order; records of base fields alone make none.

    Raises `Malformed` for a pack of more than 16,000 bytes or 256 records, for CBOR that is not well-formed or of
    indefinite length, for duplicate or unknown labels, fields of a wrong type, numbers that are not finite, names
    that section 4.5.1 does not allow, records without value or name, and a version that is not known.
    """
    if len(data) > MAX_PACK_BYTES:
        raise Malformed(f"a SenML pack of {len(data)} bytes")
    reader = _Reader(data)
    count = reader.count(_ARRAY, MAX_RECORDS)
    if not count:
        raise Malformed("a SenML pack without records")
    bases: dict[int, _Field] = {}
    records = []
    for _ in range(count):
        fields = reader.record()
        _take_bases(bases, fields)
        if fields.keys() - _BASES or BASE_VALUE in fields or BASE_SUM in fields:
            records.append(_resolved(bases, fields))
    reader.end()
    return tuple(records)


def _fields(record: Record) -> dict[int, _Field]:
    fields: dict[int, _Field] = {NAME: record.name}
    if record.unit:
        fields[UNIT] = record.unit
    if record.value is not None:
        fields[_label(record.value)] = _shortest(record.value)
    if record.sum is not None:
        fields[SUM] = _shortest(record.sum)
    if record.time:
        fields[TIME] = _shortest(record.time)
    if record.update_time is not None:
        fields[UPDATE_TIME] = _shortest(record.update_time)
    return fields


def _label(value: Value) -> int:
    match value:
        case bool():
            return BOOLEAN_VALUE
        case str():
            return STRING_VALUE
        case bytes():
            return DATA_VALUE
        case _:
            return VALUE


def _shortest(value: Value) -> _Field:
    """A whole number as an integer: CBOR needs fewer bytes for it, and SenML makes no difference."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def _take_bases(bases: dict[int, _Field], fields: dict[int, _Field]) -> None:
    """A base field holds from its record on until it is given again."""
    version = fields.get(BASE_VERSION, bases.get(BASE_VERSION, VERSION))
    if version != bases.get(BASE_VERSION, version):
        raise Malformed("a SenML pack of several versions")
    if isinstance(version, bool) or not isinstance(version, int) or not 0 < version <= VERSION:
        raise Malformed("a SenML pack of an unknown version")
    bases[BASE_VERSION] = version
    bases.update((label, value) for label, value in fields.items() if label in _BASES)


def _resolved(bases: dict[int, _Field], fields: dict[int, _Field]) -> Record:
    name = _text(bases, BASE_NAME) + _text(fields, NAME)
    if len(name) > MAX_NAME_CHARACTERS or not _NAME.fullmatch(name):
        raise Malformed("a SenML record with a name that is not allowed")
    unit = _text(fields, UNIT) if UNIT in fields else _text(bases, BASE_UNIT)
    if len(unit) > MAX_UNIT_CHARACTERS or not unit.isprintable():
        raise Malformed("a SenML record with a unit that is not allowed")
    return Record(
        name=name,
        value=_value(bases, fields),
        unit=unit,
        time=_finite(_number(bases, BASE_TIME) + _number(fields, TIME)),
        sum=_sum(bases, fields),
        update_time=_number(fields, UPDATE_TIME) if UPDATE_TIME in fields else None,
    )


def _value(bases: dict[int, _Field], fields: dict[int, _Field]) -> Value | None:
    given = [label for label in _VALUES if label in fields]
    if len(given) > 1:
        raise Malformed("a SenML record with several values")
    if given and given[0] != VALUE:
        return fields[given[0]]
    if given or BASE_VALUE in bases:
        return _finite(_number(bases, BASE_VALUE) + _number(fields, VALUE))
    if SUM in fields or BASE_SUM in bases:
        return None
    raise Malformed("a SenML record without a value")


def _sum(bases: dict[int, _Field], fields: dict[int, _Field]) -> float | None:
    if SUM not in fields and BASE_SUM not in bases:
        return None
    return _finite(_number(bases, BASE_SUM) + _number(fields, SUM))


def _text(fields: dict[int, _Field], label: int) -> str:
    return str(fields.get(label, ""))


def _number(fields: dict[int, _Field], label: int) -> float:
    return float(fields.get(label, 0.0))


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise Malformed("a SenML number that is not finite")
    return value


def _check_field(label: int, value: _Field) -> None:
    if label in _NUMBERS:
        is_right = isinstance(value, int | float) and not isinstance(value, bool)
    elif label in _TEXTS:
        is_right = isinstance(value, str)
    elif label == BOOLEAN_VALUE:
        is_right = isinstance(value, bool)
    elif label == DATA_VALUE:
        is_right = isinstance(value, bytes)
    else:
        is_right = label == BASE_VERSION
    if not is_right:
        raise Malformed("a SenML field that is not known, or of a wrong type")


class _Reader:
    """Reads the part of CBOR (RFC 8949) that SenML uses."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def record(self) -> dict[int, _Field]:
        fields: dict[int, _Field] = {}
        for _ in range(self.count(_MAP, _MAX_FIELDS)):
            label, value = self._scalar(), self._scalar()
            if not isinstance(label, int) or isinstance(label, bool) or label in fields:
                raise Malformed("a SenML label that is no integer, or given twice")
            _check_field(label, value)
            fields[label] = value
        return fields

    def count(self, major: int, largest: int) -> int:
        """The head of an array or a map."""
        found, _, argument = self._head()
        if found != major or argument > largest:
            raise Malformed("not the structure of a SenML pack")
        return argument

    def end(self) -> None:
        if self._position != len(self._data):
            raise Malformed("bytes after the end of a SenML pack")

    def _head(self) -> tuple[int, int, int]:
        """Major type, additional information and argument."""
        first = self._take(1)[0]
        major, info = first >> 5, first & 0x1F
        if info < 24:
            return major, info, info
        if info > 27:
            raise Malformed("CBOR of indefinite length, or with a reserved head")
        return major, info, int.from_bytes(self._take(1 << (info - 24)), "big")

    def _scalar(self) -> _Field:
        major, info, argument = self._head()
        if major == _UNSIGNED:
            return argument
        if major == _NEGATIVE:
            return -1 - argument
        if major in (_BYTES, _TEXT):
            return self._string(major, argument)
        if major == _TAG and argument == _DECIMAL_FRACTION:
            return self._decimal_fraction()
        if major == _SIMPLE and info in _FLOATS:
            return self._float(info)
        if major == _SIMPLE and info in (20, 21):
            return info == 21
        raise Malformed("CBOR of a type that SenML has not")

    def _string(self, major: int, length: int) -> str | bytes:
        if length > MAX_VALUE_BYTES:
            raise Malformed(f"a SenML string of {length} bytes")
        taken = self._take(length)
        if major == _BYTES:
            return taken
        try:
            return taken.decode()
        except UnicodeDecodeError as error:
            raise Malformed("a SenML text that is not UTF-8") from error

    def _float(self, info: int) -> float:
        size = 1 << (info - 24)
        number: float = struct.unpack_from(_FLOATS[info], self._data, self._position - size)[0]
        return _finite(number)

    def _decimal_fraction(self) -> float:
        """Exponent to the base 10 and mantissa (RFC 8949, section 3.4.4)."""
        if self.count(_ARRAY, 2) != 2:
            raise Malformed("a decimal fraction of other than two parts")
        exponent, mantissa = self._integer(), self._integer()
        if abs(exponent) > _MAX_EXPONENT:
            raise Malformed("a decimal fraction beyond a double's range")
        return _finite(float(f"{mantissa}e{exponent}"))

    def _integer(self) -> int:
        major, _, argument = self._head()
        if major not in (_UNSIGNED, _NEGATIVE):
            raise Malformed("a part of a decimal fraction that is no integer")
        return argument if major == _UNSIGNED else -1 - argument

    def _take(self, size: int) -> bytes:
        start, self._position = self._position, self._position + size
        if self._position > len(self._data):
            raise Malformed("CBOR that ends early")
        return self._data[start : self._position]
