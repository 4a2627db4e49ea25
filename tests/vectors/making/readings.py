"""Vectors of readings: batches with SenML packs (RFC 8428), and what their records resolve to."""

import cbor2

from admittance.wire import cbor, message, senml
from admittance.wire.readings import Readings
from admittance.wire.senml import Record
from tests.vectors.making.material import Vector

AT = 1_800_000_000
RFC_8428 = bytes.fromhex(
    "87a721781b75726e3a6465763a6f773a3130653230373361303130383030363a22fb41d303a15b00106223614120050067766f6c"
    "7461676501615602fb405e066666666666a3006763757272656e74062402fb3ff3333333333333a3006763757272656e74062302"
    "fb3ff4cccccccccccda3006763757272656e74062202fb3ff6666666666666a3006763757272656e74062102f93e00a300676375"
    "7272656e74062002fb3ff999999999999aa3006763757272656e74060002fb3ffb333333333333"
)
"""The example of section 6."""


def pack(*records: dict[object, object]) -> bytes:
    return bytes(cbor2.dumps(list(records), canonical=True))


def batch(content: bytes, *, sequence: int = 1, sent_at: int = AT) -> bytes:
    """A batch, whether it is allowed or not."""
    return cbor.encode(["admittance/readings/1", sequence, sent_at, content])


def resolved(content: bytes) -> list[list[object]]:
    return [
        [record.name, record.unit, record.value, record.taken_at(AT), record.sum] for record in senml.decode(content)
    ]


def readings_vectors() -> Vector:
    ours = senml.encode([Record("temperature", 21.5, "Cel", AT - 60.0), Record("door", "open", time=-2.5)])
    bases = pack({-2: "a", -5: 10, -6: 100, 0: "1", 2: 1.5, 5: 5}, {0: "2"}, {-2: "b", -4: "Cel", -5: 0, 2: 3})
    good: list[tuple[str, bytes]] = [
        ("as a device sends it", ours),
        ("the example of RFC 8428, section 6", RFC_8428),
        ("base fields", bases),
        ("base fields alone", pack({-2: "a", -3: AT}, {4: True})),
        ("decimal fraction 273.15", b"\x81\xa2\x00\x61a\x02\xc4\x82\x21\x19\x6a\xb3"),
        ("negative integer", pack({0: "a", 2: -40, 6: -5})),
    ]
    bad: list[tuple[str, bytes]] = [
        ("sequence 0", batch(ours, sequence=0)),
        ("time before 1970", batch(ours, sent_at=-1)),
        ("empty pack", batch(b"")),
        ("no records", batch(pack())),
        ("label as a text", batch(pack({"n": "a", 2: 1}))),
        ("label twice", batch(b"\x81\xa3\x00\x61a\x02\x01\x02\x01")),
        ("unknown label", batch(pack({0: "a", 2: 1, 9: 1}))),
        ("array of indefinite length", batch(b"\x9f\xa2\x00\x61a\x02\x01\xff")),
        ("no name", batch(pack({2: 1}))),
        ("name that begins with a dash", batch(pack({0: "-a", 2: 1}))),
        ("no value", batch(pack({0: "a"}))),
        ("two values", batch(pack({0: "a", 2: 1, 4: True}))),
        ("number as a text", batch(pack({0: "a", 2: "1"}))),
        ("not a number", batch(pack({0: "a", 2: float("nan")}))),
        ("infinite by its base", batch(pack({0: "a", -5: 1e308, 2: 1e308}))),
        ("version 11", batch(pack({-1: 11, 0: "a", 2: 1}))),
        ("byte after the pack", batch(ours + b"\0")),
        ("byte after the batch", batch(ours) + b"\0"),
        ("257 records", batch(pack(*[{0: "a", 2: 1}] * 257))),
    ]
    return {
        "about": "POST /readings; hexadecimal; `records` are [name, unit, value, Unix time, sum]",
        "vectors": [
            *(
                {
                    "name": name,
                    "batch": message.encode(Readings(1, AT, content)).hex(),
                    "records": resolved(content),
                    "expected": "ok",
                }
                for name, content in good
            ),
            *({"name": name, "batch": data.hex(), "records": [], "expected": "Malformed"} for name, data in bad),
        ],
    }
