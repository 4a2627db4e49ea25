"""Building the request for an operational certificate: a device's side, which loads nothing of the verification."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID

from admittance.protocol.signing import PrivateKey, Signer, sign1
from admittance.wire import message
from admittance.wire.enrolment import EnrolmentRequest, Factor


def build_request(
    identity: Signer,
    key: PrivateKey,
    *,
    nonce: bytes,
    device_id: str,
    epoch: int,
    ticket: bytes = b"",
    factor: Factor | None = None,
) -> bytes:
    """A signed request for a certificate over `key`'s public part, without a TPM.

    `nonce` is 32 bytes from the server; `ticket` is 32 bytes, or empty when renewing or enrolling again; `factor` is
    the second factor where one is asked for.
    """
    csr = certificate_request(key, device_id)
    return sign_request(identity, EnrolmentRequest(nonce, device_id, epoch, ticket, csr, None, factor))


def sign_request(identity: Signer, request: EnrolmentRequest) -> bytes:
    """Sign a request that is ready, as one with a TPM's attestation is (see `attested.build_attested_csr`)."""
    return sign1(identity, message.encode(request))


def certificate_request(key: PrivateKey, device_id: str) -> bytes:
    """The PKCS #10 request (RFC 2986), DER, with the device id as common name."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device_id)])
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, digest)
    return csr.public_bytes(serialization.Encoding.DER)
