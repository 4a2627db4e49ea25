"""An app as a folder of files."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from admittance.errors import ConfigurationError, Malformed
from admittance.protocol.integrity.files import FileRange, ListedFile, check_path
from admittance.wire.integrity import MAX_FILES

MAX_APP_BYTES = 512 * 1024 * 1024
LEFT_OUT = "__pycache__"
"""Folders of this name are not part of an app: what Python keeps there differs from machine to machine."""


class AppFolder:
    """The files below `root`, but for those in folders named `LEFT_OUT`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def listing(self) -> tuple[ListedFile, ...]:
        """Every file, by path.

        Raises:
            ConfigurationError: the folder can't be read, or holds no file.
            Malformed: something in it is neither a plain file nor a folder, has a name that is not UTF-8, or there
                are too many files, or bytes.
        """
        try:
            found = tuple(sorted(self._below(self.root, "")))
        except OSError as error:
            raise ConfigurationError(f"{error.filename or self.root}: {error.strerror}") from None
        if not found:
            raise ConfigurationError(f"{self.root} holds no file of an app.")
        if len(found) > MAX_FILES or sum(file.size for file in found) > MAX_APP_BYTES:
            raise Malformed(f"An app has at most {MAX_FILES} files and {MAX_APP_BYTES} bytes.")
        return found

    def read(self, part: FileRange) -> bytes:
        """The bytes of a range; fewer, or none, where the file ends before or can't be read."""
        try:
            with (self.root / part.path).open("rb") as file:
                file.seek(part.offset)
                return file.read(part.length)
        except OSError:
            return b""

    def content(self, path: str) -> bytes:
        """A whole file. Raises `ConfigurationError`."""
        try:
            return (self.root / path).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{self.root / path}: {error.strerror}") from None

    def _below(self, folder: Path, prefix: str) -> Iterator[ListedFile]:
        with os.scandir(folder) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if not entry.name.isprintable():
                    raise Malformed(f"{folder} holds a file whose name is no text.")
                path = check_path(f"{prefix}{entry.name}")
                if stat.S_ISDIR(status.st_mode):
                    if entry.name != LEFT_OUT:
                        yield from self._below(Path(entry.path), f"{path}/")
                elif stat.S_ISREG(status.st_mode):
                    yield ListedFile(path, status.st_size)
                else:
                    raise Malformed(f"{entry.path} is neither a plain file nor a folder.")


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
