import datetime
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from admittance.maker.authority import Maker, init_maker
from admittance.wire import base64url

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def manifest_key() -> X25519PrivateKey:
    return X25519PrivateKey.generate()


@pytest.fixture
def root_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def bundle(manifest_key: X25519PrivateKey, root_key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")])
    root = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(root_key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=1))
        .sign(root_key, hashes.SHA256())
    )
    public = manifest_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return json.dumps(
        {
            "origin": "https://localhost:8443",
            "configuration_root": base64url.encode(root.public_bytes(Encoding.DER)),
            "manifest_key": base64url.encode(public),
        }
    ).encode()


@pytest.fixture
def maker(tmp_path: Path, bundle: bytes) -> Maker:
    return init_maker(tmp_path / "maker", "ACME", bundle, NOW)
