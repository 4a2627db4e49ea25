"""Our seal keys against published HPKE vectors."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite

from admittance.errors import NotDecryptable
from admittance.protocol.sealing import ClassicSealKey, HybridSealKey
from tests.vectors import hpke_reference

VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("hpke.json").read_text())["vectors"]
WITH_KEY = [vector for vector in VECTORS if "key" in vector]
KEMS = {hpke_reference.DHKEM_X25519: KEM.X25519, hpke_reference.MLKEM768_X25519: KEM.MLKEM768_X25519}
AEADS = {1: AEAD.AES_128_GCM, 2: AEAD.AES_256_GCM, 3: AEAD.CHACHA20_POLY1305}


def seal_key(vector: dict[str, Any]) -> ClassicSealKey | HybridSealKey:
    """The vector's private key, loaded as a device loads its seal key."""
    private = bytes.fromhex(vector["sk"])
    if vector["kem_id"] == hpke_reference.MLKEM768_X25519:
        return HybridSealKey.from_bytes(hashlib.shake_256(private).digest(96))
    return ClassicSealKey.from_bytes(private)


def decrypt(vector: dict[str, Any], *, info: bytes, aad: bytes, ciphertext: bytes) -> bytes:
    suite = Suite(KEMS[vector["kem_id"]], KDF.HKDF_SHA256, AEADS[vector["aead_id"]])
    key = seal_key(vector)
    private = key.x25519 if isinstance(key, ClassicSealKey) else MLKEM768X25519PrivateKey(key.mlkem, key.x25519)
    return openssl.hpke._decrypt_with_aad(suite, ciphertext, private, info, aad)


def named(vector: dict[str, Any]) -> str:
    return str(vector["name"])


@pytest.mark.parametrize("vector", VECTORS, ids=named)
def test_the_public_key_is_the_published_one(vector: dict[str, Any]) -> None:
    assert seal_key(vector).public.hex() == vector["pk"]


@pytest.mark.parametrize("vector", VECTORS, ids=named)
def test_the_published_ciphertext_decrypts(vector: dict[str, Any]) -> None:
    info, aad = bytes.fromhex(vector["info"]), bytes.fromhex(vector["aad"])
    ciphertext = bytes.fromhex(vector["enc"] + vector["ct"])
    assert decrypt(vector, info=info, aad=aad, ciphertext=ciphertext).hex() == vector["pt"]
    with pytest.raises(InvalidTag):
        decrypt(vector, info=info + b"x", aad=aad, ciphertext=ciphertext)
    with pytest.raises(InvalidTag):
        decrypt(vector, info=info, aad=aad + b"x", ciphertext=ciphertext)


@pytest.mark.parametrize("vector", [vector for vector in VECTORS if "sk_e" in vector], ids=named)
def test_the_reference_encapsulates_as_published(vector: dict[str, Any]) -> None:
    enc, secret = hpke_reference.encapsulate_x25519(bytes.fromhex(vector["sk_e"]), bytes.fromhex(vector["pk"]))
    assert (enc.hex(), secret.hex()) == (vector["enc"], vector["shared_secret"])


@pytest.mark.parametrize("vector", WITH_KEY, ids=named)
def test_the_reference_derives_the_published_keys(vector: dict[str, Any]) -> None:
    key, nonce = hpke_reference.key_schedule(
        vector["kem_id"], vector["aead_id"], bytes.fromhex(vector["shared_secret"]), bytes.fromhex(vector["info"])
    )
    assert (key.hex(), nonce.hex()) == (vector["key"], vector["base_nonce"])


@pytest.mark.parametrize("vector", WITH_KEY, ids=named)
def test_a_seal_key_opens_what_was_sealed_with_the_published_secret(vector: dict[str, Any]) -> None:
    enc, secret = bytes.fromhex(vector["enc"]), bytes.fromhex(vector["shared_secret"])
    sealed = hpke_reference.encrypt(vector["kem_id"], enc, secret, b"header", b"configuration")
    key = seal_key(vector)
    assert key.decrypt(sealed, b"header") == b"configuration"
    for changed in (
        sealed[:-1],
        sealed[:-1] + bytes([sealed[-1] ^ 1]),
        bytes([sealed[0] ^ 1]) + sealed[1:],
        enc,
        b"",
    ):
        with pytest.raises(NotDecryptable):
            key.decrypt(changed, b"header")
    with pytest.raises(NotDecryptable):
        key.decrypt(sealed, b"another header")
