"""The maker: a certificate authority for identity keys, and the server that devices are made for."""

import datetime
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

from admittance.errors import ConfigurationError, Malformed
from admittance.maker.bundle import ServerBundle, read_bundle
from admittance.maker.files import write_private

IdentityPublicKey = ec.EllipticCurvePublicKey | Ed25519PublicKey

# RFC 5280, section 4.1.2.5: a certificate without a known end of life, as IEEE 802.1AR asks of IDevIDs.
NEVER = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)

_KEY, _CERTIFICATE, _BUNDLE, _MAKER = "maker-ca.key", "maker-ca.pem", "bundle.json", "maker.json"


class _Maker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: int
    name: str


@dataclass(frozen=True)
class Maker:
    """A maker's CA, opened for making devices."""

    directory: Path
    name: str
    bundle: ServerBundle
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def certify(self, public_key: IdentityPublicKey, *, device_id: str, model: str, now: datetime.datetime) -> bytes:
        """Return an identity certificate (DER) for life: subject CN = model, serialNumber = device id."""
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, model),
                x509.NameAttribute(NameOID.SERIAL_NUMBER, device_id),
            ]
        )
        builder = _builder(subject, self.certificate.subject, public_key, now)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(ca=False), critical=True)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(authority, critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def init_maker(directory: Path, name: str, bundle: bytes, now: datetime.datetime) -> Maker:
    """Make a maker in `directory` (mode 0700), or open the one that is there.

    Raises `ConfigurationError` if the one that is there has another name or serves another server, and `Malformed` if
    `bundle` is not a server's bundle.
    """
    read_bundle(bundle)
    if not 1 <= len(name) <= 50 or not name.isprintable():
        raise ConfigurationError("A maker's name has 1 to 50 printable characters.")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (directory / _MAKER).exists():
        _make_authority(directory, name, now)
        write_private(directory / _BUNDLE, bundle)
        write_private(directory / _MAKER, msgspec.json.encode(_Maker(1, name)) + b"\n")
    maker = open_maker(directory)
    if maker.name != name:
        raise ConfigurationError(f"{directory} is the maker {maker.name!r} already; choose another directory.")
    if read_bundle((directory / _BUNDLE).read_bytes()) != read_bundle(bundle):
        raise ConfigurationError(
            f"{directory} makes devices for another server or configuration root ({maker.bundle.origin}); "
            "choose another directory."
        )
    return maker


def open_maker(directory: Path) -> Maker:
    """Open the maker in `directory`. Raises `ConfigurationError` naming what is missing or unsafe."""
    key_file = directory / _KEY
    try:
        settings = msgspec.json.decode((directory / _MAKER).read_bytes(), type=_Maker)
        if key_file.stat().st_mode & 0o077:
            raise ConfigurationError(f"Others can read {key_file}. Run: chmod 600 {key_file}")
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        certificate = x509.load_pem_x509_certificate((directory / _CERTIFICATE).read_bytes())
        bundle = read_bundle((directory / _BUNDLE).read_bytes())
    except FileNotFoundError as error:
        raise ConfigurationError(f"{error.filename} is missing. Run: admit maker init {directory} …") from None
    except (OSError, ValueError, Malformed) as error:
        raise ConfigurationError(f"The maker in {directory} cannot be opened: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError(f"{key_file} does not hold a P-256 key.")
    return Maker(directory, settings.name, bundle, certificate, key)


def _make_authority(directory: Path, name: str, now: datetime.datetime) -> None:
    key_file = directory / _KEY
    if key_file.exists():
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigurationError(f"{key_file} does not hold a P-256 key.")
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(key_file, private_pem(key))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} identity CA")])
    builder = _builder(subject, subject, key.public_key(), now)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(ca=True), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    write_private(directory / _CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM))


def private_pem(key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> bytes:
    """Return PKCS #8 in PEM, unencrypted: for files of mode 0600 only."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: IdentityPublicKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(NEVER)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
