"""A device of tpm2-tools and openssl alone against our checks: activation, then an attested request.

`tpm2_tools_device.sh` is the device; nothing of ours runs on its side.
"""

import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from admittance.errors import EkRefused, StaleAttestation
from admittance.protocol.enrolment import read_request, verify_attested
from admittance.protocol.tpm.certify import check_attestation_key
from admittance.protocol.tpm.credential import make_credential
from admittance.protocol.tpm.ek import check_ek
from admittance.protocol.tpm.quote import PcrPolicy
from admittance.wire.tpm.public import Public
from tests.swtpm_world import EK_KINDS, EkAuthority, EkKind, Swtpm, swtpm

SCRIPT = Path(__file__).with_name("tpm2_tools_device.sh")
NONCE = secrets.token_bytes(32)
TICKET = secrets.token_bytes(32)


@pytest.fixture(scope="module")
def authority() -> EkAuthority:
    return EkAuthority()


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory, authority: EkAuthority) -> Iterator[Swtpm]:
    with swtpm(tmp_path_factory.mktemp("swtpm"), authority) as running:
        yield running


def device(tpm: Swtpm, folder: Path, *arguments: str) -> None:
    finished = subprocess.run(
        [str(SCRIPT), *arguments],
        cwd=folder,
        env={"PATH": os.defpath, "TPM2TOOLS_TCTI": tpm.tcti, "TSS2_LOG": "all+none"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


def challenge(folder: Path, secret: bytes) -> Public:
    """The server's side of `POST /enrolment/tpm/credential`; the attestation key that is challenged."""
    ek_public = Public.decode((folder / "ek.public").read_bytes())
    ak_public = Public.decode((folder / "ak.public").read_bytes())
    check_attestation_key(ak_public)
    id_object, encrypted_secret = make_credential(ek_public, ak_public.name, secret, secrets.token_bytes)
    (folder / "id_object").write_bytes(id_object)
    (folder / "encrypted_secret").write_bytes(encrypted_secret)
    (folder / "challenge_id").write_bytes(bytes(16))
    return ak_public


@pytest.mark.parametrize("kind", EK_KINDS)
def test_activation_and_an_attested_request(tpm: Swtpm, authority: EkAuthority, tmp_path: Path, kind: EkKind) -> None:
    device(tpm, tmp_path, "keys", kind)
    check_ek(
        tpm.chains[kind], [authority.certificate], Public.decode((tmp_path / "ek.public").read_bytes()), time.time()
    )
    secret = secrets.token_bytes(32)
    ak_public = challenge(tmp_path, secret)
    device(tpm, tmp_path, "activate", kind)
    assert (tmp_path / "secret").read_bytes() == secret

    (tmp_path / "nonce").write_bytes(NONCE)
    (tmp_path / "ticket").write_bytes(TICKET)
    device(tpm, tmp_path, "request", "4")
    unverified = read_request((tmp_path / "request").read_bytes())
    identity_spki = (tmp_path / "identity.spki").read_bytes()
    verified = unverified.verify_attested(identity_spki, NONCE, ak_public=ak_public, pcr_policy=None)
    assert verified.device_id == (tmp_path / "device_id").read_text()
    assert (verified.epoch, verified.ticket) == (4, TICKET)
    assert verified.proof is not None
    assert verified.proof.secret == secret
    assert verified.operational_spki == (tmp_path / "operational.spki").read_bytes()
    assert verified.attestation is not None
    assert verified.attestation.ak_name == ak_public.name


def test_a_quote_of_the_models_registers(tpm: Swtpm, tmp_path: Path) -> None:
    device(tpm, tmp_path, "keys", "rsa")
    ak_public = challenge(tmp_path, bytes(32))
    (tmp_path / "nonce").write_bytes(NONCE)
    (tmp_path / "pcrs").write_text("sha256:0,7,16")
    device(tpm, tmp_path, "activate", "rsa")
    device(tpm, tmp_path, "request", "1")
    tpm.tool("tpm2_pcrread", "sha256:0,7,16", "-o", tmp_path / "values")
    hashing = ["openssl", "dgst", "-sha256", "-r", str(tmp_path / "values")]
    digest = subprocess.run(hashing, check=True, capture_output=True, text=True).stdout.split()[0]
    verified = read_request((tmp_path / "request").read_bytes()).verify_attested(
        (tmp_path / "identity.spki").read_bytes(),
        NONCE,
        ak_public=ak_public,
        pcr_policy=PcrPolicy.parse("sha256:0,7,16", [digest]),
    )
    assert verified.attestation is not None
    assert verified.attestation.pcr_selections == "sha256:0,7,16"


def test_a_request_is_good_for_its_nonce_alone(tpm: Swtpm, tmp_path: Path) -> None:
    device(tpm, tmp_path, "keys", "rsa")
    ak_public = challenge(tmp_path, bytes(32))
    (tmp_path / "nonce").write_bytes(NONCE)
    device(tpm, tmp_path, "activate", "rsa")
    (tmp_path / "secret").write_bytes(bytes(32))
    device(tpm, tmp_path, "csr")
    with pytest.raises(StaleAttestation):
        verify_attested(
            (tmp_path / "csr.der").read_bytes(),
            nonce=bytes(32),
            ak_public=ak_public,
            identity_spki=(tmp_path / "identity.spki").read_bytes(),
            pcr_policy=None,
        )


def test_another_makers_tpm_is_refused(tpm: Swtpm, tmp_path: Path) -> None:
    with pytest.raises(EkRefused, match="trusted maker"):
        check_ek(
            tpm.chains["rsa"], [EkAuthority("Other").certificate], Public.decode(tpm.ek_public("rsa")), time.time()
        )
