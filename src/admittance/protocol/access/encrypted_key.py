"""A symmetric key, encrypted to a P-256 key: Encrypted_COSE_Key by ECDH-ES + HKDF-256 and A128GCM.

RFC 8747, section 3.3; RFC 9053, sections 4.1, 5.2 and 6.3.1. Nothing else of COSE_Encrypt is taken.
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from admittance.errors import KeyRefused, Malformed, NotDecryptable
from admittance.protocol.signing import load_public_key, spki_of
from admittance.wire import cbor, cose_key
from admittance.wire.cose import (
    A128GCM,
    ALG,
    ECDH_ES_HKDF_256,
    EPHEMERAL_KEY,
    IV,
    Encrypt,
    Recipient,
    kdf_context,
    protected_header,
    recipients_encryption_aad,
)
from admittance.wire.cose_key import PublicCoseKey, SymmetricCoseKey

NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 16
_CONTENT: Final = protected_header({ALG: A128GCM})
_AGREEMENT: Final = protected_header({ALG: ECDH_ES_HKDF_256})


def encrypt_key(
    key: SymmetricCoseKey, recipient_spki: bytes, ephemeral: ec.EllipticCurvePrivateKey, nonce: bytes
) -> Encrypt:
    """Encrypt `key` to a P-256 key. `ephemeral` is a fresh P-256 key and `nonce` has 12 bytes; neither serves twice.

    Raises `KeyRefused` or `Malformed` if the recipient's key is none.
    """
    public = load_public_key(recipient_spki)
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise KeyRefused("An access key is a P-256 key.")
    ephemeral_key = cose_key.to_map(PublicCoseKey(spki_of(ephemeral.public_key())))
    ciphertext = _cipher(ephemeral, public).encrypt(
        nonce, cbor.encode(cose_key.to_map(key)), recipients_encryption_aad(_CONTENT)
    )
    return Encrypt(_CONTENT, ciphertext, Recipient(_AGREEMENT, {EPHEMERAL_KEY: ephemeral_key}), {IV: nonce})


def decrypt_key(encrypted: Encrypt, access_key: ec.EllipticCurvePrivateKey) -> SymmetricCoseKey:
    """The key inside. Raises `Malformed` for other algorithms or contents, and `NotDecryptable`."""
    key = cose_key.from_map(cbor.decode(decrypt_content(encrypted, access_key)))
    if not isinstance(key, SymmetricCoseKey):
        raise Malformed("an encrypted key that is not a symmetric one")
    return key


def decrypt_content(encrypted: Encrypt, access_key: ec.EllipticCurvePrivateKey) -> bytes:
    """What is inside. Raises `Malformed` for other algorithms than ours, and `NotDecryptable`."""
    nonce = encrypted.unprotected.get(IV)
    if encrypted.algorithm != A128GCM or encrypted.recipient.algorithm != ECDH_ES_HKDF_256:
        raise Malformed("a key that is encrypted by other algorithms than ours")
    if not isinstance(nonce, bytes) or len(nonce) != NONCE_BYTES:
        raise Malformed("an encrypted key without a nonce of 12 bytes")
    cipher = _cipher(access_key, _ephemeral(encrypted), encrypted.recipient.protected_bytes)
    try:
        return cipher.decrypt(nonce, encrypted.ciphertext, recipients_encryption_aad(encrypted.protected_bytes))
    except InvalidTag as error:
        raise NotDecryptable("The key in the token is encrypted to another device's key.") from error


def _ephemeral(encrypted: Encrypt) -> ec.EllipticCurvePublicKey:
    key = cose_key.from_map(encrypted.recipient.unprotected.get(EPHEMERAL_KEY))
    if not isinstance(key, PublicCoseKey):
        raise Malformed("an ephemeral key that is not a public key")
    public = load_public_key(key.spki)
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise KeyRefused("An ephemeral key is a P-256 key.")
    return public


def _cipher(
    private: ec.EllipticCurvePrivateKey, public: ec.EllipticCurvePublicKey, agreement: bytes = _AGREEMENT
) -> AESGCM:
    info = kdf_context(A128GCM, 8 * _KEY_BYTES, agreement)
    shared = private.exchange(ec.ECDH(), public)
    return AESGCM(HKDF(SHA256(), _KEY_BYTES, None, info).derive(shared))
