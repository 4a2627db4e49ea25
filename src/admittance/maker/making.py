"""Making a batch of devices: identity keys, births and the manifest.

Whoever is killed while making runs the same command again: a device appears in the batch whole, by one
rename, and in the manifest only after that, by one line.
"""

import datetime
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from admittance.errors import ConfigurationError, Malformed
from admittance.maker.authority import IdentityPublicKey, Maker, private_pem
from admittance.maker.bundle import ServerBundle
from admittance.maker.endorsement import open_endorsement
from admittance.maker.files import sync_directory, write_private
from admittance.wire import crockford
from admittance.wire.birth import (
    Birth,
    EkKind,
    Presence,
    Seal,
    TpmAccess,
    access_point_ssid,
    check_model,
    decode_birth,
    encode_birth,
)
from admittance.wire.device_id import device_id
from admittance.wire.manifest import (
    DeviceSecrets,
    ManifestEntry,
    decode_line,
    encode_line,
    encode_secrets,
    secrets_info,
)

Algorithm = Literal["p256", "ed25519"]

MANIFEST = "manifest.jsonl"
IDENTITY_KEY = "identity.key"
BIRTH = "birth.json"
TPM_STATE = "tpm"
IDENTITY_PUBLIC_KEY = "identity.spki"
EK_CERTIFICATE = "ek-certificate.der"

