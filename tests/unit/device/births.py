"""A device as its maker left it."""

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.device.keys import Made, load_birth
from admittance.protocol.signing import spki_of
from admittance.wire.birth import Birth, Presence, Seal, TpmAccess, access_point_ssid, encode_birth
from admittance.wire.device_id import device_id


def make_birth(
    folder: Path,
    *,
    origin: str = "https://localhost:8443",
    root_spki_sha256: bytes = b"r" * 32,
    presence: Presence = "display",
    seal: Seal = "hybrid",
) -> Made:
    """Write identity and birth document into `folder`, and load them."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    birth = birth_of(
        spki_of(key.public_key()), origin=origin, root_spki_sha256=root_spki_sha256, presence=presence, seal=seal
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_private(folder / "identity.key", pem)
    write_private(folder / "birth.json", encode_birth(birth))
    return load_birth(folder)


def birth_of(
    identity_spki: bytes,
    *,
    origin: str = "https://localhost:8443",
    root_spki_sha256: bytes = b"r" * 32,
    presence: Presence = "display",
    seal: Seal = "hybrid",
    tpm: TpmAccess | None = None,
) -> Birth:
    """The birth document of a device with this identity."""
    identifier = device_id(identity_spki)
    return Birth(
        device_id=identifier,
        model="lamp",
        presence=presence,
        server_origin=origin,
        configuration_root_sha256=root_spki_sha256,
        access_point_ssid=access_point_ssid(identifier),
        access_point_passphrase="a passphrase",
        presence_key=b"p" * 32 if presence == "button" else None,
        seal=seal,
        seal_key=b"k" * 32 if seal == "symmetric" else None,
        identity_certificate=None,
        tpm=tpm,
    )


def write_private(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)
