import datetime
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from admittance.errors import ConfigurationError, Malformed
from admittance.maker.authority import Maker, init_maker, open_maker

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
DEVICE_ID = "ADAAAAAAAAAAAAAAAAAAAA"


def test_init_twice_is_the_same_maker(tmp_path: Path, bundle: bytes) -> None:
    first = init_maker(tmp_path / "m", "ACME", bundle, NOW)
    again = init_maker(tmp_path / "m", "ACME", bundle, NOW + datetime.timedelta(days=9))
    assert again.certificate == first.certificate


def test_secrets_are_readable_by_the_owner_alone(tmp_path: Path, bundle: bytes) -> None:
    init_maker(tmp_path / "m", "ACME", bundle, NOW)
    assert (tmp_path / "m").stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (tmp_path / "m").iterdir())


def test_init_killed_after_the_key_keeps_the_key(tmp_path: Path, bundle: bytes) -> None:
    directory = tmp_path / "m"
    init_maker(directory, "ACME", bundle, NOW)
    key = (directory / "maker-ca.key").read_bytes()
    for name in ("maker-ca.pem", "bundle.json", "maker.json"):
        (directory / name).unlink()
    init_maker(directory, "ACME", bundle, NOW)
    assert (directory / "maker-ca.key").read_bytes() == key


def test_init_refuses_another_name_and_another_server(tmp_path: Path, bundle: bytes) -> None:
    init_maker(tmp_path / "m", "ACME", bundle, NOW)
    with pytest.raises(ConfigurationError, match="ACME"):
        init_maker(tmp_path / "m", "Other", bundle, NOW)
    other = {**json.loads(bundle), "origin": "https://elsewhere"}
    with pytest.raises(ConfigurationError, match="another server"):
        init_maker(tmp_path / "m", "ACME", json.dumps(other).encode(), NOW)


@pytest.mark.parametrize("data", [b"", b"{}", b'{"origin":"https://h","configuration_root":"AA","manifest_key":""}'])
def test_init_refuses_what_is_no_bundle(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Malformed):
        init_maker(tmp_path / "m", "ACME", data, NOW)
    assert not (tmp_path / "m").exists()


def test_opening_names_what_is_missing_or_unsafe(tmp_path: Path, bundle: bytes) -> None:
    with pytest.raises(ConfigurationError, match="admit maker init"):
        open_maker(tmp_path / "m")
    init_maker(tmp_path / "m", "ACME", bundle, NOW)
    (tmp_path / "m" / "maker-ca.key").chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        open_maker(tmp_path / "m")


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256R1()), Ed25519PrivateKey.generate()])
def test_an_identity_certificate_names_model_and_device_for_life(
    maker: Maker, key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey
) -> None:
    data = maker.certify(key.public_key(), device_id=DEVICE_ID, model="lamp-2", now=NOW)
    certificate = x509.load_der_x509_certificate(data)
    certificate.verify_directly_issued_by(maker.certificate)
    assert certificate.subject.rfc4514_string() == f"2.5.4.5={DEVICE_ID},CN=lamp-2"
    assert certificate.not_valid_after_utc.year == 9999
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
