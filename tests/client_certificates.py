"""TLS certificates that clients made for themselves."""

import datetime
import secrets
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
FOR_CLIENTS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])


@dataclass(frozen=True, eq=False)
class ClientCertificate:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: Any

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> str:
        return ssl.DER_cert_to_PEM_cert(self.der)

    def context(self, anchor: bytes, folder: Path) -> ssl.SSLContext:
        """What a client connects by that trusts `anchor` (PEM)."""
        context = ssl.create_default_context(cadata=anchor.decode())
        path = folder / f"client-{secrets.token_hex(4)}.pem"
        path.touch(mode=0o600)
        private = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(private + self.pem.encode())
        context.load_cert_chain(path)
        return context


def made_certificate(
    name: str = "client",
    *,
    key: Any = None,
    issuer: ClientCertificate | None = None,
    is_ca: bool = False,
    until_days: int = 1,
    extensions: tuple[x509.ExtensionType, ...] = (),
) -> ClientCertificate:
    """A certificate for `key`, or a new one on P-256; from `issuer`, or self-signed."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 9 * DAY)
        .not_valid_after(now + until_days * DAY)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    signing = key if issuer is None else issuer.key
    has_digest = isinstance(signing, ec.EllipticCurvePrivateKey) or hasattr(signing, "decrypt")
    return ClientCertificate(builder.sign(signing, hashes.SHA256() if has_digest else None), key)


def key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=True,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
