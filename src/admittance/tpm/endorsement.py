"""The endorsement key: its certificate in the TPM's NV memory, and what only this key can decrypt.

Templates and places are those of the TCG EK Credential Profile for TPM Family 2.0, revision 2.5, section B.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tpm2_pytss.constants import ESYS_TR, TPM2_ALG, TPM2_CAP, TPM2_PT_NV, TPMA_NV
from tpm2_pytss.types import (
    TPM2B_DIGEST,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_ID_OBJECT,
    TPM2B_NV_PUBLIC,
    TPM2B_PUBLIC,
    TPML_DIGEST,
    TPMS_NV_PUBLIC,
)
from tpm2_pytss.utils import NoSuchIndex, NVReadEK, create_ek_template

from admittance.errors import ConfigurationError, Malformed
from admittance.tpm.connection import Conversation, Key
from admittance.tpm.templates import EK_PLACES
from admittance.wire.birth import EkKind

_POLICY_C_SHA384: Final = bytes.fromhex(
    "d6032ce61f2fb3c240eb3cf6a33237ef2b6a16f4293c22b455e261cffd217ad5b4947c2d73e63005eed2dc2b3593d165"
)
"""PolicyC for SHA-384 of the profile's section B.6.4: the other branch of the high templates' PolicyOR."""
_CERTIFICATE_ATTRIBUTES: Final = (
    TPMA_NV.PPWRITE | TPMA_NV.PPREAD | TPMA_NV.OWNERREAD | TPMA_NV.AUTHREAD | TPMA_NV.NO_DA | TPMA_NV.PLATFORMCREATE
)
_DEFAULT_NV_BUFFER_BYTES: Final = 512


@dataclass(frozen=True)
class Endorsement:
    """Of an EK: kind, certificate (DER), and the template that gives the key."""

    kind: EkKind
    certificate: bytes
    template: TPM2B_PUBLIC


def find(tpm: Conversation) -> Endorsement:
    """The endorsement key that this TPM has a certificate of; of several, the first kind of `EK_PLACES`.

    Raises `ConfigurationError` if there is none.
    """
    for kind, place in EK_PLACES.items():
        if place.certificate_index in tpm.handles(place.certificate_index):
            certificate, template = create_ek_template(place.template, NVReadEK(tpm.esapi))
            return Endorsement(kind, _without_padding(certificate), template)
    raise ConfigurationError(
        "The TPM holds no certificate of an endorsement key, so no server can know it. Have its maker's certificate "
        "written into the TPM, or make the device without --tpm."
    )


@contextmanager
def loaded(tpm: Conversation, endorsement: Endorsement) -> Iterator[Key]:
    """The endorsement key: the persistent one, if it is that of the certificate's place, else made again."""
    handle = EK_PLACES[endorsement.kind].persistent_handle
    if handle in tpm.handles(handle):
        resource = tpm.esapi.tr_from_tpmpublic(handle)
        public, *_ = tpm.esapi.read_public(resource)
        if _same_template(public, endorsement.template):
            try:
                yield Key(resource, public)
            finally:
                tpm.esapi.tr_close(resource)
            return
    with tpm.primary(ESYS_TR.ENDORSEMENT, endorsement.template) as key:
        yield key


def activate(
    tpm: Conversation, endorsement: Endorsement, ak: Key, id_object: TPM2B_ID_OBJECT, secret: TPM2B_ENCRYPTED_SECRET
) -> bytes:
    """Decrypt a credential that was made for this endorsement key and the attestation key `ak`."""
    digest = TPM2_ALG.SHA384 if endorsement.kind == "p384" else TPM2_ALG.SHA256
    with loaded(tpm, endorsement) as ek, tpm.policy_session(digest) as session:
        tpm.esapi.policy_secret(ESYS_TR.ENDORSEMENT, session, expiration=0)
        if endorsement.kind == "p384":
            policy_a = tpm.esapi.policy_get_digest(session)
            branches = TPML_DIGEST([policy_a, TPM2B_DIGEST(_POLICY_C_SHA384)])
            tpm.esapi.policy_or(session, branches)
        credential = tpm.esapi.activate_credential(
            ak.handle, ek.handle, id_object, secret, session1=ESYS_TR.PASSWORD, session2=session
        )
    return bytes(credential)


def install(tpm: Conversation, kind: EkKind, certificate: bytes) -> None:
    """Write an endorsement certificate (DER) to its place, as a TPM's maker does: with the platform's authority, so
    that neither the owner nor `TPM2_Clear` removes it."""
    place = EK_PLACES[kind]
    public = TPM2B_NV_PUBLIC(
        nvPublic=TPMS_NV_PUBLIC(
            nvIndex=place.certificate_index,
            nameAlg=TPM2_ALG.SHA256,
            attributes=_CERTIFICATE_ATTRIBUTES,
            dataSize=len(certificate),
        )
    )
    index = tpm.esapi.nv_define_space(b"", public, auth_handle=ESYS_TR.PLATFORM)
    step = _nv_buffer_bytes(tpm)
    for offset in range(0, len(certificate), step):
        tpm.esapi.nv_write(index, certificate[offset : offset + step], offset, auth_handle=ESYS_TR.PLATFORM)
    tpm.esapi.tr_close(index)


@contextmanager
def made(tpm: Conversation, kind: EkKind) -> Iterator[Key]:
    """The endorsement key of a TPM that has no certificate of it yet."""
    template = _template(kind)
    with tpm.primary(ESYS_TR.ENDORSEMENT, template) as key:
        yield key


def _template(kind: EkKind) -> TPM2B_PUBLIC:
    def nothing_there(index: int) -> bytes:
        if index == EK_PLACES[kind].certificate_index:
            return b""
        raise NoSuchIndex(index)

    _, template = create_ek_template(EK_PLACES[kind].template, nothing_there)
    return template


def _nv_buffer_bytes(tpm: Conversation) -> int:
    _, found = tpm.esapi.get_capability(TPM2_CAP.TPM_PROPERTIES, TPM2_PT_NV.BUFFER_MAX, 1)
    for item in found.data.tpmProperties:
        if item.property == TPM2_PT_NV.BUFFER_MAX:
            return int(item.value)
    return _DEFAULT_NV_BUFFER_BYTES


def _same_template(public: TPM2B_PUBLIC, template: TPM2B_PUBLIC) -> bool:
    """Whether two public areas differ in nothing but the key."""
    areas = []
    for area in (public, template):
        copy, _ = TPM2B_PUBLIC.unmarshal(area.marshal())
        if copy.publicArea.type == TPM2_ALG.RSA:
            copy.publicArea.unique.rsa.buffer = b""
        else:
            copy.publicArea.unique.ecc.x.buffer = copy.publicArea.unique.ecc.y.buffer = b""
        areas.append(copy.marshal())
    return bool(areas[0] == areas[1])


def _without_padding(certificate: bytes) -> bytes:
    """The DER at the start of an NV area that may be longer than its certificate."""
    if len(certificate) < 4 or certificate[:2] != b"\x30\x82":
        raise Malformed("The TPM's endorsement certificate does not decode. Ask the TPM's maker for another.")
    return certificate[: 4 + int.from_bytes(certificate[2:4])]
