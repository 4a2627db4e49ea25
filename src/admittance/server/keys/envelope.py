"""Envelope encryption: each stored secret under a data key of its own, which the key-encryption key wraps."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from admittance.errors import ConfigurationError
from admittance.server.keys.port import KeyEncryption

_VERSION = 1
_NONCE_BYTES = 12


class Envelope:
    """Seals what the database keeps.

    `context` names the place, such as ``b"network|" + account_id``: a record moved elsewhere does not open.
    A record is version (1 byte), length of the wrapped key (2 bytes), wrapped key, nonce (12 bytes), ciphertext.
    """

    def __init__(self, key_encryption: KeyEncryption) -> None:
        self._key_encryption = key_encryption

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        key = AESGCM.generate_key(256)
        wrapped = self._key_encryption.wrap(key, context)
        nonce = os.urandom(_NONCE_BYTES)
        header = bytes([_VERSION]) + len(wrapped).to_bytes(2, "big")
        return header + wrapped + nonce + AESGCM(key).encrypt(nonce, plaintext, context)

    def open(self, record: bytes, context: bytes) -> bytes:
        """Raises `ConfigurationError` when the record was changed, moved, or sealed under another key."""
        if len(record) < 3 or record[0] != _VERSION:
            raise ConfigurationError("A stored secret has an unknown form; this release can't read it.")
        end = 3 + int.from_bytes(record[1:3], "big")
        key = self._key_encryption.unwrap(record[3:end], context)
        nonce, ciphertext = record[end : end + _NONCE_BYTES], record[end + _NONCE_BYTES :]
        try:
            return AESGCM(key).decrypt(nonce, ciphertext, context)
        except (InvalidTag, ValueError):
            raise ConfigurationError("A stored secret does not open: the database was changed.") from None
