"""Security 2 after its handshake: AES-256-GCM, and the binding that names one session.

The key is the first half of SRP's K. The 12-byte nonce is 8 random bytes of the device and a big-endian counter
that begins at 1 and grows after every operation in either direction (`sec_patch_ver` 1). Nothing else is
authenticated.
"""

from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from admittance.errors import Malformed, SessionLost
from admittance.protocol.provisioning.srp import Agreement
from admittance.wire import cbor

PREFIX_BYTES: Final = 8
KEY_BYTES: Final = 32
TAG_BYTES: Final = 16
FIRST_COUNTER: Final = 1
LAST_COUNTER: Final = 2**32 - 1
BINDING_LABEL: Final = "admittance/session/1"


def session_binding(agreement: Agreement) -> bytes:
    """SHA-256 of CBOR [label, I, s, A, B, K]: 32 bytes that only the two ends of one session can agree on."""
    return sha256(
        cbor.encode(
            [
                BINDING_LABEL,
                agreement.username,
                agreement.salt,
                agreement.client_public,
                agreement.server_public,
                agreement.key,
            ]
        )
    ).digest()


class SessionCipher:
    """Both directions of one session. After a failure it is over: every later call raises `SessionLost`."""

    def __init__(self, agreement: Agreement, prefix: bytes) -> None:
        """`prefix` is the 8 random bytes that the device drew."""
        self._aead: AESGCM | None = AESGCM(agreement.key[:KEY_BYTES])
        self._prefix = prefix
        self._counter = FIRST_COUNTER

    @classmethod
    def from_nonce(cls, agreement: Agreement, nonce: bytes) -> "SessionCipher":
        """The client's side, of the nonce that the device sent. Raises `Malformed` if it does not begin at 1."""
        if nonce[PREFIX_BYTES:] != FIRST_COUNTER.to_bytes(4, "big"):
            raise Malformed("The device's counter does not begin at 1.")
        return cls(agreement, nonce[:PREFIX_BYTES])

    @property
    def nonce(self) -> bytes:
        """The 12 bytes of the next operation."""
        return self._prefix + self._counter.to_bytes(4, "big")

    def encrypt(self, plaintext: bytes) -> bytes:
        """The ciphertext with its tag of 16 bytes. Raises `SessionLost` once the counter is used up."""
        aead, nonce = self._take()
        return aead.encrypt(nonce, plaintext, None)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """The plaintext. Raises `SessionLost`, for good, for anything but the next message of the peer."""
        aead, nonce = self._take()
        try:
            return aead.decrypt(nonce, ciphertext, None)
        except InvalidTag:
            self.end()
            raise SessionLost("A message of this session does not decrypt. Open another session.") from None

    def end(self) -> None:
        """Forget the key."""
        self._aead = None

    def _take(self) -> tuple[AESGCM, bytes]:
        if self._aead is None or self._counter > LAST_COUNTER:
            self.end()
            raise SessionLost("This session is over. Open another.")
        nonce = self.nonce
        self._counter += 1
        return self._aead, nonce
