"""Keys, certificates and values that the vectors share, all from labels."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from admittance.protocol.sealing import ClassicSealKey
from admittance.protocol.signing import PrivateKey, SoftwareSigner, spki_of
from admittance.wire.device_id import device_id

Vector = dict[str, Any]


def seed(label: str, size: int = 32) -> bytes:
    return hashlib.shake_256(f"admittance vectors: {label}".encode()).digest(size)


def p256(label: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(seed(label)) >> 1, ec.SECP256R1())


def ed(label: str) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.from_private_bytes(seed(label))


class DeterministicSigner:
    """ES256 with the nonce of RFC 6979."""

    algorithm = -7

    def __init__(self, private_key: ec.EllipticCurvePrivateKey) -> None:
        self._private_key = private_key
        self.spki = spki_of(private_key.public_key())

    def sign(self, data: bytes) -> bytes:
        algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        r, s = decode_dss_signature(self._private_key.sign(data, algorithm))
        return r.to_bytes(32) + s.to_bytes(32)


IDENTITY = p256("identity")
IDENTITY_SIGNER = DeterministicSigner(IDENTITY)
DEVICE = device_id(IDENTITY_SIGNER.spki)
OTHER_IDENTITY = ed("other identity")
OTHER_SIGNER = SoftwareSigner(OTHER_IDENTITY)
OTHER_DEVICE = device_id(OTHER_SIGNER.spki)
ORIGIN = "https://admittance.example"
TRANSACTION = seed("transaction", 16)
APP_KEY = seed("app key")
TICKET = seed("ticket")
DEVICE_NONCE = seed("device nonce", 16)
CLASSIC = ClassicSealKey.from_bytes(seed("classic seal key"))


def certificate(
    label: str, key: Any, issuer: str, issuer_key: PrivateKey, *, ca: bool, signs: bool = True
) -> x509.Certificate:
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, label)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(1 + int.from_bytes(seed(f"serial of {label}", 8)))
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2046, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=signs and not ca, key_cert_sign=ca, crl_sign=ca or not signs, **usage),
            critical=True,
        )
    )
    return builder.sign(issuer_key, hashes.SHA256(), ecdsa_deterministic=True)


def der(value: x509.Certificate) -> bytes:
    return value.public_bytes(Encoding.DER)


ROOT_KEY, SIGNER_KEY = p256("configuration root"), p256("configuration signer")
ROOT = certificate("Configuration root", ROOT_KEY, "Configuration root", ROOT_KEY, ca=True)
SIGNER = certificate("Configuration signer", SIGNER_KEY, "Configuration root", ROOT_KEY, ca=False)
SUB_CA = certificate("Configuration CA", SIGNER_KEY, "Configuration root", ROOT_KEY, ca=True)
CRL_SIGNER = certificate("CRL signer", SIGNER_KEY, "Configuration root", ROOT_KEY, ca=False, signs=False)
OTHER_ROOT_KEY = p256("another root")
OTHER_ROOT = certificate("Configuration root", OTHER_ROOT_KEY, "Configuration root", OTHER_ROOT_KEY, ca=True)
OTHER_SIGNER_CERTIFICATE = certificate(
    "Configuration signer", SIGNER_KEY, "Configuration root", OTHER_ROOT_KEY, ca=False
)
P384_KEY = ec.derive_private_key(int.from_bytes(seed("P-384", 40)), ec.SECP384R1())
P384_SIGNER = certificate("P-384 signer", P384_KEY, "Configuration root", ROOT_KEY, ca=False)
