"""The server's bundle: what a maker needs to know of the server that devices are made for."""

from dataclasses import dataclass

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from admittance.errors import Malformed
from admittance.wire import base64url
from admittance.wire.birth import check_origin


class _Document(msgspec.Struct, frozen=True):
    origin: str
    configuration_root: str
    manifest_key: str


@dataclass(frozen=True)
class ServerBundle:
    """`configuration_root_sha256` is SHA-256 over the root's SPKI; `manifest_key` opens manifests."""

    origin: str
    configuration_root_sha256: bytes
    manifest_key: X25519PublicKey


def read_bundle(data: bytes) -> ServerBundle:
    """Return the bundle in `data`, the JSON of ``/.well-known/admittance``. Raises `Malformed`."""
    try:
        document = msgspec.json.decode(data, type=_Document)
        root = x509.load_der_x509_certificate(base64url.decode(document.configuration_root))
        manifest_key = X25519PublicKey.from_public_bytes(base64url.decode(document.manifest_key))
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise Malformed(f"This is not a server's maker bundle: {error}.") from None
    return ServerBundle(check_origin(document.origin), _spki_sha256(root), manifest_key)


def _spki_sha256(certificate: x509.Certificate) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize()
