"""Our COSE subset against the examples of the COSE working group.

What COSE allows and our subset doesn't is refused, and each vector says with which class.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from admittance import errors
from admittance.protocol.access.encrypted_key import decrypt_content
from admittance.protocol.sealing import SymmetricSealKey
from admittance.protocol.signing import load_public_key, verify1
from admittance.wire import cbor, cose

FILE: dict[str, Any] = json.loads(Path(__file__).with_name("cose.json").read_text())


def named(vector: dict[str, Any]) -> str:
    return str(vector["name"])


def outcome_of(call: Any) -> str:
    try:
        call()
    except (errors.AdmittanceError, InvalidTag) as error:
        return type(error).__name__
    return "ok"


@pytest.mark.parametrize("vector", FILE["sign1"], ids=named)
def test_sign1(vector: dict[str, Any]) -> None:
    def verify() -> None:
        message = cose.Sign1.decode(bytes.fromhex(vector["message"]))
        public_key = load_public_key(bytes.fromhex(vector["spki"]))
        payload = verify1(message, public_key, bytes.fromhex(vector["external_aad"]))
        assert payload.hex() == FILE["payload"]

    assert outcome_of(verify) == vector["expected"]


@pytest.mark.parametrize("vector", [v for v in FILE["sign1"] if "signature_input" in v], ids=named)
def test_signature_input(vector: dict[str, Any]) -> None:
    message = cose.Sign1.decode(bytes.fromhex(vector["message"]))
    signed = cose.signature_input(message.protected_bytes, message.payload, bytes.fromhex(vector["external_aad"]))
    assert signed.hex() == vector["signature_input"]


@pytest.mark.parametrize("vector", FILE["encrypt0"], ids=named)
def test_encrypt0(vector: dict[str, Any]) -> None:
    def decrypt() -> None:
        message = cose.Encrypt0.decode(bytes.fromhex(vector["message"]))
        aad = cose.encryption_aad(message.protected_bytes, b"")
        assert aad.hex() == vector["enc_structure"]
        nonce = message.unprotected[cose.IV]
        assert isinstance(nonce, bytes)
        plaintext = AESGCM(bytes.fromhex(vector["key"])).decrypt(nonce, message.ciphertext, aad)
        assert plaintext.hex() == FILE["payload"]

    assert outcome_of(decrypt) == vector["expected"]


@pytest.mark.parametrize("vector", FILE["encrypt0"], ids=named)
def test_encrypt0_that_is_not_a_sealed_configuration(vector: dict[str, Any]) -> None:
    key = SymmetricSealKey(bytes.fromhex(vector["key"]).ljust(32, b"\0"))
    outcome = outcome_of(lambda: key.decrypt(bytes.fromhex(vector["message"]), b""))
    assert outcome == vector["expected_as_sealed"]


@pytest.mark.parametrize("vector", FILE["encrypt"], ids=named)
def test_encrypt(vector: dict[str, Any]) -> None:
    message = cose.Encrypt.from_list(cbor.decode(bytes.fromhex(vector["message"])))
    access_key = ec.derive_private_key(int(vector["access_key"], 16), ec.SECP256R1())
    assert cose.recipients_encryption_aad(message.protected_bytes).hex() == vector["enc_structure"]
    context = cose.kdf_context(message.algorithm, 128, message.recipient.protected_bytes)
    assert context.hex() == vector["kdf_context"]
    assert decrypt_content(message, access_key).hex() == FILE["payload"]
