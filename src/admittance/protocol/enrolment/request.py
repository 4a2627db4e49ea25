"""The request for an operational certificate, without a TPM.

Two signatures hold it together: the new key signs the PKCS #10 request (proof of possession), and the identity key
signs that request together with the server's nonce, the epoch and the ticket.
"""

import hmac
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from admittance.errors import KeyRefused, Malformed, SignatureInvalid, WrongChallenge, WrongDevice
from admittance.protocol.enrolment import key_rules
from admittance.protocol.signing import PrivateKey, Signer, load_public_key, sign1, verify1
from admittance.wire import message
from admittance.wire.cose import Sign1
from admittance.wire.device_id import device_id as device_id_of
from admittance.wire.enrolment import EnrolmentRequest


def build_request(
    identity: Signer, key: PrivateKey, *, nonce: bytes, device_id: str, epoch: int, ticket: bytes = b""
) -> bytes:
    """A signed request for a certificate over `key`'s public part.

    `nonce` is 32 bytes from the server; `ticket` is 32 bytes, or empty when renewing or enrolling again.
    """
    request = EnrolmentRequest(nonce, device_id, epoch, ticket, certificate_request(key, device_id))
    return sign1(identity, message.encode(request))


def certificate_request(key: PrivateKey, device_id: str) -> bytes:
    """The PKCS #10 request (RFC 2986), DER, with the device id as common name."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device_id)])
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, digest)
    return csr.public_bytes(serialization.Encoding.DER)


@dataclass(frozen=True, slots=True)
class VerifiedEnrolment:
    """A request that identity and operational key both signed, over the nonce that the server expects."""

    device_id: str
    epoch: int
    ticket: bytes = field(repr=False)
    operational_spki: bytes


@dataclass(frozen=True, slots=True)
class UnverifiedEnrolment:
    """A request as it came in: `request.device_id` is but a hint which identity to look up."""

    request: EnrolmentRequest
    sign1: Sign1

    def verify(self, identity_spki: bytes, nonce: bytes) -> VerifiedEnrolment:
        """Check both signatures, the device id, the nonce and the key rules.

        Raises `SignatureInvalid`, `WrongDevice`, `WrongChallenge`, `KeyRefused` or `Malformed`.
        """
        verify1(self.sign1, load_public_key(identity_spki))
        if self.request.device_id != device_id_of(identity_spki):
            raise WrongDevice("The request names another device id than its identity key has.")
        if not hmac.compare_digest(self.request.nonce, nonce):
            raise WrongChallenge("The request answers another nonce.")
        operational_spki = verify_certificate_request(self.request.csr)
        key_rules.check_distinct(operational_spki, identity_spki)
        return VerifiedEnrolment(self.request.device_id, self.request.epoch, self.request.ticket, operational_spki)


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
