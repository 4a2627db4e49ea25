"""The server's own keys: one key, one purpose, each in a file of its own that only the server's user can read.

At the first start what is missing is made, one file at a time and each whole or not at all; a start that was cut
short goes on where it stopped. Once all are there, a file named ``complete`` says so, and from then on a missing
key is an error: making a new one would silently disown every device.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from admittance.errors import ConfigurationError
from admittance.protocol.signing import spki_of
from admittance.server.keys import certificates
from admittance.server.keys.file import FileKeyEncryption, create_secret, read_secret
from admittance.server.keys.token_keys import TokenKeys, create_token_key

KEY_ENCRYPTION_FILE = "key-encryption.key"
COMPLETE_FILE = "complete"


@dataclass(frozen=True, repr=False)
class Authority:
    """A key and its self-signed CA certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def certificate_der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True, repr=False)
class Keystore:
    """What `open_keystore` read. Nothing of it is ever logged or shown.

    `configuration_chain` is the configuration key's certificate and its root (DER): what `protocol.sealing` wants.
    `issuing_ca` issues operational certificates; `tls_anchor` certifies the device listeners, `people_ca` the people
    listener where no certificate is configured. `channel_key` is the server's own end of its conversations with
    devices (EDHOC, P-256); devices pin its public key. `token_keys` sign access tokens, one after the other;
    `device_token_key` signs offline tokens and epoch lists: devices pin its public key, and that of
    `next_device_token_key` if there is one. The HMAC keys have 32 bytes each.
    """

    directory: Path
    configuration_key: ec.EllipticCurvePrivateKey
    configuration_chain: tuple[bytes, bytes]
    issuing_ca: Authority
    tls_anchor: Authority
    people_ca: Authority
    channel_key: ec.EllipticCurvePrivateKey
    device_token_key: ec.EllipticCurvePrivateKey
    next_device_token_key: ec.EllipticCurvePrivateKey | None
    manifest_key: X25519PrivateKey
    token_keys: TokenKeys
    key_encryption: FileKeyEncryption
    code_key: bytes
    dpop_nonce_key: bytes
    audit_key: bytes
    dummy_key: bytes

    @property
    def configuration_root(self) -> bytes:
        """The configuration root's certificate (DER); devices are made with the SHA-256 of its SPKI."""
        return self.configuration_chain[1]

    @property
    def channel_spki(self) -> bytes:
        """The public part of the channel key (SPKI, 91 bytes), as sealed configurations carry it."""
        return spki_of(self.channel_key.public_key())

    @property
    def device_token_spkis(self) -> tuple[bytes, ...]:
        """The public parts (SPKI) of the keys for offline tokens, as sealed configurations carry them."""
        keys = (self.device_token_key, self.next_device_token_key)
        return tuple(spki_of(key.public_key()) for key in keys if key is not None)

    @property
    def manifest_public_key(self) -> bytes:
        """X25519 public key (32 bytes) to which makers encrypt the secrets of their manifests."""
        return self.manifest_key.public_key().public_bytes_raw()


def open_keystore(
    directory: Path, *, now: float, create: bool = True, key_encryption_file: Path | None = None
) -> Keystore:
    """Read every key, making those that are missing if this is the first start and `create` is true.

    `key_encryption_file` names a key-encryption key kept elsewhere; the others stay in `directory`.
    Raises `ConfigurationError` for a file that is missing, unreadable, or open to others.
    """
    if create:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_directory(directory)
    files = KeyFiles(directory, now, create and not (directory / COMPLETE_FILE).exists())
    root_certificate, signer, signer_certificate = _configuration(files)
    if key_encryption_file is None:
        key_encryption_file = files.random(KEY_ENCRYPTION_FILE)
    keystore = Keystore(
        directory=directory,
        configuration_key=signer,
        configuration_chain=(_der(signer_certificate), _der(root_certificate)),
        issuing_ca=files.authority("issuing-ca", "Admittance issuing CA"),
        tls_anchor=files.authority("tls-anchor", "Admittance device TLS anchor"),
        people_ca=files.authority("people-ca", "Admittance people CA"),
        channel_key=files.ec("channel.key"),
        device_token_key=files.ec("device-token.key"),
        next_device_token_key=files.ec_if_there("device-token-next.key"),
        manifest_key=files.x25519("manifest.key"),
        token_keys=files.token_keys(),
        key_encryption=FileKeyEncryption(key_encryption_file),
        code_key=read_secret(files.random("code.key")),
        dpop_nonce_key=read_secret(files.random("dpop-nonce.key")),
        audit_key=read_secret(files.random("audit.key")),
        dummy_key=read_secret(files.random("dummy.key")),
    )
    if files.create:
        create_secret(directory / COMPLETE_FILE, b"All keys are made; a missing one must be restored.\n")
    return keystore


