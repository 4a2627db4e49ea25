"""CoAP options: their numbers, their encoding (RFC 7252, section 3.1) and the forms of their values.

Options are encoded with the differences of their ascending numbers, so two lists never share an encoding.
"""

from dataclasses import dataclass
from typing import Final, Self, TypeAlias

from admittance.errors import Malformed, Misuse

Options: TypeAlias = tuple[tuple[int, bytes], ...]

IF_MATCH: Final = 1
URI_HOST: Final = 3
ETAG: Final = 4
IF_NONE_MATCH: Final = 5
OBSERVE: Final = 6
URI_PORT: Final = 7
LOCATION_PATH: Final = 8
OSCORE: Final = 9
URI_PATH: Final = 11
CONTENT_FORMAT: Final = 12
MAX_AGE: Final = 14
URI_QUERY: Final = 15
ACCEPT: Final = 17
LOCATION_QUERY: Final = 20
EDHOC: Final = 21
BLOCK2: Final = 23
BLOCK1: Final = 27
SIZE2: Final = 28
PROXY_URI: Final = 35
PROXY_SCHEME: Final = 39
SIZE1: Final = 60
ECHO: Final = 252
NO_RESPONSE: Final = 258
REQUEST_TAG: Final = 292

MAX_OPTIONS: Final = 128
MAX_NUMBER: Final = 0xFFFF
MAX_VALUE_BYTES: Final = 1034
MAX_SEGMENT_BYTES: Final = 255
PAYLOAD_MARKER: Final = 0xFF

_ONE_MORE_BYTE, _TWO_MORE_BYTES, _RESERVED = 13, 14, 15
_ONE_BYTE_BASE, _TWO_BYTES_BASE = 13, 269


def is_critical(number: int) -> bool:
    """An option that a receiver must refuse if it does not know it."""
    return bool(number & 1)


def encode_options(options: Options, payload: bytes) -> bytes:
    """Options, and the payload behind its marker if there is one.

    Raises `Misuse` if the numbers do not ascend or the sizes are beyond what `decode_options` takes.
    """
    if len(options) > MAX_OPTIONS:
        raise Misuse(f"a message of {len(options)} options where at most {MAX_OPTIONS} are allowed")
    encoded = bytearray()
    last = 0
    for number, value in options:
        delta, length = number - last, len(value)
        if delta < 0 or number > MAX_NUMBER or length > MAX_VALUE_BYTES:
            raise Misuse(f"option {number} of {length} bytes after option {last} does not fit")
        last = number
        if delta < _ONE_BYTE_BASE and length < _ONE_BYTE_BASE:
            encoded.append(delta << 4 | length)
        else:
            encoded += _long_head(delta, length)
        encoded += value
    if payload:
        encoded.append(PAYLOAD_MARKER)
        encoded += payload
    return bytes(encoded)


def decode_options(data: bytes, offset: int = 0) -> tuple[Options, bytes]:
    """The options that begin at `offset`, and the payload behind them.

    Raises `Malformed` for a reserved nibble, for what ends early, for a marker without a payload, and beyond
    `MAX_OPTIONS`, `MAX_NUMBER` and `MAX_VALUE_BYTES`.
    """
    options: list[tuple[int, bytes]] = []
    number, end, payload = 0, len(data), b""
    while offset < end:
        head = data[offset]
        offset += 1
        if head == PAYLOAD_MARKER:
            payload = data[offset:]
            if not payload:
                raise Malformed("a payload marker without a payload")
            break
        delta, length = head >> 4, head & 0x0F
        if delta >= _ONE_MORE_BYTE:
            delta, offset = _long_number(delta, data, offset)
        if length >= _ONE_MORE_BYTE:
            length, offset = _long_number(length, data, offset)
            if length > MAX_VALUE_BYTES:
                raise Malformed("an option of more bytes than any has")
        number += delta
        begin, offset = offset, offset + length
        if offset > end or len(options) == MAX_OPTIONS:
            raise Malformed("an option that ends early, or too many of them")
        options.append((number, data[begin:offset]))
    if number > MAX_NUMBER:
        raise Malformed("an option with a number of more than 16 bits")
    return tuple(options), payload


