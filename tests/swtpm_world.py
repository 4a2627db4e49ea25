"""Software TPMs (swtpm) on unix sockets, with EK certificates of a local CA; they end with their test."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

EkKind = Literal["rsa", "p256", "p384"]
EK_KINDS: tuple[EkKind, ...] = ("rsa", "p256", "p384")

EK_CERTIFICATE = x509.ObjectIdentifier("2.23.133.8.1")
_CERTIFICATE_INDEX = {"rsa": "0x1c00002", "p384": "0x1c00016"}
_EK_HANDLE = {"rsa": "0x81010001", "p256": "0x8101000a", "p384": "0x81010016"}
_SETTLE_S = 10.0


def key_usage(**allowed: bool) -> x509.KeyUsage:
    """A key usage that allows what is named and nothing else."""
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in names})


@dataclass
class EkAuthority:
    """A maker of TPMs: a root that issues endorsement key certificates, itself or through an intermediate CA."""

    name: str = "Test TPM maker"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.certificate = self.ca(self.name, self.key, self.name, self.key, path_length=1)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def ca(
        self,
        subject: str,
        key: ec.EllipticCurvePrivateKey,
        issuer: str,
        issuer_key: ec.EllipticCurvePrivateKey,
        *,
        path_length: int | None = 0,
        signs: bool = True,
    ) -> x509.Certificate:
        """A CA's certificate."""
        builder = self._builder(subject, key.public_key(), issuer)
        builder = builder.add_extension(x509.BasicConstraints(True, path_length), critical=True)
        builder = builder.add_extension(key_usage(key_cert_sign=signs, crl_sign=True), critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        return builder.add_extension(identifier, critical=False).sign(issuer_key, hashes.SHA256())

    def endorse(self, spki: bytes, **changes: object) -> bytes:
        """An endorsement key certificate (DER) for a key, as a TPM's maker issues it."""
        key = serialization.load_der_public_key(spki)
        rsa_key = not isinstance(key, ec.EllipticCurvePublicKey)
        usage = key_usage(key_encipherment=rsa_key, key_agreement=not rsa_key)
        builder = self._builder(None, key, str(changes.get("issuer", self.name)))
        builder = builder.add_extension(x509.BasicConstraints(bool(changes.get("ca")), None), critical=True)
        builder = builder.add_extension(changes.get("usage", usage), critical=True)
        purposes = changes.get("purposes", [EK_CERTIFICATE])
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        directory = x509.Name([x509.NameAttribute(x509.ObjectIdentifier("2.23.133.2.1"), "id:00001014")])
        alternative = x509.SubjectAlternativeName([x509.DirectoryName(directory)])
        builder = builder.add_extension(alternative, critical=True)
        for extension in changes.get("extensions", []):
            builder = builder.add_extension(extension, critical=True)
        return builder.sign(changes.get("signed_by", self.key), hashes.SHA256()).public_bytes(Encoding.DER)

    def _builder(self, subject: str | None, key: object, issuer: str) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(_named(subject))
            .issuer_name(_named(issuer))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - timedelta(hours=1))
            .not_valid_after(self.now + timedelta(days=30))
        )


@dataclass(frozen=True)
class Swtpm:
    """A running software TPM. `chains` holds the certificate chain (DER) of each of its endorsement keys."""

    folder: Path
    chains: dict[EkKind, tuple[bytes, ...]]

    @property
    def tcti(self) -> str:
        return f"swtpm:path={self.folder / 'socket'}"

    def tool(self, *arguments: str | Path) -> str:
        """Run one of tpm2-tools on this TPM, in its folder, and flush what it leaves in the TPM's memory."""
        output = _run(self, *arguments)
        _run(self, "tpm2_flushcontext", "--transient-object")
        return output

    def ek_handle(self, kind: EkKind) -> str:
        """The persistent handle of an endorsement key."""
        return _EK_HANDLE[kind]

    def ek_public(self, kind: EkKind) -> bytes:
        """The TPMT_PUBLIC of an endorsement key."""
        name = f"ek-{kind}.pub"
        self.tool("tpm2_readpublic", "-c", _EK_HANDLE[kind], "-o", name)
        return (self.folder / name).read_bytes()[2:]


