"""Resolves SenML packs (RFC 8428) with cbor2 and the standard library; nothing of `admittance` is imported here."""

import math
import re
from decimal import Decimal
from typing import Any

import cbor2

from tests.vectors.independent import Refused, Vector, parse, require

LABELS = {-6: "number", -5: "number", -4: "text", -3: "number", -2: "text", -1: "version"} | {
    0: "text",
    1: "text",
    2: "number",
    3: "text",
    4: "boolean",
    5: "number",
    6: "number",
    7: "number",
    8: "data",
}
KINDS: dict[str, tuple[type, ...]] = {
    "number": (int, float, Decimal),
    "text": (str,),
    "boolean": (bool,),
    "data": (bytes,),
    "version": (int,),
}


def read_batch(_file: Vector, vector: Vector) -> None:
    value = parse(bytes.fromhex(vector["batch"]))
    require(isinstance(value, list) and len(value) == 4 and value[0] == "admittance/readings/1", "Malformed")
    _, sequence, sent_at, pack = value
    require(isinstance(sequence, int) and 1 <= sequence <= 2**53, "Malformed")
    require(isinstance(sent_at, int) and 0 <= sent_at <= 2**53, "Malformed")
    require(isinstance(pack, bytes) and 1 <= len(pack) <= 16000, "Malformed")
    require(resolved(pack, sent_at) == vector["records"], "another meaning")


def resolved(pack: bytes, sent_at: int) -> list[list[Any]]:
    records = pairs_of(pack)
    require(0 < len(records) <= 256, "Malformed")
    bases: dict[int, Any] = {-1: 10}
    found = []
    for fields in records:
        bases |= {label: value for label, value in fields.items() if label < 0}
        require(0 < bases[-1] <= 10, "Malformed")
        if set(fields) - {-1, -2, -3, -4}:
            found.append(record(bases, fields, sent_at))
    return found


def record(bases: dict[int, Any], fields: dict[int, Any], sent_at: int) -> list[Any]:
    name = bases.get(-2, "") + fields.get(0, "")
    require(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9:./_-]{0,127}", name) is not None, "Malformed")
    values = [label for label in (2, 3, 4, 8) if label in fields]
    has_sum = 5 in fields or -6 in bases
    require(len(values) <= 1 and bool(values or -5 in bases or has_sum), "Malformed")
    value: Any = None
    if values and values[0] != 2:
        value = fields[values[0]]
    elif values or -5 in bases:
        value = float(bases.get(-5, 0)) + float(fields.get(2, 0))
    time = float(bases.get(-3, 0)) + float(fields.get(6, 0))
    total = float(bases.get(-6, 0)) + float(fields.get(5, 0)) if has_sum else None
    numbers = [number for number in (value, time, total) if isinstance(number, float)]
    require(all(map(math.isfinite, numbers)), "Malformed")
    return [name, fields.get(1, bases.get(-4, "")), value, sent_at + time if time < 2**28 else time, total]


def pairs_of(pack: bytes) -> list[dict[int, Any]]:
    """The records, as cbor2 has them."""
    require(pack[:1] != b"\x9f", "Malformed")
    try:
        records = cbor2.loads(pack)
    except Exception as error:
        raise Refused("Malformed") from error
    require(isinstance(records, list) and all(isinstance(each, dict) for each in records), "Malformed")
    for fields in records:
        for label, value in fields.items():
            require(not isinstance(label, bool) and label in LABELS, "Malformed")
            is_boolean = isinstance(value, bool)
            require(isinstance(value, KINDS[LABELS[label]]) and is_boolean == (label == 4), "Malformed")
    # All packs are in preferred serialization, so one that is longer has a label twice, or bytes behind its end.
    require(len(cbor2.dumps(records, canonical=True)) == len(pack), "Malformed")
    return records
