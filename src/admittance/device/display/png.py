"""A PNG file as display: what the 1-bit screen of a device would show."""

from pathlib import Path

from admittance.device.display.bitmap import Bitmap, blank, png, qr_bitmap
from admittance.device.files import write_atomically


class PngDisplay:
    """Replaces the file at `path` as a whole, so that a reader never sees half a picture."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def show(self, text: str) -> None:
        self._draw(qr_bitmap(text))

    def clear(self) -> None:
        self._draw(blank())

    def _draw(self, bitmap: Bitmap) -> None:
        write_atomically(self._path, png(bitmap))