@contextmanager
def swtpm(folder: Path, authority: EkAuthority) -> Iterator[Swtpm]:
    """Manufacture a TPM whose RSA, P-256 and P-384 endorsement keys `authority` certifies, and run it."""
    folder.mkdir(parents=True, exist_ok=True)
    _manufacture(folder, authority)
    process = subprocess.Popen(
        [
            "swtpm",
            "socket",
            "--tpm2",
            "--tpmstate",
            f"dir={folder / 'state'}",
            "--server",
            f"type=unixio,path={folder / 'socket'}",
            "--ctrl",
            f"type=unixio,path={folder / 'socket.ctrl'}",
            "--flags",
            "not-need-init,startup-clear",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_socket(process, folder / "socket")
        running = Swtpm(folder, {})
        running.chains.update(_chains(running, authority))
        yield running
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_SETTLE_S)
        process.kill()
        process.wait()


def _manufacture(folder: Path, authority: EkAuthority) -> None:
    (folder / "state").mkdir()
    key = authority.key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "ca.key").write_bytes(key)
    (folder / "ca.pem").write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    (folder / "localca.conf").write_text(
        f"statedir = {folder}\nsigningkey = {folder}/ca.key\nissuercert = {folder}/ca.pem\n"
        f"certserial = {folder}/serial\n"
    )
    (folder / "localca.options").touch()
    (folder / "setup.conf").write_text(
        "create_certs_tool = /usr/bin/swtpm_localca\n"
        f"create_certs_tool_config = {folder}/localca.conf\n"
        f"create_certs_tool_options = {folder}/localca.options\n"
        "active_pcr_banks = sha256\n"
    )
    setup = ["swtpm_setup", "--tpm2", "--tpm-state", f"dir://{folder}/state", "--create-ek-cert"]
    files = ["--config", str(folder / "setup.conf"), "--logfile", str(folder / "setup.log")]
    subprocess.run(setup + files, check=True, capture_output=True)


def _chains(tpm: Swtpm, authority: EkAuthority) -> dict[EkKind, tuple[bytes, ...]]:
    """The certificates that swtpm_localca put into NV; the P-256 key, which it leaves out, is certified here."""
    chains: dict[EkKind, tuple[bytes, ...]] = {}
    for kind, index in _CERTIFICATE_INDEX.items():
        tpm.tool("tpm2_nvread", "-C", "o", "-o", f"ek-{kind}.der", index)
        chains[kind] = ((tpm.folder / f"ek-{kind}.der").read_bytes(),)
    tpm.tool("tpm2_createek", "-G", "ecc", "-c", _EK_HANDLE["p256"], "-f", "pem", "-u", "ek-p256.pem")
    public = serialization.load_pem_public_key((tpm.folder / "ek-p256.pem").read_bytes())
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    chains["p256"] = (authority.endorse(spki),)
    return chains


def _run(tpm: Swtpm, *arguments: str | Path) -> str:
    finished = subprocess.run(
        [str(argument) for argument in arguments],
        cwd=tpm.folder,
        env={"PATH": "/usr/bin:/bin", "TPM2TOOLS_TCTI": tpm.tcti, "TSS2_LOG": "all+none"},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, arguments))}: {finished.stderr}")
    return finished.stdout


def _await_socket(process: subprocess.Popen[bytes], socket: Path) -> None:
    deadline = time.monotonic() + _SETTLE_S
    while not socket.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError("swtpm did not start")
        time.sleep(0.01)


def _named(common_name: str | None) -> x509.Name:
    return x509.Name([] if common_name is None else [x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
