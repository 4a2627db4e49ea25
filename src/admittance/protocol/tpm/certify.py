"""TPM2_Certify: an attestation key says that an object with a certain name is in its TPM."""

import hmac
from dataclasses import dataclass

from admittance.errors import AttestationMissing, KeyAttributesRefused, NameMismatch, StaleAttestation
from admittance.protocol.tpm import keys
from admittance.wire.tpm import algorithms as alg
from admittance.wire.tpm.attest import Attest, CertifyInfo
from admittance.wire.tpm.public import Attributes, EccParameters, Public, Scheme, name_of

# As plain integers: operators on enumerations are slow.
_BOUND = int(Attributes.FIXED_TPM | Attributes.FIXED_PARENT | Attributes.SENSITIVE_DATA_ORIGIN | Attributes.SIGN)
_FORBIDDEN = int(Attributes.DECRYPT | Attributes.ENCRYPTED_DUPLICATION | Attributes.X509_SIGN)
_RESTRICTED = int(Attributes.RESTRICTED)
_SIGNING_SCHEMES = (None, Scheme(alg.ECDSA, alg.SHA256))
_NAME_ALGS = (alg.SHA256, alg.SHA384)


@dataclass(frozen=True, slots=True)
class CertifiedKey:
    """A key that is in the TPM of the attestation key, and came to be there."""

    name: bytes
    spki: bytes


@dataclass(frozen=True, slots=True)
class AttestationKey:
    """An attestation key that `check_attestation_key` found to be one."""

    public: Public
    key: keys.TpmKey

    def verify(self, data: bytes, signature: bytes) -> None:
        """Check a TPMT_SIGNATURE over `data`. Raises `Malformed` or `SignatureInvalid`."""
        keys.verify_signature(self.public, self.key, data, signature)


def check_attestation_key(public: Public) -> AttestationKey:
    """A restricted signing key that can't leave its TPM, with ECDSA or RSASSA fixed.

    Restricted, so that among what looks like an attestation it signs only what its TPM made (part 1, section 31.5).
    Raises `KeyAttributesRefused`, or `Malformed` if the key is none.
    """
    _check_bound(public, _RESTRICTED)
    scheme = public.parameters.scheme
    if scheme is None or scheme.hash not in (alg.SHA256, alg.SHA384):
        raise KeyAttributesRefused("The attestation key has no signing scheme of its own with SHA-256 or SHA-384.")
    return AttestationKey(public, keys.load(public))


def check_device_key(public: Public) -> None:
    """An unrestricted P-256 signing key that can't leave its TPM: identity or operational key.

    Raises `KeyAttributesRefused`.
    """
    _check_bound(public, 0)
    parameters = public.parameters
    if not isinstance(parameters, EccParameters) or parameters.curve != alg.NIST_P256:
        raise KeyAttributesRefused("The device's key is not a P-256 key.")
    if parameters.scheme not in _SIGNING_SCHEMES:
        raise KeyAttributesRefused("The device's key signs with another scheme than ECDSA with SHA-256.")


def verify_certified(
    *, attest: bytes, signature: bytes, public: bytes, ak: AttestationKey, nonce: bytes, spki: bytes
) -> tuple[CertifiedKey, Attest]:
    """Check that `ak` certified, over `nonce`, the object `public` (TPMT_PUBLIC), whose P-256 key is `spki`.

    `attest` is a TPMS_ATTEST and `signature` a TPMT_SIGNATURE over exactly those bytes. Raises `Malformed`,
    `SignatureInvalid`, `StaleAttestation`, `NameMismatch`, `KeyAttributesRefused` or `AttestationMissing`.
    """
    ak.verify(attest, signature)
    statement = Attest.decode(attest)
    certified = Public.decode(public)
    check_nonce(statement, nonce)
    if not isinstance(statement.attested, CertifyInfo):
        raise AttestationMissing("A TPM2_Certify statement is expected, and another came.")
    name = name_of(certified, public)
    if not hmac.compare_digest(statement.attested.name, name):
        raise NameMismatch("The statement certifies another object than the public area beside it.")
    check_device_key(certified)
    if not keys.is_key(certified, spki):
        raise NameMismatch("The statement certifies another key than the one it must be about.")
    return CertifiedKey(name, spki), statement


def check_nonce(statement: Attest, nonce: bytes) -> None:
    """Raises `StaleAttestation` unless the statement answers exactly `nonce`."""
    if not hmac.compare_digest(statement.extra_data, nonce):
        raise StaleAttestation("The attestation answers another nonce.")


def _check_bound(public: Public, restricted: int) -> None:
    attributes = int(public.attributes)
    if attributes & _BOUND != _BOUND or attributes & _FORBIDDEN:
        raise KeyAttributesRefused("The key must be made in its TPM, be bound to it, and only sign.")
    if attributes & _RESTRICTED != restricted:
        raise KeyAttributesRefused("The attestation key must be restricted, and the device's keys must not be.")
    if public.name_alg not in _NAME_ALGS or public.parameters.symmetric is not None:
        raise KeyAttributesRefused("The key's name algorithm or cipher is not one of a signing key.")
