"""Endorsement keys: the chain from a TPM's maker, and the templates of the TCG EK Credential Profile, version 2.5."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ObjectIdentifier

from admittance.errors import EkRefused, Malformed
from admittance.protocol.tpm import keys
from admittance.wire.tpm import algorithms as alg
from admittance.wire.tpm.public import Attributes, EccParameters, Public, RsaParameters

MAX_CHAIN = 4
EK_CERTIFICATE = ObjectIdentifier("2.23.133.8.1")

_STORAGE = (
    Attributes.FIXED_TPM
    | Attributes.FIXED_PARENT
    | Attributes.SENSITIVE_DATA_ORIGIN
    | Attributes.ADMIN_WITH_POLICY
    | Attributes.RESTRICTED
    | Attributes.DECRYPT
)
_POLICY_A_SHA256 = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
_POLICY_B_SHA256 = bytes.fromhex("ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0")
_POLICY_B_SHA384 = bytes.fromhex(
    "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12"
)

# The extensions that this check understands; another one that is critical refuses the certificate (RFC 5280, 4.2).
_UNDERSTOOD = frozenset(
    extension.oid
    for extension in (
        x509.BasicConstraints,
        x509.KeyUsage,
        x509.ExtendedKeyUsage,
        x509.SubjectAlternativeName,
        x509.CertificatePolicies,
    )
)


@dataclass(frozen=True, slots=True)
class _Template:
    """What an endorsement key must be like, and what its certificate lets it do."""

    name_alg: int
    attributes: Attributes
    auth_policy: bytes
    kind: tuple[str, int]
    symmetric_bits: int


def _templates() -> tuple[_Template, ...]:
    low = (alg.SHA256, _STORAGE, _POLICY_A_SHA256)
    high = (alg.SHA256, _STORAGE | Attributes.USER_WITH_AUTH, _POLICY_B_SHA256)
    high_384 = (alg.SHA384, _STORAGE | Attributes.USER_WITH_AUTH, _POLICY_B_SHA384)
    rsa_2048, p256, p384 = ("rsa", 2048), ("ecc", alg.NIST_P256), ("ecc", alg.NIST_P384)
    return (
        _Template(*low, rsa_2048, 128),
        _Template(*low, p256, 128),
        _Template(*high, rsa_2048, 128),
        _Template(*high, p256, 128),
        _Template(*high_384, p384, 256),
    )


# L-1, L-2, H-1, H-2 and H-3 of the profile's annex B.
_TEMPLATES = _templates()


def check_template(ek_public: Public) -> None:
    """The key must be made from the template L-1, L-2, H-1, H-2 or H-3. Raises `EkRefused`.

    So it decrypts nothing but credentials and what its policy allows, and never leaves its TPM.
    """
    parameters = ek_public.parameters
    symmetric, scheme = parameters.symmetric, parameters.scheme
    found = _Template(
        ek_public.name_alg,
        ek_public.attributes,
        ek_public.auth_policy,
        _kind(parameters),
        0 if symmetric is None else symmetric.key_bits,
    )
    if scheme is not None or found not in _TEMPLATES:
        raise EkRefused("The endorsement key is not made from a template of the TCG EK Credential Profile.")


def check_ek(
    chain: Sequence[bytes], roots: Sequence[x509.Certificate], ek_public: Public, now: float
) -> x509.Certificate:
    """The endorsement key's certificate, if `chain` (DER, leaf first) leads from `ek_public` to one of `roots`.

    `now` is in seconds since 1970. The root may be in the chain or left out. Validity, path length, key usage and
    extended key usage are checked, unknown critical extensions refused. Raises `EkRefused`, or `Malformed` if a
    certificate doesn't decode or the key is none.
    """
    check_template(ek_public)
    certificates = [_load(certificate) for certificate in chain]
    if not 1 <= len(certificates) <= MAX_CHAIN:
        raise EkRefused("The endorsement key's certificate chain is empty or too long.")
    leaf = certificates[0]
    try:
        _check_leaf(leaf, ek_public)
        _check_path(certificates, roots, datetime.fromtimestamp(now, UTC))
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise EkRefused("The endorsement key's certificate is not one that can be checked.") from error
    return leaf


def _kind(parameters: RsaParameters | EccParameters) -> tuple[str, int]:
    if isinstance(parameters, RsaParameters):
        return "rsa", parameters.key_bits
    return "ecc", parameters.curve


def _load(certificate: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(certificate)
    except (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise Malformed("not a certificate") from error


def _check_leaf(leaf: x509.Certificate, ek_public: Public) -> None:
    spki = leaf.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if not hmac.compare_digest(spki, keys.spki(ek_public)):
        raise EkRefused("The certificate is for another endorsement key.")
    extensions = leaf.extensions
    if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
        raise EkRefused("The endorsement key's certificate is a CA's.")
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    allowed = usage.key_encipherment if isinstance(ek_public.parameters, RsaParameters) else usage.key_agreement
    if not allowed or usage.key_cert_sign:
        raise EkRefused("The endorsement key's certificate has another key usage.")
    if EK_CERTIFICATE not in extensions.get_extension_for_class(x509.ExtendedKeyUsage).value:
        raise EkRefused("The certificate is not one of an endorsement key.")


def _check_path(certificates: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], now: datetime) -> None:
    """Each certificate is issued by the next, and the last by a root or is one (RFC 5280, section 6.1)."""
    path = list(certificates)
    root = path.pop() if len(path) > 1 and path[-1] in roots else _issuer(path[-1], roots)
    for certificate in (*path, root):
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise EkRefused("A certificate of the endorsement key's chain is not valid now.")
        if any(extension.critical and extension.oid not in _UNDERSTOOD for extension in certificate.extensions):
            raise EkRefused("A certificate of the endorsement key's chain has an unknown critical extension.")
    for below, (certificate, issuer) in enumerate(zip(path, (*path[1:], root), strict=True)):
        _check_issued(certificate, issuer, below)


def _issuer(certificate: x509.Certificate, roots: Sequence[x509.Certificate]) -> x509.Certificate:
    for root in roots:
        if root.subject == certificate.issuer and _is_issued(certificate, root):
            return root
    raise EkRefused("The endorsement key's certificate leads to no trusted maker of TPMs.")


def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate, below: int) -> None:
    """`below` is how many intermediate certificates lie under `issuer`."""
    constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    if not constraints.ca or (constraints.path_length is not None and constraints.path_length < below):
        raise EkRefused("A certificate of the endorsement key's chain may not issue the one below it.")
    if not issuer.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign:
        raise EkRefused("A certificate of the endorsement key's chain may not sign certificates.")
    if not _is_issued(certificate, issuer):
        raise EkRefused("A certificate of the endorsement key's chain is not signed by the next.")


def _is_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True
