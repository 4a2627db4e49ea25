"""The device's keys: identity from its making, in a file or in a TPM, and those that it makes for itself."""

import stat
from dataclasses import dataclass
from pathlib import Path
from secrets import token_bytes
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from admittance.device.state import KeyMaterial
from admittance.device.tpm.port import DeviceTpm, open_tpm
from admittance.errors import ConfigurationError, Malformed
from admittance.protocol.provisioning.transaction_state import DeviceKeys
from admittance.protocol.sealing import ClassicSealKey, HybridSealKey, SealKey, SymmetricSealKey
from admittance.protocol.signing import Signer, SoftwareSigner, spki_of
from admittance.wire.birth import Birth, decode_birth
from admittance.wire.device_id import device_id

IDENTITY_FILE: Final = "identity.key"
BIRTH_FILE: Final = "birth.json"
ATTESTATION_LABEL_BYTES: Final = 32


@dataclass(frozen=True)
class Made:
    """What the maker put into the device: its birth document, its identity key, and its TPM if it has one."""

    birth: Birth
    identity: Signer
    tpm: DeviceTpm | None = None


def read_birth(folder: Path) -> Birth:
    """Load the birth document alone. Raises `ConfigurationError` as `load_birth` does."""
    try:
        return decode_birth(_private_file(folder / BIRTH_FILE))
    except Malformed as error:
        raise ConfigurationError(f"{folder} does not hold a device's birth: {error}") from error


def load_birth(folder: Path, tcti: str = "") -> Made:
    """Load birth document and identity key from `folder`: a PEM file (PKCS #8), or with `tcti` the TPM there.

    Raises `ConfigurationError` if a file is missing, open to others, damaged, or if the two don't belong together;
    with a TPM also `TpmUnavailable` or `TpmRefused`.
    """
    birth = read_birth(folder)
    if birth.tpm is not None:
        return _made_with_tpm(birth, tcti or birth.tpm.tcti)
    try:
        identity = SoftwareSigner(_private_key(_private_file(folder / IDENTITY_FILE)))
    except Malformed as error:
        raise ConfigurationError(f"{folder} does not hold a device's birth: {error}") from error
    if device_id(identity.spki) != birth.device_id:
        raise ConfigurationError(f"The identity key in {folder} is not that of device {birth.device_id}.")
    return Made(birth, identity)


def _made_with_tpm(birth: Birth, tcti: str) -> Made:
    tpm = open_tpm(tcti)
    identity = tpm.identity()
    if device_id(identity.spki) != birth.device_id:
        raise ConfigurationError(
            f"The TPM at {tcti} is not that of device {birth.device_id}. Put the disk back into its own device, or "
            "have this one made anew."
        )
    return Made(birth, identity, tpm)


def make_keys(birth: Birth) -> KeyMaterial:
    """Make the keys of a device that boots for the first time or was reset."""
    seal = birth.seal
    seal_key = b""
    if seal == "hybrid":
        seal_key = HybridSealKey.generate().to_bytes()
    elif seal == "classic":
        seal_key = ClassicSealKey.generate().to_bytes()
    return KeyMaterial(
        seal=seal_key,
        channel=make_private_key(),
        access=make_private_key(),
        attestation=b"" if birth.tpm is None else token_bytes(ATTESTATION_LABEL_BYTES),
    )


def make_private_key() -> bytes:
    """A fresh P-256 key as PKCS #8 (DER)."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_private_key(der: bytes) -> ec.EllipticCurvePrivateKey:
    """Load what `make_private_key` made. Raises `Malformed`."""
    try:
        key = serialization.load_der_private_key(der, password=None)
    except (ValueError, TypeError) as error:
        raise Malformed("not a private key of this device") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Malformed("not a private key of this device")
    return key


def private_key_pem(der: bytes) -> bytes:
    """The same key as unencrypted PEM, as TLS takes it. Raises `Malformed`."""
    return load_private_key(der).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def device_keys(made: Made, material: KeyMaterial) -> DeviceKeys:
    """The keys as the transaction machine uses them. Raises `Malformed` if the material does not decode."""
    certificate = made.birth.identity_certificate
    return DeviceKeys(
        identity=made.identity,
        chain=() if certificate is None else (certificate,),
        seal=_seal_key(made.birth, material),
        channel_spki=spki_of(load_private_key(material.channel).public_key()),
        access_spki=spki_of(load_private_key(material.access).public_key()),
    )


def _seal_key(birth: Birth, material: KeyMaterial) -> SealKey:
    if birth.seal_key is not None:
        return SymmetricSealKey(birth.seal_key)
    if birth.seal == "hybrid":
        return HybridSealKey.from_bytes(material.seal)
    return ClassicSealKey.from_bytes(material.seal)


def _private_file(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            mode = stat.S_IMODE(path.stat().st_mode)
            data = stream.read()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    if mode & 0o077:
        raise ConfigurationError(f"{path} is open to others (mode {mode:04o}). Run: chmod 600 {path}")
    return data


def _private_key(pem: bytes) -> ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise Malformed("the identity key is not a PKCS #8 key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise Malformed("the identity key is neither P-256 nor Ed25519")
    return key
