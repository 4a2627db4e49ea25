"""The files of an app, as both ends name them."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from admittance.errors import Malformed
from admittance.wire import cbor
from admittance.wire.integrity import MAX_PATH_CHARACTERS

_LISTING = "admittance/integrity-listing/1"


@dataclass(frozen=True, order=True)
class ListedFile:
    """A file's path within the app, with ``/`` between folders, and its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class FileRange:
    """`length` bytes of a file, from `offset` on."""

    path: str
    offset: int
    length: int


def listing_digest(files: Iterable[ListedFile]) -> bytes:
    """SHA-256 over all paths and sizes: a file more, less, or of another size changes it."""
    entries = [[file.path, file.size] for file in sorted(files)]
    return hashlib.sha256(cbor.encode([_LISTING, entries])).digest()


def check_path(path: str) -> str:
    """A path within an app: relative, without empty parts, ``.`` and ``..``. Raises `Malformed`."""
    parts = path.split("/")
    if len(path) > MAX_PATH_CHARACTERS or any(part in ("", ".", "..") or "\x00" in part for part in parts):
        raise Malformed("That is no path of a file within an app.")
    return path
