"""The maker's test CA of endorsement keys: what the manufacturer of a real TPM has, for software TPMs."""

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier

from admittance.errors import ConfigurationError
from admittance.maker.authority import NEVER, private_pem
from admittance.maker.files import write_private

EndorsementPublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

KEY, CERTIFICATE = "ek-ca.key", "ek-ca.pem"

# TCG EK Credential Profile for TPM Family 2.0, sections 3.1.2 and 3.2.16.
_EK_CERTIFICATE = ObjectIdentifier("2.23.133.8.1")
_TPM_MANUFACTURER = ObjectIdentifier("2.23.133.2.1")
_TPM_MODEL = ObjectIdentifier("2.23.133.2.2")
_TPM_VERSION = ObjectIdentifier("2.23.133.2.3")


@dataclass(frozen=True)
class EndorsementAuthority:
    """The CA, opened for making TPMs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def certify(self, public_key: EndorsementPublicKey, now: datetime.datetime) -> bytes:
        """The certificate (DER) of an endorsement key, for life."""
        tpm = x509.Name(
            [
                x509.NameAttribute(_TPM_MANUFACTURER, "id:00001014"),
                x509.NameAttribute(_TPM_MODEL, "swtpm"),
                x509.NameAttribute(_TPM_VERSION, "id:00020000"),
            ]
        )
        is_rsa = isinstance(public_key, rsa.RSAPublicKey)
        extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (
            (x509.SubjectAlternativeName([x509.DirectoryName(tpm)]), True),
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(key_encipherment=is_rsa, key_agreement=not is_rsa), True),
            (x509.ExtendedKeyUsage([_EK_CERTIFICATE]), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False),
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(NEVER)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def init_endorsement(directory: Path, name: str, now: datetime.datetime) -> None:
    """Make the CA in the maker's `directory`, unless it is there."""
    if (directory / CERTIFICATE).exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} test EK CA")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(NEVER)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    write_private(directory / KEY, private_pem(key))
    write_private(directory / CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM))


def open_endorsement(directory: Path) -> EndorsementAuthority:
    """Open the CA in the maker's `directory`. Raises `ConfigurationError` naming what is missing or unsafe."""
    key_file = directory / KEY
    try:
        if key_file.stat().st_mode & 0o077:
            raise ConfigurationError(f"Others can read {key_file}. Run: chmod 600 {key_file}")
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        certificate = x509.load_pem_x509_certificate((directory / CERTIFICATE).read_bytes())
    except FileNotFoundError as error:
        raise ConfigurationError(f"{error.filename} is missing. Run again: admit maker init {directory} …") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The EK CA in {directory} cannot be opened: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError(f"{key_file} does not hold a P-256 key.")
    return EndorsementAuthority(certificate, key)


def _usage(
    *,
    key_encipherment: bool = False,
    key_agreement: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=key_agreement,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
