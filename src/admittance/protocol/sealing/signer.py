"""The configuration key's certificate and its chain to the configuration root that a device was made with."""

import hmac

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization

from admittance.errors import KeyRefused, Malformed, UntrustedSigner
from admittance.protocol.signing import PublicKey, load_public_key
from admittance.wire.device_id import registry_key

_SIGNATURES_ALONE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)

# What `cryptography` raises for certificates that do not decode, do not chain or lack an extension.
_REFUSALS = (
    KeyRefused,
    Malformed,
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


def thumbprint(certificate: bytes) -> bytes:
    """SHA-256 of a certificate (DER), 32 bytes."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(certificate)
    return digest.finalize()


def spki_sha256(certificate: x509.Certificate) -> bytes:
    """SHA-256 of a certificate's SubjectPublicKeyInfo, 32 bytes: how a device remembers its configuration root."""
    return registry_key(
        certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def verify_signer(chain: tuple[bytes, ...], root_spki_sha256: bytes) -> PublicKey:
    """The configuration key, if `chain` (signer's certificate, then root) ends in the root of that hash.

    The signer's certificate must be an end entity's whose key usage is digitalSignature alone, issued directly by
    the root. Its validity isn't looked at: a device at first contact has no clock (see
    `docs/security/divergences.md`). Raises `UntrustedSigner`.
    """
    if len(chain) != 2:
        raise UntrustedSigner("The sealed configuration carries no chain of signer and root.")
    try:
        signer, root = (x509.load_der_x509_certificate(certificate) for certificate in chain)
        if not hmac.compare_digest(spki_sha256(root), root_spki_sha256):
            raise UntrustedSigner("The sealed configuration comes from a server that this device was not made for.")
        signer.verify_directly_issued_by(root)
        if signer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            raise UntrustedSigner("The configuration key's certificate is a CA's.")
        if signer.extensions.get_extension_for_class(x509.KeyUsage).value != _SIGNATURES_ALONE:
            raise UntrustedSigner("The configuration key's certificate does not allow signing configurations.")
        return load_public_key(
            signer.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
    except UntrustedSigner:
        raise
    except _REFUSALS as error:
        raise UntrustedSigner("The configuration key's certificate does not hold.") from error
