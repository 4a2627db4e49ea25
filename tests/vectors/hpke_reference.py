"""HPKE's key schedule and DHKEM(X25519) from RFC 9180, written down a second time for the tests.

Slow, sender only, and with the ephemeral key as an argument, so that vectors come out the same each time.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

DHKEM_X25519 = 0x0020
MLKEM768_X25519 = 0x647A
HKDF_SHA256 = 0x0001
AES_256_GCM = 0x0002
KEY_BYTES = {0x0001: 16, 0x0002: 32, 0x0003: 32}


def encapsulate_x25519(ephemeral: bytes, recipient: bytes) -> tuple[bytes, bytes]:
    """`enc` and shared secret of DHKEM(X25519, HKDF-SHA256) (section 4.1)."""
    private_key = X25519PrivateKey.from_private_bytes(ephemeral)
    enc = private_key.public_key().public_bytes_raw()
    secret = private_key.exchange(X25519PublicKey.from_public_bytes(recipient))
    suite = b"KEM" + DHKEM_X25519.to_bytes(2)
    prk = _labeled_extract(suite, b"", b"eae_prk", secret)
    return enc, _labeled_expand(suite, prk, b"shared_secret", enc + recipient, 32)


def key_schedule(kem: int, aead: int, shared_secret: bytes, info: bytes) -> tuple[bytes, bytes]:
    """Key and base nonce in base mode with HKDF-SHA256 (section 5.1)."""
    suite = b"HPKE" + kem.to_bytes(2) + HKDF_SHA256.to_bytes(2) + aead.to_bytes(2)
    psk_id_hash = _labeled_extract(suite, b"", b"psk_id_hash", b"")
    info_hash = _labeled_extract(suite, b"", b"info_hash", info)
    context = b"\x00" + psk_id_hash + info_hash
    secret = _labeled_extract(suite, shared_secret, b"secret", b"")
    key = _labeled_expand(suite, secret, b"key", context, KEY_BYTES[aead])
    return key, _labeled_expand(suite, secret, b"base_nonce", context, 12)


def encrypt(kem: int, enc: bytes, shared_secret: bytes, info: bytes, plaintext: bytes) -> bytes:
    """`enc` and the first ciphertext under AES-256-GCM without additional data."""
    key, nonce = key_schedule(kem, AES_256_GCM, shared_secret, info)
    return enc + AESGCM(key).encrypt(nonce, plaintext, b"")


def _labeled_extract(suite: bytes, salt: bytes, label: bytes, secret: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + secret, hashlib.sha256)


def _labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labeled = length.to_bytes(2) + b"HPKE-v1" + suite + label + info
    output = block = b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.digest(prk, block + labeled + bytes([counter]), hashlib.sha256)
        output += block
    return output[:length]