_PLAN = "batch.json"
_UNFINISHED = ".making-"
_PASSPHRASE_BYTES = 10
_MANIFEST_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class BatchPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all devices of a batch have in common. With `ek` each has a software TPM with an endorsement key of that
    kind, which holds its identity key."""

    model: str
    presence: Presence
    seal: Seal
    certified: bool
    algorithm: Algorithm
    ek: EkKind | None = None


@dataclass(frozen=True)
class MadeDevice:
    device_id: str
    directory: Path


def make_batch(maker: Maker, plan: BatchPlan, count: int, out: Path, now: datetime.datetime) -> Iterator[MadeDevice]:
    """Make devices until `out` holds `count` of them, and yield each one made.

    Raises `ConfigurationError` when `out` holds another kind of batch, or another process works on it.
    """
    check_model(plan.model)
    if plan.ek is not None and plan.algorithm != "p256":
        raise ConfigurationError("The identity key in a TPM is a P-256 key; choose --key p256.")
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(out):
        _keep_plan(out, plan)
        listed = _recover(maker, out)
        for _ in range(count - listed):
            made = _make_device(maker, plan, out, now)
            _append(out, _manifest_line(maker.bundle, made.directory))
            yield made


def batch_devices(out: Path) -> list[MadeDevice]:
    """Return the whole devices in a batch, by id. Raises `ConfigurationError` if `out` is no batch."""
    if not (out / _PLAN).exists():
        raise ConfigurationError(f"{out} holds no batch. Run: admit maker make … --out {out}")
    return sorted(
        (MadeDevice(path.parent.name, path.parent) for path in out.glob(f"AD*/{BIRTH}")),
        key=lambda device: device.device_id,
    )


def _keep_plan(out: Path, plan: BatchPlan) -> None:
    path = out / _PLAN
    if not path.exists():
        write_private(path, msgspec.json.encode(plan) + b"\n")
        return
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=BatchPlan)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ConfigurationError(f"{path} is damaged; choose another --out.") from None
    if kept != plan:
        raise ConfigurationError(f"{out} holds a batch of another kind ({kept.model}); choose another --out.")


def _recover(maker: Maker, out: Path) -> int:
    """Clear what a killed run left, list its whole devices, and return how many there are."""
    for path in out.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(path)
    listed = _listed(out)
    made = batch_devices(out)
    for device in made:
        if device.device_id not in listed:
            _append(out, _manifest_line(maker.bundle, device.directory))
    return len(made)


def _listed(out: Path) -> set[str]:
    """Return the ids in the manifest; a last line that was cut short is removed first."""
    path = out / MANIFEST
    if not path.exists():
        return set()
    with path.open("r+b") as file:
        data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            file.truncate(len(whole))
    try:
        return {decode_line(line).device_id for line in whole.splitlines()}
    except Malformed as error:
        raise ConfigurationError(f"{path} is damaged: {error}") from None


def _make_device(maker: Maker, plan: BatchPlan, out: Path, now: datetime.datetime) -> MadeDevice:
    unfinished = out / f"{_UNFINISHED}{secrets.token_hex(8)}"
    unfinished.mkdir(mode=0o700)
    public_key = _make_identity(maker, plan, unfinished, now)
    identifier = device_id(_spki(public_key))
    certificate = None
    if plan.certified:
        certificate = maker.certify(public_key, device_id=identifier, model=plan.model, now=now)
    birth = Birth(
        device_id=identifier,
        model=plan.model,
        presence=plan.presence,
        server_origin=maker.bundle.origin,
        configuration_root_sha256=maker.bundle.configuration_root_sha256,
        access_point_ssid=access_point_ssid(identifier),
        access_point_passphrase=crockford.encode(secrets.token_bytes(_PASSPHRASE_BYTES)),
        presence_key=secrets.token_bytes(32) if plan.presence == "button" else None,
        seal=plan.seal,
        seal_key=secrets.token_bytes(32) if plan.seal == "symmetric" else None,
        identity_certificate=certificate,
        tpm=None if plan.ek is None else TpmAccess(swtpm_state=TPM_STATE),
    )
    write_private(unfinished / BIRTH, encode_birth(birth))
    finished = unfinished.rename(out / identifier)
    sync_directory(out)
    return MadeDevice(identifier, finished)


def _make_identity(maker: Maker, plan: BatchPlan, directory: Path, now: datetime.datetime) -> IdentityPublicKey:
    """Make the identity key in `directory`: a file, or a TPM with what the maker keeps of it."""
    if plan.ek is None:
        key = Ed25519PrivateKey.generate() if plan.algorithm == "ed25519" else _p256_key()
        write_private(directory / IDENTITY_KEY, private_pem(key))
        return key.public_key()
    from admittance.maker.tpm import manufacture

    made = manufacture(directory / TPM_STATE, plan.ek, open_endorsement(maker.directory), now)
    write_private(directory / IDENTITY_PUBLIC_KEY, made.identity_spki)
    write_private(directory / EK_CERTIFICATE, made.ek_certificate)
    return _p256_public_key(made.identity_spki)


def _manifest_line(bundle: ServerBundle, directory: Path) -> bytes:
    birth = decode_birth((directory / BIRTH).read_bytes())
    plaintext = encode_secrets(
        DeviceSecrets(
            access_point_ssid=birth.access_point_ssid,
            access_point_passphrase=birth.access_point_passphrase,
            presence_key=birth.presence_key,
            seal_key=birth.seal_key,
        )
    )
    return encode_line(
        ManifestEntry(
            device_id=birth.device_id,
            model=birth.model,
            presence=birth.presence,
            identity_spki=_identity_spki(birth, directory),
            identity_certificate=birth.identity_certificate,
            secrets=_MANIFEST_SUITE.encrypt(plaintext, bundle.manifest_key, info=secrets_info(birth.device_id)),
            ek_certificate=None if birth.tpm is None else (directory / EK_CERTIFICATE).read_bytes(),
        )
    )


def _identity_spki(birth: Birth, directory: Path) -> bytes:
    if birth.tpm is not None:
        return (directory / IDENTITY_PUBLIC_KEY).read_bytes()
    key = load_pem_private_key((directory / IDENTITY_KEY).read_bytes(), password=None)
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _append(out: Path, line: bytes) -> None:
    descriptor = os.open(out / MANIFEST, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    with (out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"Another process is making devices in {out}.") from None
        yield


def _p256_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _p256_public_key(spki: bytes) -> ec.EllipticCurvePublicKey:
    key = load_der_public_key(spki)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Malformed("The TPM's identity key is not a P-256 key.")
    return key


def _spki(key: IdentityPublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
