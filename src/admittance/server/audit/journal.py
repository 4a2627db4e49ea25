"""The checkpoint journal: a file beside the database that remembers how far the audit chain had come.

One JSON object a line: ``{"number", "mac", "at", "seal"}``, where `seal` is the HMAC-SHA256 of the line under the
audit key and over the seal before it. Whoever cuts rows off the end of the audit table has to cut this file, too.
"""

import hashlib
import hmac
import os
from pathlib import Path

import msgspec

from admittance.errors import AuditBroken, ConfigurationError
from admittance.server.keys.file import check_private, sync_directory
from admittance.wire import cbor

_LABEL = "admittance/audit-checkpoint/1"
_FIRST_SEAL = bytes(32)


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Row `number` of the audit table had `mac` at Unix second `at`."""

    number: int
    mac: bytes
    at: int
    seal: bytes


class Journal:
    """Append-only; every line is on disk before `append` returns. `key` is the audit key, 32 bytes."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._key = key

    def append(self, number: int, mac: bytes, at: int) -> None:
        known = self.read()
        seal = self._seal(known[-1].seal if known else _FIRST_SEAL, number, mac, at)
        line = msgspec.json.encode(Checkpoint(number, mac, at, seal)) + b"\n"
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            content = file.read()
            torn = len(content) - (content.rfind(b"\n") + 1)
            if torn:
                file.truncate(len(content) - torn)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if not known:
            sync_directory(self._path.parent)

    def read(self) -> list[Checkpoint]:
        """All checkpoints, oldest first; a last line that a crash tore is left out.

        Raises `AuditBroken` at the first line that was changed.
        """
        if not self._path.exists():
            return []
        check_private(self._path)
        try:
            lines = self._path.read_bytes().split(b"\n")[:-1]
        except OSError as error:
            raise ConfigurationError(f"{self._path}: {error.strerror}") from None
        found: list[Checkpoint] = []
        seal = _FIRST_SEAL
        for position, line in enumerate(lines, start=1):
            try:
                checkpoint = msgspec.json.decode(line, type=Checkpoint)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                raise _changed(self._path, position, found) from None
            seal = self._seal(seal, checkpoint.number, checkpoint.mac, checkpoint.at)
            if not hmac.compare_digest(seal, checkpoint.seal):
                raise _changed(self._path, position, found)
            found.append(checkpoint)
        return found

    def _seal(self, previous: bytes, number: int, mac: bytes, at: int) -> bytes:
        return hmac.digest(self._key, cbor.encode([_LABEL, previous, number, mac, at]), hashlib.sha256)


def _changed(path: Path, position: int, found: list[Checkpoint]) -> AuditBroken:
    number = found[-1].number + 1 if found else 1
    return AuditBroken(number, f"Line {position} of {path} was changed; nothing after audit row {number} is certain.")
