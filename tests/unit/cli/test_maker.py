import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from admittance.cli import main
from admittance.wire import base64url

MAKE = ["--model", "plug-1", "--presence", "button", "--seal", "symmetric", "--listed"]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")])
    now = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    root = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    root = root.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    document = {
        "origin": "https://localhost:8443",
        "configuration_root": base64url.encode(root.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)),
        "manifest_key": base64url.encode(b"\x09" + bytes(31)),
    }
    path = tmp_path / "maker-bundle.json"
    path.write_text(json.dumps(document))
    return path


def admit(*arguments: str, code: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == code, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_a_batch_from_init_to_labels(tmp_path: Path, bundle: Path) -> None:
    factory, out = str(tmp_path / "factory"), str(tmp_path / "out")
    assert admit("maker", "init", factory, "--name", "ACME", "--bundle", str(bundle))["maker"] == "ACME"
    made = admit("maker", "make", factory, *MAKE, "--count", "3", "--out", out)
    assert made["made"] == len(made["device_ids"]) == 3
    assert admit("maker", "make", factory, *MAKE, "--count", "3", "--out", out)["made"] == 0
    labelled = admit("maker", "label", out, "--sheet", str(tmp_path / "labels.pdf"))
    assert (labelled["labels"], labelled["pages"]) == (3, 1)
    for device_id in made["device_ids"]:
        assert (tmp_path / "out" / device_id / "label.png").exists()


def test_making_without_a_maker_names_the_next_step(tmp_path: Path) -> None:
    refused = admit(
        "maker", "make", str(tmp_path / "none"), *MAKE, "--count", "1", "--out", str(tmp_path / "o"), code=6
    )
    assert refused["error"] == "configuration"
    assert "admit maker init" in refused["detail"]


def test_labels_of_an_unknown_device_are_refused(tmp_path: Path, bundle: Path) -> None:
    factory, out = str(tmp_path / "factory"), str(tmp_path / "out")
    admit("maker", "init", factory, "--name", "ACME", "--bundle", str(bundle))
    admit("maker", "make", factory, *MAKE, "--count", "1", "--out", out)
    assert "holds no device X" in admit("maker", "label", out, "--device", "X", code=6)["detail"]


def test_devices_with_a_tpm(tmp_path: Path, bundle: Path) -> None:
    factory, out = str(tmp_path / "factory"), tmp_path / "out"
    made = admit("maker", "init", factory, "--name", "ACME", "--bundle", str(bundle))
    assert Path(made["ek_ca_file"]).read_bytes().startswith(b"-----BEGIN CERTIFICATE-----")
    batch = admit("maker", "make", factory, *MAKE, "--tpm", "--count", "2", "--out", str(out))
    for device_id in batch["device_ids"]:
        assert not (out / device_id / "identity.key").exists()
        assert (out / device_id / "tpm").is_dir()
    assert all("ek_certificate" in json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines())
