import datetime
import fcntl
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from admittance.errors import ConfigurationError, Malformed
from admittance.maker import making
from admittance.maker.authority import Maker
from admittance.maker.making import BatchPlan, batch_devices, make_batch
from admittance.wire.birth import decode_birth
from admittance.wire.device_id import device_id
from admittance.wire.manifest import ManifestEntry, decode_line, decode_secrets, secrets_info

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
BUTTON = BatchPlan(model="plug-1", presence="button", seal="symmetric", certified=False, algorithm="p256")
DISPLAY = BatchPlan(model="lamp-2", presence="display", seal="hybrid", certified=True, algorithm="ed25519")


def manifest(out: Path) -> list[ManifestEntry]:
    return [decode_line(line) for line in (out / "manifest.jsonl").read_bytes().splitlines()]


def ids(out: Path) -> set[str]:
    return {device.device_id for device in batch_devices(out)}


@pytest.mark.parametrize("plan", [BUTTON, DISPLAY])
def test_a_device_is_what_its_manifest_says(
    maker: Maker, tmp_path: Path, manifest_key: X25519PrivateKey, plan: BatchPlan
) -> None:
    [made] = make_batch(maker, plan, 1, tmp_path / "out", NOW)
    [entry] = manifest(tmp_path / "out")
    birth = decode_birth((made.directory / "birth.json").read_bytes())
    key = load_pem_private_key((made.directory / "identity.key").read_bytes(), password=None)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert entry.identity_spki == spki
    assert entry.device_id == birth.device_id == made.device_id == device_id(spki)
    assert (entry.model, entry.presence) == (plan.model, plan.presence)
    assert entry.identity_certificate == birth.identity_certificate
    assert (birth.identity_certificate is not None) == plan.certified
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    secrets = decode_secrets(suite.decrypt(entry.secrets, manifest_key, info=secrets_info(made.device_id)))
    assert secrets.access_point_ssid == birth.access_point_ssid
    assert secrets.access_point_passphrase == birth.access_point_passphrase
    assert (secrets.presence_key, secrets.seal_key) == (birth.presence_key, birth.seal_key)


def test_a_certified_identity_holds_the_devices_key(maker: Maker, tmp_path: Path) -> None:
    [made] = make_batch(maker, DISPLAY, 1, tmp_path / "out", NOW)
    certificate = x509.load_der_x509_certificate(manifest(tmp_path / "out")[0].identity_certificate or b"")
    certificate.verify_directly_issued_by(maker.certificate)
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert device_id(spki) == made.device_id


def test_no_two_devices_share_a_secret(maker: Maker, tmp_path: Path) -> None:
    made = list(make_batch(maker, BUTTON, 3, tmp_path / "out", NOW))
    births = [decode_birth((device.directory / "birth.json").read_bytes()) for device in made]
    for name in ("device_id", "access_point_passphrase", "presence_key", "seal_key"):
        assert len({getattr(birth, name) for birth in births}) == 3


def test_everything_made_is_readable_by_the_owner_alone(maker: Maker, tmp_path: Path) -> None:
    list(make_batch(maker, BUTTON, 1, tmp_path / "out", NOW))
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "out").rglob("*")}
    assert modes["identity.key"] == modes["birth.json"] == modes["manifest.jsonl"] == 0o600


def test_the_same_command_again_makes_nothing(maker: Maker, tmp_path: Path) -> None:
    assert len(list(make_batch(maker, BUTTON, 2, tmp_path / "out", NOW))) == 2
    assert list(make_batch(maker, BUTTON, 2, tmp_path / "out", NOW)) == []
    assert len(manifest(tmp_path / "out")) == 2


def test_killed_between_device_and_manifest_line_lists_the_device_later(
    maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(out: Path, line: bytes) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(making, "_append", killed)
        with pytest.raises(KeyboardInterrupt):
            list(make_batch(maker, BUTTON, 2, tmp_path / "out", NOW))
    assert len(list(make_batch(maker, BUTTON, 2, tmp_path / "out", NOW))) == 1
    assert {entry.device_id for entry in manifest(tmp_path / "out")} == ids(tmp_path / "out")


def test_killed_within_a_device_leaves_no_half_device_listed(
    maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(birth: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(making, "encode_birth", killed)
        with pytest.raises(KeyboardInterrupt):
            list(make_batch(maker, BUTTON, 1, tmp_path / "out", NOW))
    assert ids(tmp_path / "out") == set()
    list(make_batch(maker, BUTTON, 1, tmp_path / "out", NOW))
    assert not list((tmp_path / "out").glob(".making-*"))
    assert {entry.device_id for entry in manifest(tmp_path / "out")} == ids(tmp_path / "out")


def test_killed_within_a_manifest_line_mends_the_line(maker: Maker, tmp_path: Path) -> None:
    list(make_batch(maker, BUTTON, 2, tmp_path / "out", NOW))
    path = tmp_path / "out" / "manifest.jsonl"
    path.write_bytes(path.read_bytes()[:-7])
    list(make_batch(maker, BUTTON, 2, tmp_path / "out", NOW))
    assert {entry.device_id for entry in manifest(tmp_path / "out")} == ids(tmp_path / "out")
    assert len(manifest(tmp_path / "out")) == 2


def test_another_kind_of_batch_wants_another_directory(maker: Maker, tmp_path: Path) -> None:
    list(make_batch(maker, BUTTON, 1, tmp_path / "out", NOW))
    with pytest.raises(ConfigurationError, match="plug-1"):
        list(make_batch(maker, DISPLAY, 1, tmp_path / "out", NOW))


def test_a_damaged_manifest_is_named(maker: Maker, tmp_path: Path) -> None:
    list(make_batch(maker, BUTTON, 1, tmp_path / "out", NOW))
    path = tmp_path / "out" / "manifest.jsonl"
    path.write_text(json.dumps({"v": 1}) + "\n")
    with pytest.raises(ConfigurationError, match="manifest"):
        list(make_batch(maker, BUTTON, 2, tmp_path / "out", NOW))


def test_two_processes_never_make_in_one_batch(maker: Maker, tmp_path: Path) -> None:
    list(make_batch(maker, BUTTON, 1, tmp_path / "out", NOW))
    with (tmp_path / "out" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match="Another process"):
            list(make_batch(maker, BUTTON, 2, tmp_path / "out", NOW))


def test_a_model_without_a_proper_name_is_refused_before_anything_is_made(maker: Maker, tmp_path: Path) -> None:
    plan = BatchPlan(model="a b", presence="button", seal="classic", certified=True, algorithm="p256")
    with pytest.raises(Malformed):
        list(make_batch(maker, plan, 1, tmp_path / "out", NOW))
    assert not (tmp_path / "out").exists()
