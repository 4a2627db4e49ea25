"""The premises network, encrypted under the app key ("blue") so that only the device can read it.

AES-256-GCM under HKDF-SHA256(app key, random salt). The additional data are device id, transaction and try, so a
ciphertext can't be moved to another device, transaction or try. The key is used once, hence the nonce is all zero.
"""

from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from admittance.errors import Malformed, NotDecryptable
from admittance.wire import cbor, message

APP_KEY_BYTES = 32
SALT_BYTES = 32
SSID_MAX_BYTES = 32
PASSPHRASE_MAX_BYTES = 64
_NONCE = bytes(12)
_LABEL = "admittance/network/1"


class Network(message.Message, frozen=True):
    """A premises network: SSID (1 to 32 bytes of UTF-8), passphrase (up to 64 bytes; empty for an open network)."""

    ssid: Annotated[str, msgspec.Meta(min_length=1, max_length=SSID_MAX_BYTES)]
    passphrase: Annotated[str, msgspec.Meta(max_length=PASSPHRASE_MAX_BYTES)]

    def __post_init__(self) -> None:
        if len(self.ssid.encode()) > SSID_MAX_BYTES or len(self.passphrase.encode()) > PASSPHRASE_MAX_BYTES:
            raise Malformed("Network with an SSID or a passphrase that is too long")

    def __repr__(self) -> str:
        return f"Network(ssid={self.ssid!r}, passphrase=…)"


def encrypt_network(
    app_key: bytes, salt: bytes, device_id: str, transaction_id: bytes, attempt: int, network: Network
) -> bytes:
    """Encrypt `network` for try number `attempt` (0 inside a sealed configuration).

    `app_key` and `salt` are 32 bytes each; the salt must be new for every call.
    """
    aad = _aad(device_id, transaction_id, attempt)
    return _cipher(app_key, salt).encrypt(_NONCE, message.encode(network), aad)


def decrypt_network(
    app_key: bytes, salt: bytes, device_id: str, transaction_id: bytes, attempt: int, ciphertext: bytes
) -> Network:
    """Decrypt a network. Raises `NotDecryptable` if key, salt or any of the additional data differ, `Malformed` if
    the plaintext doesn't decode."""
    try:
        plaintext = _cipher(app_key, salt).decrypt(_NONCE, ciphertext, _aad(device_id, transaction_id, attempt))
    except InvalidTag as error:
        raise NotDecryptable("The premises network does not decrypt with this app key for this try.") from error
    return message.decode(plaintext, Network)


def _aad(device_id: str, transaction_id: bytes, attempt: int) -> bytes:
    return cbor.encode([_LABEL, device_id, transaction_id, attempt])


def _cipher(app_key: bytes, salt: bytes) -> AESGCM:
    if len(app_key) != APP_KEY_BYTES or len(salt) != SALT_BYTES:
        raise NotDecryptable("App key and salt must have 32 bytes each.")
    return AESGCM(HKDF(hashes.SHA256(), 32, salt, _LABEL.encode()).derive(app_key))
