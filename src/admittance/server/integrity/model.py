"""Values of the integrity service."""

import hashlib
from dataclasses import dataclass

import msgspec

from admittance.protocol.integrity.files import ListedFile


class MeasuredFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a release: its path within the app, its size in bytes and its SHA-256."""

    path: str
    size: int
    sha256: bytes

    @property
    def listed(self) -> ListedFile:
        return ListedFile(self.path, self.size)


@dataclass(frozen=True)
class Release:
    """A version of an app that counts as the untampered one; `files` are ordered by path."""

    client_id: str
    version: str
    verifier: str
    files: tuple[MeasuredFile, ...]
    added_at: int
    retired_at: int | None = None

    @property
    def total_bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def listing(self) -> tuple[ListedFile, ...]:
        return tuple(file.listed for file in self.files)

    @property
    def digest(self) -> bytes:
        """SHA-256 over paths, sizes and contents: what two measurements of the same app agree in."""
        return hashlib.sha256(encode_files(self.files)).digest()


@dataclass(frozen=True, repr=False)
class OpenChallenge:
    """A challenge that an app may still answer, or did. `source` (32 bytes) hides where it was asked from."""

    challenge: bytes
    client_id: str
    version: str
    jkt: str
    jwk: dict[str, str]
    source: bytes
    randomness: bytes
    nonce: bytes
    coverage_percent: int
    issued_at: int
    expires_at: int


def encode_files(files: tuple[MeasuredFile, ...]) -> bytes:
    return msgspec.json.encode(files)


def decode_files(data: bytes) -> tuple[MeasuredFile, ...]:
    return msgspec.json.decode(data, type=tuple[MeasuredFile, ...])