def encode_uint(value: int) -> bytes:
    """A number without leading zero bytes; 0 is empty (RFC 7252, section 3.2)."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def decode_uint(value: bytes, max_bytes: int = 4) -> int:
    """Raises `Malformed` for more than `max_bytes` bytes and for a leading zero byte."""
    if len(value) > max_bytes or value[:1] == b"\0":
        raise Malformed(f"not a number of at most {max_bytes} bytes in its shortest form")
    return int.from_bytes(value, "big")


def path_options(path: str) -> Options:
    """The Uri-Path options of a path such as ``/a/b``; ``/`` has none.

    Raises `Malformed` if the path does not begin with ``/``, or for a segment that is empty, a dot, two dots, or
    longer than 255 bytes.
    """
    if not path.startswith("/"):
        raise Malformed("a path begins with a slash")
    segments = path[1:].split("/") if path != "/" else []
    for segment in segments:
        if segment in ("", ".", "..") or len(segment.encode()) > MAX_SEGMENT_BYTES:
            raise Malformed("a path's segment that is empty, dots or too long")
    return tuple((URI_PATH, segment.encode()) for segment in segments)


def path_of(segments: tuple[bytes, ...]) -> str:
    """The path that Uri-Path options make. Raises `Malformed` for what `path_options` does not make."""
    try:
        path = "/" + "/".join(segment.decode() for segment in segments)
    except UnicodeDecodeError as error:
        raise Malformed("a path that is not UTF-8") from error
    if path_options(path) != tuple((URI_PATH, segment) for segment in segments):
        raise Malformed("a path's segment that holds a slash")
    return path


@dataclass(frozen=True, slots=True)
class Block:
    """The value of Block1 or Block2 (RFC 7959, section 2.2).

    `number` counts blocks of `size` bytes, a power of two from 16 to 1024; `more` tells that others follow.
    """

    number: int
    more: bool
    size: int

    def encode(self) -> bytes:
        """Raises `Misuse` for a number beyond 20 bits or another size."""
        exponent = self.size.bit_length() - 5
        if not 0 <= self.number < 1 << 20 or not 0 <= exponent <= 6 or self.size != 16 << exponent:
            raise Misuse(f"block {self.number} of {self.size} bytes")
        return encode_uint(self.number << 4 | self.more << 3 | exponent)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Raises `Malformed` for anything else than a block; BERT's exponent 7 (RFC 8323) is none of ours."""
        number = decode_uint(value, 3)
        exponent = number & 0x07
        if exponent == 7:
            raise Malformed("a block of a reserved size")
        return cls(number >> 4, bool(number & 0x08), 16 << exponent)

    @property
    def offset(self) -> int:
        """Where this block begins in the body, in bytes."""
        return self.number * self.size


def _long_head(delta: int, length: int) -> bytes:
    (delta_nibble, delta_more), (length_nibble, length_more) = _nibble(delta), _nibble(length)
    return bytes((delta_nibble << 4 | length_nibble,)) + delta_more + length_more


def _nibble(value: int) -> tuple[int, bytes]:
    if value < _ONE_BYTE_BASE:
        return value, b""
    if value < _TWO_BYTES_BASE:
        return _ONE_MORE_BYTE, bytes((value - _ONE_BYTE_BASE,))
    return _TWO_MORE_BYTES, (value - _TWO_BYTES_BASE).to_bytes(2, "big")


def _long_number(nibble: int, data: bytes, offset: int) -> tuple[int, int]:
    """What a nibble of 13 or 14 stands for, and where its bytes end."""
    if nibble == _RESERVED:
        raise Malformed("an option with a reserved nibble")
    width, base = (1, _ONE_BYTE_BASE) if nibble == _ONE_MORE_BYTE else (2, _TWO_BYTES_BASE)
    if offset + width > len(data):
        raise Malformed("an option that ends early")
    return int.from_bytes(data[offset : offset + width], "big") + base, offset + width
