"""A QR code as the 1-bit image of a small display."""

import struct
import zlib
from dataclasses import dataclass
from typing import Final

import segno

from admittance.errors import Malformed

SIDE: Final = 200
QUIET_MODULES: Final = 4
MIN_PIXELS_PER_MODULE: Final = 2


@dataclass(frozen=True)
class Bitmap:
    """`rows` holds `height` rows of `width` pixels, eight to a byte, leftmost in the highest bit; 1 is dark."""

    width: int
    height: int
    rows: bytes

    @property
    def stride(self) -> int:
        """Bytes a row."""
        return (self.width + 7) // 8


def qr_code(text: str) -> segno.QRCode:
    """The smallest QR code of `text` at error level L, raised as far as its size allows."""
    return segno.make_qr(text, error="l", boost_error=True)


def qr_bitmap(text: str, side: int = SIDE) -> Bitmap:
    """Draw `text` as a QR code with a quiet zone of 4 modules in the middle of `side` x `side` pixels.

    Raises `Malformed` if a module would have less than 2 pixels: a phone could not read it.
    """
    matrix = qr_code(text).matrix
    modules = len(matrix)
    scale = side // (modules + 2 * QUIET_MODULES)
    if scale < MIN_PIXELS_PER_MODULE:
        raise Malformed(f"The text is too long for a display of {side} x {side} pixels.")
    margin = (side - modules * scale) // 2
    stride = (side + 7) // 8
    rows = bytearray(stride * side)
    for y in range(modules * scale):
        for x in range(modules * scale):
            if matrix[y // scale][x // scale]:
                column = margin + x
                rows[(margin + y) * stride + column // 8] |= 0x80 >> (column % 8)
    return Bitmap(side, side, bytes(rows))


def blank(side: int = SIDE) -> Bitmap:
    """An empty display."""
    return Bitmap(side, side, bytes((side + 7) // 8 * side))


def png(bitmap: Bitmap) -> bytes:
    """The image as a PNG with one bit a pixel (W3C PNG, greyscale, where 0 is black)."""
    stride = bitmap.stride
    lines = b"".join(
        b"\0" + bytes(byte ^ 0xFF for byte in bitmap.rows[start : start + stride])
        for start in range(0, len(bitmap.rows), stride)
    )
    header = struct.pack(">IIBBBBB", bitmap.width, bitmap.height, 1, 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(lines)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
