"""Reading and writing big-endian integers and sized buffers (TPM 2.0 part 2, section 4.2 and 10.4)."""

from struct import Struct
from typing import Any

from admittance.errors import Malformed

_UINT16 = Struct(">H")
_UINT32 = Struct(">I")


class Reader:
    """Reads one structure from its first byte to its last."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._at = 0
        self._what = what

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        end = self._at + size
        if end > len(self._data):
            raise Malformed(f"{self._what} that ends too early")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def unpack(self, layout: Struct) -> tuple[Any, ...]:
        """The next integers, in one go."""
        start = self._at
        self._at = start + layout.size
        if self._at > len(self._data):
            raise Malformed(f"{self._what} that ends too early")
        return layout.unpack_from(self._data, start)

    def uint8(self) -> int:
        return self.take(1)[0]

    def uint16(self) -> int:
        value: int = self.unpack(_UINT16)[0]
        return value

    def uint32(self) -> int:
        value: int = self.unpack(_UINT32)[0]
        return value

    def sized(self, max_bytes: int) -> bytes:
        """A buffer behind its size (UINT16), at most `max_bytes` long."""
        size = self.uint16()
        if size > max_bytes:
            raise Malformed(f"{self._what} with a buffer of {size} bytes where at most {max_bytes} are allowed")
        return self.take(size)

    def finish(self) -> None:
        """Nothing may be left."""
        if self._at != len(self._data):
            raise Malformed(f"{self._what} with bytes behind its end")


def uint16(value: int) -> bytes:
    return value.to_bytes(2)


def uint32(value: int) -> bytes:
    return value.to_bytes(4)


def uint64(value: int) -> bytes:
    return value.to_bytes(8)


def sized(data: bytes) -> bytes:
    """`data` behind its size (UINT16)."""
    return uint16(len(data)) + data
