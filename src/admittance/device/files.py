"""Files that survive a kill at any instant: written aside, synced, and renamed into place.

`Files` is the port that tests replace to stop between any two steps.
"""

import contextlib
import os
from pathlib import Path

PRIVATE_MODE = 0o600


class Files:
    """The file system, in the steps that an atomic replacement needs."""

    def read(self, path: Path) -> bytes | None:
        """Return the file's bytes, or None if there is none."""
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None

    def write(self, path: Path, data: bytes) -> None:
        """Create or overwrite a private file and sync its bytes to the disk."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_MODE)
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, PRIVATE_MODE)
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)

    def link(self, path: Path, name: Path) -> None:
        """Give the file at `path` a second name."""
        name.hardlink_to(path)

    def replace(self, source: Path, target: Path) -> None:
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Remove a file if there is one."""
        with contextlib.suppress(FileNotFoundError):
            path.unlink()

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder with all that is in it, if there is one."""
        if not folder.is_dir():
            return
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                self.remove_folder(path)
            else:
                self.remove(path)
        folder.rmdir()

    def sync_folder(self, folder: Path) -> None:
        """Sync the folder's entries to the disk."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_atomically(path: Path, data: bytes, files: Files | None = None) -> None:
    """Replace the file at `path`: a reader sees the old bytes or the new ones, never a part."""
    files = files or Files()
    aside = path.with_name(f"{path.name}.new")
    files.write(aside, data)
    files.replace(aside, path)
    files.sync_folder(path.parent)
