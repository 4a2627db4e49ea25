"""Which identity signed the evidence, and how much is known of it."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from admittance.errors import AdmittanceError
from admittance.protocol.provisioning.evidence import UnverifiedEvidence, VerifiedEvidence
from admittance.protocol.signing import spki_of
from admittance.server.activation.model import ActivationRequest
from admittance.server.devices.catalogue import Catalogue
from admittance.server.devices.model import Assurance, DeviceRecord

_NOBODY = spki_of(ec.generate_private_key(ec.SECP256R1()).public_key())
"""Verifies nothing: unknown devices cost the same work as known ones."""


@dataclass(frozen=True)
class ProvenIdentity:
    """Verified evidence and the assurance of the identity behind it.

    `certificate` is the maker's (DER) where the device sent one; `model` is the registry's or the maker's word.
    """

    evidence: VerifiedEvidence
    assurance: Assurance
    model: str
    certificate: bytes | None


@dataclass(frozen=True)
class Unproven:
    """`reason` is for the audit log alone."""

    reason: str


class IdentityCheck:
    """Checks evidence for one server, whose origin is `origin`."""

    def __init__(self, *, origin: str, catalogue: Catalogue) -> None:
        self._origin = origin
        self._catalogue = catalogue

    def check(
        self, unverified: UnverifiedEvidence, record: DeviceRecord | None, request: ActivationRequest, now: float
    ) -> ProvenIdentity | Unproven:
        """Verify `unverified` with the key that the registry (`record`) or a maker's certificate vouches for."""
        try:
            spki, assurance, model, certificate = self._key(unverified, record, now)
            evidence = unverified.verify(
                spki, origin=self._origin, challenge=request.challenge, binding=request.binding
            )
        except AdmittanceError as error:
            return Unproven(error.code if record is not None or unverified.chain else "unknown_device")
        if record is not None and (record.identity_spki, record.model) != (spki, model):
            return Unproven("another_identity")
        return ProvenIdentity(evidence, assurance, model, certificate)

    def _key(
        self, unverified: UnverifiedEvidence, record: DeviceRecord | None, now: float
    ) -> tuple[bytes, Assurance, str, bytes | None]:
        if unverified.chain:
            certificate = unverified.chain[0]
            identity = self._catalogue.verify_identity(certificate, now)
            return identity.spki, "certified", identity.model, certificate
        if record is None:
            return _NOBODY, "self-asserted", "", None
        return record.identity_spki, record.assurance, record.model, record.identity_certificate
