import hashlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import KeyRefused, Malformed
from admittance.wire import cbor, message
from admittance.wire.channel import Admission, Credential, Entry, Permission, kid_of

KEY = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1()).public_key()


def spki(key: object) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


SPKI = spki(KEY)
ENTRY = Entry(SPKI, b"", "guest", 3, "Anna's phone", 1_800_000_000, (Permission("/lock", 5), Permission("/a/*", 1)))


def test_a_credential_is_a_claims_set_with_the_key() -> None:
    credential = Credential.from_spki(SPKI)
    numbers = KEY.public_numbers()
    kid = hashlib.sha256(SPKI).digest()[:8]
    assert credential.kid == kid == kid_of(SPKI)
    assert credential.spki == SPKI
    assert credential.value == bytes.fromhex(
        "a108a101a5010202" + "48" + kid.hex() + "2001215820"
    ) + numbers.x.to_bytes(32, "big") + bytes.fromhex("225820") + numbers.y.to_bytes(32, "big")


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate(),
        x25519.X25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=lambda key: type(key).__name__,
)
def test_other_keys_are_refused(key: object) -> None:
    with pytest.raises(KeyRefused):
        Credential.from_spki(spki(key.public_key()))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        SPKI[:-1],
        SPKI + b"\0",
        SPKI[:-1] + bytes((SPKI[-1] ^ 1,)),
        SPKI[:26] + b"\x02" + SPKI[27:59],
        bytes(91),
    ],
)
def test_what_is_no_key_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        Credential.from_spki(data)


def test_a_compressed_point_is_not_the_one_encoding() -> None:
    """Two encodings of one key would be two credentials."""
    compressed = KEY.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    algorithm = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
    body = algorithm + b"\x03" + bytes((len(compressed) + 1,)) + b"\0" + compressed
    with pytest.raises(Malformed):
        Credential.from_spki(b"\x30" + bytes((len(body),)) + body)


def test_entries_and_admissions_are_read_as_they_were_written() -> None:
    admission = Admission("ADABCDEFGHIJKLMNOPQRST", bytes(range(16)), ENTRY, 1_700_000_000)
    assert message.decode(message.encode(ENTRY), Entry) == ENTRY
    assert message.decode(message.encode(admission), Admission) == admission
    assert cbor.decode(message.encode(ENTRY))[6] == [["/lock", 5], ["/a/*", 1]]


GOOD = [SPKI, b"", "guest", 3, "x", 0, [["/a", 1]]]


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, "text"),
        (0, bytes(201)),
        (1, None),
        (2, "operator"),
        (2, ""),
        (3, -1),
        (3, 2**60),
        (4, "x" * 65),
        (5, -1),
        (6, [["a", 1]]),
        (6, [["/a\n", -1]]),
        (6, [["/a", 0]]),
        (6, [["/a", 32]]),
        (6, [["/" + "a" * 128, 1]]),
        (6, [["/a"]]),
        (6, [["/a", 1, 1]]),
        (6, [["/a", 1]] * 17),
    ],
)
def test_an_entry_with_a_wrong_field_is_malformed(position: int, value: object) -> None:
    fields = [*GOOD[:position], value, *GOOD[position + 1 :]]
    with pytest.raises(Malformed):
        message.decode(cbor.encode(fields), Entry)


@pytest.mark.parametrize("fields", [GOOD[:-1], [*GOOD, 1], []])
def test_an_entry_has_all_its_fields_and_no_more(fields: list[object]) -> None:
    with pytest.raises(Malformed):
        message.decode(cbor.encode(fields), Entry)
    with pytest.raises(Malformed):
        message.decode(cbor.encode(["admittance/admission/1", "AD", bytes(16), fields, 0]), Admission)


@given(st.binary(max_size=300))
def test_whatever_arrives_is_read_or_malformed(data: bytes) -> None:
    for kind in (Entry, Admission, Permission):
        try:
            value = message.decode(data, kind)
        except Malformed:
            continue
        assert message.encode(value) == data
    with pytest.raises((Malformed, KeyRefused)):
        Credential.from_spki(data)
