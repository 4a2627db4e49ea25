"""Operational certificates (RFC 5280): what is in them, and signing them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from admittance.errors import ConfigurationError
from admittance.protocol.enrolment import key_rules
from admittance.server.enrolment.model import MAX_CERTIFICATE_TTL_S

BACKDATE_S = 60
"""A device whose clock is a little slow must not find its new certificate in the future."""

URI_PREFIX = "urn:admittance:device:"

_DIGITAL_SIGNATURE = x509.KeyUsage(
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


@dataclass(frozen=True)
class OperationalCertificate:
    """`serial` is lower-case hexadecimal; times are Unix seconds."""

    der: bytes
    serial: str
    fingerprint: bytes
    not_after: int


class CertificateIssuer:
    """Issues for devices with the issuing CA's key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        )
        # What all certificates have in common: a builder never changes, each call gives another one.
        self._common = (
            x509.CertificateBuilder()
            .issuer_name(certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_DIGITAL_SIGNATURE, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(authority, critical=False)
        )
        self.certificate = certificate.public_bytes(Encoding.DER)

    def issue(self, device_id: str, spki: bytes, ttl_s: int, now: float) -> OperationalCertificate:
        """A certificate over `spki` (DER) that lives `ttl_s`, counted from a minute ago.

        Serial: 159 random bits (RFC 5280, section 4.1.2.2). Key usage: digitalSignature alone, critical
        (section 4.2.1.3). Extended key usage: clientAuth alone (section 4.2.1.12).
        Raises `KeyRefused` if the key rules do not allow the key.
        """
        if not 0 < ttl_s <= MAX_CERTIFICATE_TTL_S:
            raise ConfigurationError("An operational certificate lives 7 days at most.")
        public_key = key_rules.check(spki)
        start = datetime.fromtimestamp(int(now) - BACKDATE_S, UTC)
        serial = x509.random_serial_number()
        certificate = (
            self._common.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device_id)]))
            .public_key(public_key)
            .serial_number(serial)
            .not_valid_before(start)
            .not_valid_after(start + timedelta(seconds=ttl_s))
            .add_extension(_device_name(device_id), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return OperationalCertificate(
            der=certificate.public_bytes(Encoding.DER),
            serial=f"{serial:x}",
            fingerprint=certificate.fingerprint(hashes.SHA256()),
            not_after=int(now) - BACKDATE_S + ttl_s,
        )


def _device_name(device_id: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(URI_PREFIX + device_id)])
