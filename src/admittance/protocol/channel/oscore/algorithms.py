"""The AEAD algorithms of a security context, and how often one key of theirs may be used.

The limits are those of draft-ietf-core-oscore-key-limits: they hold the chance of a forgery below 2**-50 for the
short tag of AES-CCM-16-64-128, and below 2**-64 for A128GCM.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM


class Aead(Protocol):
    """One key of an algorithm."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


@dataclass(frozen=True)
class Algorithm:
    """An AEAD algorithm. `identifier` is COSE's number for it (RFC 9053, section 4).

    With one key at most `max_sealed` messages are sealed and `max_forged` refused, each of up to `max_bytes` of
    plaintext and tag.
    """

    identifier: int
    key_bytes: int
    nonce_bytes: int
    tag_bytes: int
    max_sealed: int
    max_forged: int
    max_bytes: int
    load: Callable[[bytes], Aead] = field(repr=False, compare=False)


AES_CCM_16_64_128: Final = Algorithm(10, 16, 13, 8, 2**20, 2**14, 4096, lambda key: AESCCM(key, tag_length=8))
A128GCM: Final = Algorithm(1, 16, 12, 16, 2**20, 2**20, 16384, AESGCM)
