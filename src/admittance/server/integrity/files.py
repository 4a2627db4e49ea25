"""Copies of measured files, by the SHA-256 of their content: answers are keyed by a nonce, so digests don't do."""

import os
from pathlib import Path

from admittance.errors import ConfigurationError
from admittance.measuring.folder import sha256
from admittance.server.keys.file import sync_directory


class FileCopies:
    """One file for each content, below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, content: bytes) -> bytes:
        """Keep a copy, whole or not at all; returns its SHA-256."""
        digest = sha256(content)
        path = self._path(digest)
        if path.exists():
            return digest
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
        return digest

    def read(self, digest: bytes, offset: int, length: int) -> bytes:
        """A part of a copy. Raises `ConfigurationError` when it is not there or cut off."""
        path = self._path(digest)
        try:
            with path.open("rb") as file:
                file.seek(offset)
                found = file.read(length)
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}; add the release once more") from None
        if len(found) != length:
            raise ConfigurationError(f"{path} is cut off; delete it and add the release once more")
        return found

    def _path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._folder / name[:2] / name
