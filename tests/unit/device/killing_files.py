"""A file system whose power is cut at a chosen step."""

from pathlib import Path

from admittance.device.files import Files


class PowerCut(BaseException):
    """No code may catch this: the process is gone."""


class KillingFiles(Files):
    """Counts the steps that change the disk, and cuts the power before step `kill_at`.

    A cut in a write leaves half of the bytes.
    """

    def __init__(self, kill_at: int | None = None) -> None:
        self.steps = 0
        self.kill_at = kill_at

    def write(self, path: Path, data: bytes) -> None:
        if self._is_last():
            super().write(path, data[: len(data) // 2])
            raise PowerCut
        super().write(path, data)

    def link(self, path: Path, name: Path) -> None:
        self._step()
        super().link(path, name)

    def replace(self, source: Path, target: Path) -> None:
        self._step()
        super().replace(source, target)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)

    def sync_folder(self, folder: Path) -> None:
        self._step()
        super().sync_folder(folder)

    def _step(self) -> None:
        if self._is_last():
            raise PowerCut

    def _is_last(self) -> bool:
        self.steps += 1
        return self.steps == self.kill_at
