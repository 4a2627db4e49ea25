"""Seal keys: hybrid (ML-KEM-768 + X25519, "X-Wing"), classic (X25519) and symmetric.

The recipient is what the sender holds, the seal key what the device holds; for `symmetric` both are one key. HPKE
runs in base mode with HKDF-SHA256 and AES-256-GCM (RFC 9180); the hybrid KEM is that of
draft-connolly-cfrg-xwing-kem as `cryptography` has it (`KEM.MLKEM768_X25519`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from admittance.errors import KeyRefused, Malformed, NotDecryptable
from admittance.wire.cose import A256GCM, ALG, IV, Encrypt0, encryption_aad, protected_header
from admittance.wire.evidence import SealAlgorithm

SYMMETRIC_KEY_BYTES = 32
X25519_KEY_BYTES = 32
MLKEM768_PUBLIC_BYTES = 1184
MLKEM768_SEED_BYTES = 64

HYBRID_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
CLASSIC_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)

_SALT = -65537
_SALT_BYTES = 32
_SYMMETRIC_LABEL = b"admittance/sealed-symmetric/1"

Random = Callable[[int], bytes]


class Recipient(Protocol):
    """Whom to seal to."""

    @property
    def algorithm(self) -> SealAlgorithm: ...

    def encrypt(self, plaintext: bytes, info: bytes, random: Random) -> bytes:
        """Encrypt, bound to `info`."""


class SealKey(Protocol):
    """What opens a sealed configuration on the device."""

    @property
    def algorithm(self) -> SealAlgorithm: ...

    @property
    def public(self) -> bytes:
        """The recipient key that the evidence carries; empty for `symmetric`."""

    def decrypt(self, ciphertext: bytes, info: bytes) -> bytes:
        """Decrypt. Raises `NotDecryptable`, or `Malformed` if the ciphertext has no structure."""


@dataclass(frozen=True, slots=True)
class HybridRecipient:
    """ML-KEM-768 public key (1184 bytes) followed by the X25519 public key (32 bytes)."""

    public: bytes
    algorithm: SealAlgorithm = field(default="hybrid", init=False)

    def encrypt(self, plaintext: bytes, info: bytes, random: Random) -> bytes:
        if len(self.public) != MLKEM768_PUBLIC_BYTES + X25519_KEY_BYTES:
            raise KeyRefused("A hybrid seal key has 1216 bytes.")
        try:
            key = MLKEM768X25519PublicKey(
                MLKEM768PublicKey.from_public_bytes(self.public[:MLKEM768_PUBLIC_BYTES]),
                X25519PublicKey.from_public_bytes(self.public[MLKEM768_PUBLIC_BYTES:]),
            )
            return HYBRID_SUITE.encrypt(plaintext, key, info)
        except ValueError as error:
            raise KeyRefused("The hybrid seal key is not a valid key.") from error


@dataclass(frozen=True, slots=True)
class ClassicRecipient:
    """X25519 public key, 32 bytes."""

    public: bytes
    algorithm: SealAlgorithm = field(default="classic", init=False)

    def encrypt(self, plaintext: bytes, info: bytes, random: Random) -> bytes:
        if len(self.public) != X25519_KEY_BYTES:
            raise KeyRefused("A classic seal key has 32 bytes.")
        try:
            return CLASSIC_SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(self.public), info)
        except ValueError as error:
            raise KeyRefused("The classic seal key is not a valid key.") from error


@dataclass(frozen=True, slots=True)
class SymmetricRecipient:
    """A seal key from making (32 bytes): COSE_Encrypt0 under HKDF-SHA256(key, random salt, label | info)."""

    key: bytes = field(repr=False)
    algorithm: SealAlgorithm = field(default="symmetric", init=False)

    def encrypt(self, plaintext: bytes, info: bytes, random: Random) -> bytes:
        salt = random(_SALT_BYTES)
        nonce = random(12)
        protected = protected_header({ALG: A256GCM})
        cipher = _symmetric_cipher(self.key, salt, info)
        ciphertext = cipher.encrypt(nonce, plaintext, encryption_aad(protected, info))
        return Encrypt0(protected, ciphertext, {IV: nonce, _SALT: salt}).encode()


@dataclass(frozen=True, slots=True)
class HybridSealKey:
    """ML-KEM-768 seed and X25519 private key."""

    mlkem: MLKEM768PrivateKey = field(repr=False)
    x25519: X25519PrivateKey = field(repr=False)
    algorithm: SealAlgorithm = field(default="hybrid", init=False)

    @classmethod
    def generate(cls) -> "HybridSealKey":
        return cls(MLKEM768PrivateKey.generate(), X25519PrivateKey.generate())

    @classmethod
    def from_bytes(cls, data: bytes) -> "HybridSealKey":
        """Load what `to_bytes` gave. Raises `Malformed`."""
        if len(data) != MLKEM768_SEED_BYTES + X25519_KEY_BYTES:
            raise Malformed("a hybrid seal key has 96 bytes")
        seed, x25519 = data[:MLKEM768_SEED_BYTES], data[MLKEM768_SEED_BYTES:]
        return cls(MLKEM768PrivateKey.from_seed_bytes(seed), X25519PrivateKey.from_private_bytes(x25519))

    def to_bytes(self) -> bytes:
        """The seed (64 bytes) and the X25519 private key (32 bytes)."""
        return self.mlkem.private_bytes_raw() + self.x25519.private_bytes_raw()

    @property
    def public(self) -> bytes:
        return self.mlkem.public_key().public_bytes_raw() + self.x25519.public_key().public_bytes_raw()

    def decrypt(self, ciphertext: bytes, info: bytes) -> bytes:
        key = MLKEM768X25519PrivateKey(self.mlkem, self.x25519)
        return _hpke_decrypt(lambda: HYBRID_SUITE.decrypt(ciphertext, key, info))


@dataclass(frozen=True, slots=True)
class ClassicSealKey:
    """X25519 private key."""

    x25519: X25519PrivateKey = field(repr=False)
    algorithm: SealAlgorithm = field(default="classic", init=False)

    @classmethod
    def generate(cls) -> "ClassicSealKey":
        return cls(X25519PrivateKey.generate())

    @classmethod
    def from_bytes(cls, data: bytes) -> "ClassicSealKey":
        """Load what `to_bytes` gave. Raises `Malformed`."""
        if len(data) != X25519_KEY_BYTES:
            raise Malformed("a classic seal key has 32 bytes")
        return cls(X25519PrivateKey.from_private_bytes(data))

    def to_bytes(self) -> bytes:
        return self.x25519.private_bytes_raw()

    @property
    def public(self) -> bytes:
        return self.x25519.public_key().public_bytes_raw()

    def decrypt(self, ciphertext: bytes, info: bytes) -> bytes:
        return _hpke_decrypt(lambda: CLASSIC_SUITE.decrypt(ciphertext, self.x25519, info))


@dataclass(frozen=True, slots=True)
class SymmetricSealKey:
    """The seal key that the maker put into the device, 32 bytes."""

    key: bytes = field(repr=False)
    algorithm: SealAlgorithm = field(default="symmetric", init=False)

    @property
    def public(self) -> bytes:
        return b""

    def decrypt(self, ciphertext: bytes, info: bytes) -> bytes:
        message = Encrypt0.decode(ciphertext)
        nonce, salt = message.unprotected.get(IV), message.unprotected.get(_SALT)
        if message.algorithm != A256GCM or not isinstance(nonce, bytes) or not isinstance(salt, bytes):
            raise Malformed("COSE_Encrypt0 without A256GCM, IV or salt")
        if len(nonce) != 12 or len(salt) != _SALT_BYTES:
            raise Malformed("COSE_Encrypt0 with an IV or a salt of the wrong size")
        try:
            cipher = _symmetric_cipher(self.key, salt, info)
            return cipher.decrypt(nonce, message.ciphertext, encryption_aad(message.protected_bytes, info))
        except InvalidTag as error:
            raise NotDecryptable("The sealed configuration does not decrypt with this device's seal key.") from error


def recipient(algorithm: SealAlgorithm, key: bytes) -> Recipient:
    """The recipient of `algorithm`: `key` is the device's public seal key, or the symmetric one."""
    if algorithm == "hybrid":
        return HybridRecipient(key)
    if algorithm == "classic":
        return ClassicRecipient(key)
    return SymmetricRecipient(key)


def _hpke_decrypt(decrypt: Callable[[], bytes]) -> bytes:
    try:
        return decrypt()
    except (InvalidTag, ValueError) as error:
        raise NotDecryptable("The sealed configuration does not decrypt with this device's seal key.") from error


def _symmetric_cipher(key: bytes, salt: bytes, info: bytes) -> AESGCM:
    if len(key) != SYMMETRIC_KEY_BYTES:
        raise KeyRefused("A symmetric seal key has 32 bytes.")
    return AESGCM(HKDF(hashes.SHA256(), 32, salt, _SYMMETRIC_LABEL + info).derive(key))
