"""The keys that a device has in its TPM, as templates of TPM 2.0 part 2, section 12.2.4.

Identity and attestation key are primaries of the endorsement hierarchy: `TPM2_Clear` does not change its seed, so the
same template gives the same key again. The operational keys are children of the storage root.
"""

from dataclasses import dataclass
from typing import Final

from tpm2_pytss.constants import TPM2_ALG, TPM2_ECC, TPMA_OBJECT
from tpm2_pytss.types import (
    TPM2B_PUBLIC,
    TPMS_ECC_PARMS,
    TPMS_ECC_POINT,
    TPMS_SCHEME_HASH,
    TPMT_ECC_SCHEME,
    TPMT_KDF_SCHEME,
    TPMT_PUBLIC,
    TPMT_SYM_DEF_OBJECT,
    TPMU_ASYM_SCHEME,
    TPMU_PUBLIC_ID,
    TPMU_PUBLIC_PARMS,
    TPMU_SYM_KEY_BITS,
    TPMU_SYM_MODE,
)

from admittance.wire.birth import EkKind

LABEL_BYTES: Final = 32
"""What tells apart the primaries of one template; it fills the x coordinate of `unique`."""

_OWN_KEY: Final = (
    TPMA_OBJECT.FIXEDTPM | TPMA_OBJECT.FIXEDPARENT | TPMA_OBJECT.SENSITIVEDATAORIGIN | TPMA_OBJECT.USERWITHAUTH
)
_NO_SYMMETRIC: Final = TPMT_SYM_DEF_OBJECT(algorithm=TPM2_ALG.NULL)
_AES_128_CFB: Final = TPMT_SYM_DEF_OBJECT(
    algorithm=TPM2_ALG.AES, keyBits=TPMU_SYM_KEY_BITS(aes=128), mode=TPMU_SYM_MODE(aes=TPM2_ALG.CFB)
)
_SHA256: Final = TPMU_ASYM_SCHEME(ecdsa=TPMS_SCHEME_HASH(hashAlg=TPM2_ALG.SHA256))
_IDENTITY_LABEL: Final = b"admittance/identity/1".ljust(LABEL_BYTES, b"\0")
_ATTESTATION_LABEL_Y: Final = b"admittance/attestation/1".ljust(LABEL_BYTES, b"\0")


@dataclass(frozen=True)
class EkPlace:
    """Where the TCG EK Credential Profile keeps an endorsement key: the name of its template there, the NV index of
    its certificate, and its persistent handle."""

    template: str
    certificate_index: int
    persistent_handle: int


EK_PLACES: Final[dict[EkKind, EkPlace]] = {
    "p256": EkPlace("L-2", 0x01C0000A, 0x8101000A),
    "rsa": EkPlace("L-1", 0x01C00002, 0x81010001),
    "p384": EkPlace("H-3", 0x01C00016, 0x81010016),
}
"""In the order in which a device that has several takes the first."""


def identity() -> TPM2B_PUBLIC:
    """The device's identity: signs anything, for life."""
    return _ecc(_OWN_KEY | TPMA_OBJECT.SIGN_ENCRYPT, signs=True, x=_IDENTITY_LABEL)


def attestation(label: bytes) -> TPM2B_PUBLIC:
    """The attestation key: restricted, so it signs only what the TPM itself made. Another `label` (32 bytes) is
    another key."""
    attributes = _OWN_KEY | TPMA_OBJECT.SIGN_ENCRYPT | TPMA_OBJECT.RESTRICTED
    return _ecc(attributes, signs=True, x=label, y=_ATTESTATION_LABEL_Y)


def operational() -> TPM2B_PUBLIC:
    """An operational key, for one certificate."""
    return _ecc(_OWN_KEY | TPMA_OBJECT.SIGN_ENCRYPT, signs=True)


def storage_root() -> TPM2B_PUBLIC:
    """The storage root key, as the TCG TPM v2.0 Provisioning Guidance, section 7.5.1, has it for P-256."""
    attributes = _OWN_KEY | TPMA_OBJECT.NODA | TPMA_OBJECT.RESTRICTED | TPMA_OBJECT.DECRYPT
    return _ecc(attributes, signs=False, x=bytes(LABEL_BYTES), y=bytes(LABEL_BYTES))


def _ecc(attributes: TPMA_OBJECT, *, signs: bool, x: bytes = b"", y: bytes = b"") -> TPM2B_PUBLIC:
    scheme = TPMT_ECC_SCHEME(scheme=TPM2_ALG.NULL)
    if signs:
        scheme = TPMT_ECC_SCHEME(scheme=TPM2_ALG.ECDSA, details=_SHA256)
    return TPM2B_PUBLIC(
        publicArea=TPMT_PUBLIC(
            type=TPM2_ALG.ECC,
            nameAlg=TPM2_ALG.SHA256,
            objectAttributes=attributes,
            parameters=TPMU_PUBLIC_PARMS(
                eccDetail=TPMS_ECC_PARMS(
                    symmetric=_NO_SYMMETRIC if signs else _AES_128_CFB,
                    scheme=scheme,
                    curveID=TPM2_ECC.NIST_P256,
                    kdf=TPMT_KDF_SCHEME(scheme=TPM2_ALG.NULL),
                )
            ),
            unique=TPMU_PUBLIC_ID(ecc=TPMS_ECC_POINT(x=x, y=y)),
        )
    )
