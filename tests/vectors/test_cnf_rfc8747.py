"""RFC 8747, sections 3.2 to 3.4: the examples of ``cnf``, and what those that are not used here are refused as."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from admittance.errors import Malformed
from admittance.wire import cbor, cose, cose_key, cwt

VECTORS = json.loads((Path(__file__).parent / "cwt_rfc8747.json").read_text())
IV, TAG_BYTES = 5, 8


def test_claims_with_a_public_key() -> None:
    vector = VECTORS["claims_with_public_key"]
    data, x, y = (bytes.fromhex(vector[name]) for name in ("claims", "x", "y"))
    claims = cwt.decode(data)
    expected = cwt.Claims(
        issuer="coaps://server.example.com",
        audience="coaps://client.example.org",
        expires_at=1879067471,
        confirmation=cwt.KeyConfirmation(cose_key.from_map({1: 2, -1: 1, -2: x, -3: y})),
    )
    assert claims == expected
    assert cwt.encode(claims) == data


def test_the_id_of_a_key() -> None:
    vector = VECTORS["key_id"]
    value = cbor.decode(bytes.fromhex(vector["cnf"]))
    confirmation = cwt.decode_confirmation(value)
    assert confirmation == cwt.KeyIdConfirmation(bytes.fromhex(vector["kid"]))
    assert cwt.encode_confirmation(confirmation) == value


def test_an_encrypted_key_opens_by_our_enc_structure() -> None:
    vector = VECTORS["encrypted_key"]
    value = cbor.decode(bytes.fromhex(vector["cnf"]))
    assert isinstance(value, dict)
    encrypted = cose.Encrypt0.decode(cbor.encode(value[2]))
    opened = AESCCM(bytes.fromhex(vector["encrypted_under"]), TAG_BYTES).decrypt(
        encrypted.unprotected[IV], encrypted.ciphertext, cose.encryption_aad(encrypted.protected_bytes, b"")
    )
    assert opened.hex() == vector["key"]


def test_a_key_that_is_encrypted_under_a_shared_one_is_malformed() -> None:
    """Ours is a COSE_Encrypt to the device's access key: the two share no key beforehand."""
    with pytest.raises(Malformed):
        cwt.decode_confirmation(cbor.decode(bytes.fromhex(VECTORS["encrypted_key"]["cnf"])))


@pytest.mark.parametrize("name", ["public", "id"])
def test_two_keys_are_malformed(name: str) -> None:
    """``cnf`` identifies a single key (section 3.1)."""
    key_id = cbor.decode(bytes.fromhex(VECTORS["key_id"]["cnf"]))
    claims = cbor.decode(bytes.fromhex(VECTORS["claims_with_public_key"]["claims"]))
    assert isinstance(key_id, dict)
    assert isinstance(claims, dict)
    both = {**claims[8], **key_id}
    with pytest.raises(Malformed):
        cwt.decode_confirmation(both if name == "public" else {**key_id, 4: {0: b"\x01", 2: bytes(16)}})
