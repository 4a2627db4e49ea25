"""The part of Protocol Buffers' proto3 encoding that Unified Provisioning uses.

A message is written by joining its fields, and read by `Fields`: what the sender left out reads as zero or empty, a
field that is there twice counts as its last, a field that we do not know, by number or by wire type, is passed over.
Groups, which proto3 does not have, are malformed.

https://protobuf.dev/programming-guides/encoding/
"""

from typing import Final

from admittance.errors import Malformed

_VARINT: Final = 0
_SIXTY_FOUR_BITS: Final = 1
_BYTES: Final = 2
_THIRTY_TWO_BITS: Final = 5
_FIXED_SIZES: Final = {_SIXTY_FOUR_BITS: 8, _THIRTY_TWO_BITS: 4}
_MAX_VARINT_BYTES: Final = 10
_MAX_KEY: Final = 2**32 - 1


def number(field: int, value: int, *, chosen: bool = False) -> bytes:
    """A field of type bool, uint32, int32 or of an enumeration; one `chosen` of a oneof is there even if zero."""
    return _varint(field << 3 | _VARINT) + _varint(value % 2**64) if value or chosen else b""


def data(field: int, value: bytes) -> bytes:
    """A field of type bytes, or string as UTF-8."""
    return message(field, value) if value else b""


def message(field: int, content: bytes) -> bytes:
    """A field that is a message of its own; there also when it is empty."""
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content


class Fields:
    """The fields of one message. Raises `Malformed` for what is no message, or has a field number of zero."""

    def __init__(self, encoded: bytes) -> None:
        self._numbers: dict[int, int] = {}
        self._contents: dict[int, list[bytes]] = {}
        position = 0
        while position < len(encoded):
            position = self._read_field(encoded, position)

    def unsigned(self, field: int) -> int:
        """A uint32."""
        return self._numbers.get(field, 0) % 2**32

    def signed(self, field: int) -> int:
        """An int32, or the number of an enumeration."""
        value = self.unsigned(field)
        return value - 2**32 if value >= 2**31 else value

    def flag(self, field: int) -> bool:
        return self._numbers.get(field, 0) != 0

    def data(self, field: int) -> bytes:
        return self._contents.get(field, [b""])[-1]

    def message(self, field: int) -> "Fields":
        """A message within this one. One that came in parts is merged, so that absence reads as an empty message."""
        return Fields(b"".join(self._contents.get(field, [])))

    def messages(self, field: int) -> list["Fields"]:
        """The elements of a repeated field."""
        return [Fields(content) for content in self._contents.get(field, [])]

    def chosen(self, *fields: int) -> int | None:
        """Which of `fields`, messages of which a sender sets one at most, came last; None if none did."""
        return next((field for field in reversed(self._contents) if field in fields), None)

    def _read_field(self, encoded: bytes, position: int) -> int:
        key, position = _read_varint(encoded, position)
        field, wire_type = key >> 3, key & 7
        if field == 0 or key > _MAX_KEY:
            raise Malformed("A protobuf field with a number that does not exist.")
        if wire_type == _VARINT:
            self._numbers[field], position = _read_varint(encoded, position)
            return position
        if wire_type == _BYTES:
            size, position = _read_varint(encoded, position)
        elif wire_type in _FIXED_SIZES:
            size = _FIXED_SIZES[wire_type]
        else:
            raise Malformed("A protobuf field of a type that does not exist.")
        end = position + size
        if end > len(encoded):
            raise Malformed("A protobuf message that ends within a field.")
        if wire_type == _BYTES:
            self._contents[field] = [*self._contents.pop(field, []), encoded[position:end]]
        return end


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(encoded: bytes, position: int) -> tuple[int, int]:
    """The number, of 64 bits, and the position behind it."""
    value = 0
    for count in range(_MAX_VARINT_BYTES):
        if position + count >= len(encoded):
            raise Malformed("A protobuf message that ends within a number.")
        byte = encoded[position + count]
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value % 2**64, position + count + 1
    raise Malformed("A protobuf number of more than ten bytes.")
