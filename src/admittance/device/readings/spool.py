"""Batches of readings that wait for the server: a file each, numbered, in a folder of the epoch.

The folder is bounded: the oldest batch gives way, and is counted. The latest batch that the server took leaves an
empty file, so that numbers go on after it.
"""

from pathlib import Path
from typing import Final

from admittance.device.files import Files, write_atomically
from admittance.wire.senml import Record, encode

MAX_BYTES: Final = 512 * 1024
MAX_BATCHES: Final = 256
_WAITING: Final = ".senml"
_DONE: Final = ".done"


class Spool:
    """The batches of one epoch, in a folder of their own below `folder`; those of other epochs are removed."""

    def __init__(self, folder: Path, epoch: int, files: Files | None = None) -> None:
        self._files = files or Files()
        self._folder = folder / str(epoch)
        for other in folder.glob("*"):
            if other != self._folder:
                self._files.remove_folder(other)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._waiting = {number: self._size(number) for number in self._numbers(_WAITING)}
        done = self._numbers(_DONE)
        self._last = max([0, *self._waiting, *done])
        self.is_fresh = not done
        """Whether the server's last number of this epoch is not known, as after a factory reset."""
        self.dropped = 0
        """Batches that gave way since the start of the agent."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, records: list[Record]) -> None:
        """Keep a batch of 1 to 256 records. When this returns, it survives a power cut."""
        data = encode(records)
        self._last += 1
        write_atomically(self._path(self._last, _WAITING), data, self._files)
        self._waiting[self._last] = len(data)
        while len(self._waiting) > MAX_BATCHES or sum(self._waiting.values()) > MAX_BYTES:
            self._forget(min(self._waiting))
            self.dropped += 1

    def oldest(self) -> tuple[int, bytes] | None:
        """Number and pack of the batch to send next, if there is one."""
        if not self._waiting:
            return None
        number = min(self._waiting)
        return number, self._files.read(self._path(number, _WAITING)) or b""

    def continue_after(self, number: int) -> None:
        """Number what waits, and what follows, from the server's last number on."""
        for waiting in sorted(self._waiting, reverse=True):
            self._files.replace(self._path(waiting, _WAITING), self._path(waiting + number, _WAITING))
        self._waiting = {waiting + number: size for waiting, size in self._waiting.items()}
        self._last += number
        self._files.write(self._path(number, _DONE), b"")
        self._files.sync_folder(self._folder)
        self.is_fresh = False

    def accepted(self, number: int) -> None:
        """The server has the batch of this number, and all before it."""
        if number > self._last:
            self._last = number
        self._files.write(self._path(number, _DONE), b"")
        for waiting in sorted(self._waiting):
            if waiting <= number:
                self._forget(waiting)
        for done in self._numbers(_DONE):
            if done < number:
                self._files.remove(self._path(done, _DONE))
        self._files.sync_folder(self._folder)

    def clear(self) -> None:
        """Forget every batch that waits; numbers go on."""
        if self._last:
            self.accepted(self._last)

    def _forget(self, number: int) -> None:
        self._files.remove(self._path(number, _WAITING))
        del self._waiting[number]

    def _path(self, number: int, suffix: str) -> Path:
        return self._folder / f"{number}{suffix}"

    def _size(self, number: int) -> int:
        return self._path(number, _WAITING).stat().st_size

    def _numbers(self, suffix: str) -> list[int]:
        return [int(path.stem) for path in self._folder.glob(f"*{suffix}") if path.stem.isdecimal()]
