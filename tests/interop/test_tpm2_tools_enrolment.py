"""A device of tpm2-tools, openssl and curl alone against our checks: activation, then an attested request.

`tpm2_tools_device.sh` is the device; nothing of ours runs on its side. At a running server it enrols by itself; the
tests are the maker that lists it and the phone that provisions it, and have its TPM sign the evidence for that.
"""

import os
import secrets
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from admittance.errors import EkRefused, StaleAttestation
from admittance.protocol.enrolment.attested import verify_attested
from admittance.protocol.enrolment.request import read_request
from admittance.protocol.sealing import ClassicSealKey
from admittance.protocol.tpm.certify import check_attestation_key
from admittance.protocol.tpm.credential import make_credential
from admittance.protocol.tpm.ek import check_ek
from admittance.protocol.tpm.quote import PcrPolicy
from admittance.wire import message
from admittance.wire.enrolment import Enrolled
from admittance.wire.manifest import DeviceSecrets, ManifestEntry, encode_line, encode_secrets, secrets_info
from admittance.wire.tpm.public import Public
from tests.attack.site import Login, Site
from tests.device_world import FakeDevice
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


def run(tpm: Swtpm, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPT), *arguments],
        cwd=folder,
        env={"PATH": os.defpath, "TPM2TOOLS_TCTI": tpm.tcti, "TSS2_LOG": "all+none"},
        capture_output=True,
        text=True,
        check=False,
    )


def device(tpm: Swtpm, folder: Path, *arguments: str) -> None:
    finished = run(tpm, folder, *arguments)
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


METER, KIOSK = "meter-2", "kiosk-2"
_MANIFEST_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


@dataclass(frozen=True)
class ToolIdentity:
    """The identity key in a TPM that tpm2-tools talk to."""

    tpm: Swtpm
    folder: Path
    algorithm: int = -7

    @property
    def spki(self) -> bytes:
        return (self.folder / "identity.spki").read_bytes()

    def sign(self, data: bytes) -> bytes:
        (self.folder / "evidence").write_bytes(data)
        device(self.tpm, self.folder, "sign", "evidence")
        return (self.folder / "evidence.sig").read_bytes()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory, authority: EkAuthority) -> AsyncIterator[Site]:
    """A running server whose models need a TPM; of a kiosk it also wants to know what booted."""
    folder = tmp_path_factory.mktemp("site")
    root = folder / "ek-root.pem"
    root.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    model = 'presence = "display"\nminimum_assurance = "tpm"\n'
    untouched = sha256(bytes(32)).hexdigest()
    settings = (
        f'[tpm]\nek_roots = ["{root}"]\n'
        f'[models."{METER}"]\ndisplay_name = "Meter"\n{model}'
        f'[models."{KIOSK}"]\ndisplay_name = "Kiosk"\n{model}pcrs = {{ "sha256:16" = ["{untouched}"] }}\n'
    )
    async with Site.open(folder, policy=settings, lamps=0, locks=0) as opened:
        (folder / "anchor.pem").write_bytes(opened.keystore.tls_anchor.certificate_pem)
        yield opened


@pytest.fixture
def fresh_tpm(tmp_path: Path, authority: EkAuthority) -> Iterator[Swtpm]:
    with swtpm(tmp_path / "swtpm", authority) as running:
        yield running


async def listed(site: Site, tpm: Swtpm, folder: Path, kind: EkKind, model: str) -> FakeDevice:
    """Make the device's keys, and list it in a manifest that the server imports."""
    device(tpm, folder, "keys", kind)
    for number, certificate in enumerate(tpm.chains[kind]):
        (folder / f"ek.chain.{number}.der").write_bytes(certificate)
    identity = ToolIdentity(tpm, folder)
    made = FakeDevice(
        identity, model, "display", DeviceSecrets("PROV_TOOLS", "passphrase", None, None), ClassicSealKey.generate()
    )
    sealed = _MANIFEST_SUITE.encrypt(
        encode_secrets(made.secrets), site.keystore.manifest_key.public_key(), secrets_info(made.device_id)
    )
    manifest = folder / "manifest.jsonl"
    manifest.write_bytes(
        encode_line(ManifestEntry(made.device_id, model, "display", identity.spki, None, sealed)) + b"\n"
    )
    imported = await site.stage.admit("import", "devices", "import", manifest, "--config", site.stage.config)
    assert imported.last["added"] == 1
    return made


async def provisioned(site: Site, owner: Login, made: FakeDevice, folder: Path) -> None:
    """Activate the device for the owner; the ticket waits in the device's folder."""
    (folder / "ticket").write_bytes((await site.claim(owner, made)).ticket)


def online(site: Site, tpm: Swtpm, folder: Path, kind: EkKind, epoch: int) -> subprocess.CompletedProcess[str]:
    """The device's part, with nothing to trust but the private anchor."""
    url = f"https://localhost:{site.stage.ports.first_contact}"
    return run(tpm, folder, "online", kind, str(epoch), url, "--cacert", str(site.stage.folder / "anchor.pem"))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("kind", "model"), [("rsa", METER), ("p256", METER), ("p384", KIOSK)])
async def test_it_enrols_at_a_running_server(
    site: Site, fresh_tpm: Swtpm, tmp_path: Path, kind: EkKind, model: str
) -> None:
    owner = await site.somebody("owner")
    made = await listed(site, fresh_tpm, tmp_path, kind, model)
    await provisioned(site, owner, made, tmp_path)

    finished = online(site, fresh_tpm, tmp_path, kind, made.epoch)
    assert finished.returncode == 0, finished.stderr
    chain = message.decode((tmp_path / "enrolled").read_bytes(), Enrolled).chain
    leaf, issuer = (x509.load_der_x509_certificate(each) for each in chain[:2])
    leaf.verify_directly_issued_by(issuer)
    spki = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert spki == (tmp_path / "operational.spki").read_bytes()
    assert (tmp_path / "certificate.der").read_bytes() == chain[0]

    shown = await owner.ask("GET", f"/api/devices/{made.device_id}")
    assert (shown["state"], shown["assurance"], shown["epoch"]) == ("active", "tpm", made.epoch)
    assert int(shown["certificate"]["serial"], 16) == leaf.serial_number
    assert shown["enrolment"]["tpm"]["pcr_selections"] == ("sha256:16" if model == KIOSK else "")


@pytest.mark.asyncio(loop_scope="module")
async def test_it_tells_a_server_of_another_anchor_nothing(site: Site, fresh_tpm: Swtpm, tmp_path: Path) -> None:
    await listed(site, fresh_tpm, tmp_path, "p256", METER)
    url = f"https://localhost:{site.stage.ports.first_contact}"
    finished = run(fresh_tpm, tmp_path, "online", "p256", "1", url, "--cacert", str(site.stage.people_ca))
    assert finished.returncode == 60, finished.stderr


@pytest.mark.asyncio(loop_scope="module")
async def test_without_a_ticket_it_gets_no_certificate(site: Site, fresh_tpm: Swtpm, tmp_path: Path) -> None:
    made = await listed(site, fresh_tpm, tmp_path, "p256", METER)
    finished = online(site, fresh_tpm, tmp_path, "p256", made.epoch)
    assert (finished.returncode, (tmp_path / "secret").exists()) == (22, True), finished.stderr
    assert b'"authentication_failed"' in (tmp_path / "enrolled").read_bytes()
