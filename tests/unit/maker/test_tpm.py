from pathlib import Path

import pytest
from cryptography import x509

from admittance.errors import ConfigurationError
from admittance.maker import making
from admittance.maker.authority import Maker
from admittance.maker.endorsement import init_endorsement, open_endorsement
from admittance.maker.making import BatchPlan, batch_devices, make_batch
from admittance.protocol.tpm.ek import check_ek
from admittance.tpm.keys import TpmKeys
from admittance.tpm.software import software_tpm
from admittance.wire.birth import EkKind, TpmAccess, decode_birth
from admittance.wire.device_id import device_id
from admittance.wire.manifest import ManifestEntry, decode_line
from admittance.wire.tpm.public import Public
from tests.unit.maker.conftest import NOW


def plan(ek: EkKind, *, certified: bool = True) -> BatchPlan:
    return BatchPlan(model="safe-1", presence="display", seal="hybrid", certified=certified, algorithm="p256", ek=ek)


@pytest.fixture(autouse=True)
def _ek_authority(maker: Maker) -> None:
    init_endorsement(maker.directory, maker.name, NOW)


def manifest(out: Path) -> list[ManifestEntry]:
    return [decode_line(line) for line in (out / "manifest.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize("kind", ["rsa", "p256", "p384"])
@pytest.mark.parametrize("certified", [True, False])
def test_a_device_with_a_tpm_is_what_its_manifest_says(
    maker: Maker, tmp_path: Path, kind: EkKind, certified: bool
) -> None:
    [made] = make_batch(maker, plan(kind, certified=certified), 1, tmp_path / "out", NOW)
    [entry] = manifest(tmp_path / "out")
    birth = decode_birth((made.directory / "birth.json").read_bytes())
    assert birth.tpm == TpmAccess(swtpm_state="tpm")
    assert not (made.directory / "identity.key").exists()
    with software_tpm(made.directory / "tpm") as tcti:
        keys = TpmKeys(tcti)
        assert keys.identity().spki == entry.identity_spki
        ek_public, ek_certificate = keys.endorsement()
    assert ek_certificate == entry.ek_certificate
    root = open_endorsement(maker.directory).certificate
    check_ek([ek_certificate], [root], Public.decode(ek_public), NOW.timestamp())
    assert device_id(entry.identity_spki) == made.device_id == entry.device_id
    assert (entry.identity_certificate is not None) == certified
    if entry.identity_certificate:
        x509.load_der_x509_certificate(entry.identity_certificate).verify_directly_issued_by(maker.certificate)


def test_a_run_that_was_killed_before_its_line_is_finished(maker: Maker, tmp_path: Path) -> None:
    out = tmp_path / "out"
    list(make_batch(maker, plan("p256"), 1, out, NOW))
    [entry] = manifest(out)
    (out / "manifest.jsonl").unlink()
    (out / f"{making._UNFINISHED}half" / "tpm").mkdir(parents=True)
    assert list(make_batch(maker, plan("p256"), 1, out, NOW)) == []
    [again] = manifest(out)
    assert (again.device_id, again.ek_certificate) == (entry.device_id, entry.ek_certificate)
    assert [path.name for path in out.iterdir() if path.is_dir()] == [batch_devices(out)[0].device_id]


def test_a_tpm_holds_no_other_identity_than_p256(maker: Maker, tmp_path: Path) -> None:
    wrong = BatchPlan(
        model="safe-1", presence="display", seal="hybrid", certified=True, algorithm="ed25519", ek="p256"
    )
    with pytest.raises(ConfigurationError, match="P-256"):
        list(make_batch(maker, wrong, 1, tmp_path / "out", NOW))


def test_a_maker_without_ek_ca_names_the_next_step(maker: Maker, tmp_path: Path) -> None:
    (maker.directory / "ek-ca.pem").unlink()
    with pytest.raises(ConfigurationError, match="admit maker init"):
        list(make_batch(maker, plan("p256"), 1, tmp_path / "out", NOW))


def test_the_ek_ca_is_made_once(maker: Maker) -> None:
    before = open_endorsement(maker.directory).certificate
    init_endorsement(maker.directory, maker.name, NOW)
    assert open_endorsement(maker.directory).certificate == before
    (maker.directory / "ek-ca.key").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        open_endorsement(maker.directory)