def check_directory(directory: Path) -> None:
    """Raises `ConfigurationError` unless `directory` is ours and closed to others."""
    try:
        status = directory.stat()
    except OSError as error:
        raise ConfigurationError(f"{directory}: {error.strerror}") from None
    if status.st_uid != os.geteuid():
        raise ConfigurationError(f"{directory} belongs to user {status.st_uid}; run as that user, or chown it")
    if status.st_mode & 0o077:
        raise ConfigurationError(f"{directory} can be opened by others; run: chmod 700 {directory}")


def _configuration(files: "KeyFiles") -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey, x509.Certificate]:
    """The configuration root's certificate, and the signer that it certified.

    The root's key may be taken offline once the signer has its certificate.
    """
    signer = files.ec("configuration-signer.key")
    if (files.directory / "configuration-signer.crt").exists():
        root_certificate = files.certificate("configuration-root.crt")
        signer_certificate = files.certificate("configuration-signer.crt")
    else:
        root = files.authority("configuration-root", "Admittance configuration root")
        root_certificate = root.certificate
        made = certificates.signer_certificate(
            signer.public_key(), "Admittance configuration signer", root_certificate, root.key, files.now
        )
        files.store("configuration-signer.crt", _pem(made))
        signer_certificate = files.certificate("configuration-signer.crt")
    try:
        signer_certificate.verify_directly_issued_by(root_certificate)
    except (ValueError, TypeError, InvalidSignature):
        raise ConfigurationError(
            f"{files.directory / 'configuration-signer.crt'} was not issued by configuration-root.crt beside it"
        ) from None
    _check_pair(files.directory / "configuration-signer.crt", signer, signer_certificate)
    return root_certificate, signer, signer_certificate


class KeyFiles:
    """Reads the key files in `directory`, and makes the missing ones while `create` is true.

    Every method raises `ConfigurationError` for a file that is missing, unreadable, or open to others.
    """

    def __init__(self, directory: Path, now: float, create: bool) -> None:
        self.directory = directory
        self.now = now
        self.create = create

    def store(self, name: str, content: bytes) -> None:
        path = self.directory / name
        if path.exists():
            return
        if not self.create:
            raise ConfigurationError(f"{path} is missing; restore it from the backup of this server")
        create_secret(path, content)

    def random(self, name: str) -> Path:
        self.store(name, os.urandom(32))
        return self.directory / name

    def ec_if_there(self, name: str) -> ec.EllipticCurvePrivateKey | None:
        return self.ec(name) if (self.directory / name).exists() else None

    def ec(self, name: str) -> ec.EllipticCurvePrivateKey:
        self.store(name, _private_pem(certificates.new_key()))
        key = self._private_key(name)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ConfigurationError(f"{self.directory / name} is not a P-256 key")
        return key

    def x25519(self, name: str) -> X25519PrivateKey:
        self.store(name, _private_pem(X25519PrivateKey.generate()))
        key = self._private_key(name)
        if not isinstance(key, X25519PrivateKey):
            raise ConfigurationError(f"{self.directory / name} is not an X25519 key")
        return key

    def token_keys(self) -> TokenKeys:
        if self.create:
            create_token_key(self.directory, 0)
        keys = TokenKeys(self.directory)
        keys.signing(self.now)
        return keys

    def authority(self, name: str, common_name: str) -> Authority:
        key = self.ec(f"{name}.key")
        if not (self.directory / f"{name}.crt").exists():
            # The key is part of the name: two servers' CAs must not share one.
            short = _fingerprint(key.public_key())
            made = certificates.certificate_authority(key, f"{common_name} {short}", self.now)
            self.store(f"{name}.crt", _pem(made))
        certificate = self.certificate(f"{name}.crt")
        _check_pair(self.directory / f"{name}.crt", key, certificate)
        return Authority(key, certificate)

    def certificate(self, name: str) -> x509.Certificate:
        path = self.directory / name
        try:
            return x509.load_pem_x509_certificate(read_secret(path))
        except ValueError:
            raise ConfigurationError(f"{path} is not a certificate in PEM") from None

    def _private_key(self, name: str) -> PrivateKeyTypes:
        path = self.directory / name
        try:
            return serialization.load_pem_private_key(read_secret(path), password=None)
        except (ValueError, TypeError):
            raise ConfigurationError(f"{path} is not a private key in PEM (PKCS #8, not encrypted)") from None


def _check_pair(path: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    if certificate.public_key() != key.public_key():
        raise ConfigurationError(f"{path} does not belong to the key beside it")


def _private_pem(key: ec.EllipticCurvePrivateKey | X25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(spki)
    return digest.finalize()[:4].hex()


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)
