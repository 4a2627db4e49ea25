"""A key-encryption key in a file that only the server's user can read."""

import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from admittance.errors import ConfigurationError

KEY_BYTES = 32
_NONCE_BYTES = 12


class FileKeyEncryption:
    """AES-256-GCM under the 32 bytes of a file. Raises `ConfigurationError` for a file unfit for that."""

    def __init__(self, path: Path) -> None:
        key = read_secret(path)
        if len(key) != KEY_BYTES:
            raise ConfigurationError(f"{path} must hold exactly {KEY_BYTES} bytes, it holds {len(key)}")
        self._cipher = AESGCM(key)

    def wrap(self, plaintext: bytes, context: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plaintext, context)

    def unwrap(self, data: bytes, context: bytes) -> bytes:
        try:
            return self._cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise ConfigurationError(
                "A stored secret does not open: the key-encryption key is not the one it was stored under, "
                "or the database was changed. Restore the key file that belongs to this database."
            ) from None


def check_private(path: Path) -> None:
    """Raises `ConfigurationError` unless `path` is a plain file of ours that nobody else can open."""
    try:
        status = path.lstat()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{path} is not a plain file")
    if status.st_uid != os.geteuid():
        raise ConfigurationError(f"{path} belongs to user {status.st_uid}; run as that user, or chown it")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigurationError(f"{path} can be opened by others (mode {mode:04o}); run: chmod 600 {path}")


def read_secret(path: Path) -> bytes:
    """The bytes of a private file. Raises `ConfigurationError` as `check_private` does."""
    check_private(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None


def create_secret(path: Path, content: bytes) -> bool:
    """Create a private file, whole or not at all, even when the machine stops in the middle.

    Returns False, and changes nothing, when the file exists: its content wins.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
    finally:
        temporary.unlink()
    sync_directory(path.parent)
    return True


def replace_file(path: Path, content: bytes) -> None:
    """Write a private file, replacing an older one, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
