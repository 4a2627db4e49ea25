"""Verifying the request for an operational certificate, with or without a TPM's attestation (see `building`).

Two signatures hold it together: the new key signs the PKCS #10 request (proof of possession), and the identity key
signs that request together with the server's nonce, the epoch, the ticket, the answer to a credential challenge and
the second factor.
"""

import hmac
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from admittance.errors import AttestationMissing, KeyRefused, Malformed, SignatureInvalid, WrongChallenge, WrongDevice
from admittance.protocol.enrolment import key_rules
from admittance.protocol.enrolment.attested import VerifiedAttestation, verify_attested
from admittance.protocol.signing import load_public_key, verify1
from admittance.protocol.tpm.quote import PcrPolicy
from admittance.wire import message
from admittance.wire.cose import Sign1
from admittance.wire.device_id import device_id as device_id_of
from admittance.wire.enrolment import EnrolmentRequest, Factor, TpmProof
from admittance.wire.tpm.public import Public


@dataclass(frozen=True, slots=True)
class VerifiedEnrolment:
    """A request that identity and operational key both signed, over the nonce that the server expects.

    `attestation` is what a TPM proved about it, or None where none was asked. `proof` and `factor` are as the device
    sent them: whether they are right is for the server to look up.
    """

    device_id: str
    epoch: int
    ticket: bytes = field(repr=False)
    operational_spki: bytes
    proof: TpmProof | None = None
    factor: Factor | None = None
    attestation: VerifiedAttestation | None = None


@dataclass(frozen=True, slots=True)
class UnverifiedEnrolment:
    """A request as it came in: `request.device_id` is but a hint which identity to look up."""

    request: EnrolmentRequest
    sign1: Sign1

    def verify(self, identity_spki: bytes, nonce: bytes) -> VerifiedEnrolment:
        """Check both signatures, the device id, the nonce and the key rules.

        Raises `SignatureInvalid`, `WrongDevice`, `WrongChallenge`, `KeyRefused` or `Malformed`.
        """
        self._check_signed(identity_spki, nonce)
        operational_spki = verify_certificate_request(self.request.csr)
        key_rules.check_distinct(operational_spki, identity_spki)
        return self._verified(operational_spki)

    def verify_attested(
        self, identity_spki: bytes, nonce: bytes, *, ak_public: Public, pcr_policy: PcrPolicy | None
    ) -> VerifiedEnrolment:
        """Check as `verify` does, and the attestation by `ak_public` (see `attested.verify_attested`).

        Also raises subclasses of `AttestationRefused`; `AttestationMissing` if the request carries no proof.
        """
        self._check_signed(identity_spki, nonce)
        if self.request.proof is None:
            raise AttestationMissing("The request carries no answer to a credential challenge.")
        attestation = verify_attested(
            self.request.csr, nonce=nonce, ak_public=ak_public, identity_spki=identity_spki, pcr_policy=pcr_policy
        )
        return self._verified(attestation.operational_spki, attestation)

    def _check_signed(self, identity_spki: bytes, nonce: bytes) -> None:
        verify1(self.sign1, load_public_key(identity_spki))
        if self.request.device_id != device_id_of(identity_spki):
            raise WrongDevice("The request names another device id than its identity key has.")
        if not hmac.compare_digest(self.request.nonce, nonce):
            raise WrongChallenge("The request answers another nonce.")

    def _verified(self, operational_spki: bytes, attestation: VerifiedAttestation | None = None) -> VerifiedEnrolment:
        request = self.request
        return VerifiedEnrolment(
            request.device_id,
            request.epoch,
            request.ticket,
            operational_spki,
            request.proof,
            request.factor,
            attestation,
        )


def read_request(data: bytes) -> UnverifiedEnrolment:
    """Decode a request. Raises `Malformed`."""
    sign1_message = Sign1.decode(data)
    return UnverifiedEnrolment(message.decode(sign1_message.payload, EnrolmentRequest), sign1_message)


def verify_certificate_request(csr: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a PKCS #10 request whose own signature holds and whose key the rules allow.

    Raises `Malformed`, `KeyRefused` or `SignatureInvalid`.
    """
    try:
        request = x509.load_der_x509_csr(csr)
        public_key = request.public_key()
    except UnsupportedAlgorithm as error:
        raise KeyRefused("Only P-256 and Ed25519 keys are accepted.") from error
    except (ValueError, TypeError, x509.InvalidVersion) as error:
        raise Malformed("not a PKCS #10 request") from error
    if not isinstance(public_key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        raise KeyRefused("Only P-256 and Ed25519 keys are accepted.")
    spki = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    key_rules.check(spki)
    if not _signature_holds(request):
        raise SignatureInvalid("The request is not signed by the key that it asks a certificate for.")
    return spki


def _signature_holds(request: x509.CertificateSigningRequest) -> bool:
    try:
        return request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
