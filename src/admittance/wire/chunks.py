"""Chunks: how a message of up to 16 KiB travels through an endpoint that carries little at a time.

Every plaintext of an `admit-*` endpoint is CBOR ``[id, total, offset, bytes]``. The client sends its request chunk
by chunk under one random id; to each incomplete one the device answers ``[id, total, received, h'']``. The last one
is answered by the first chunk of the answer, ``[id, answer total, 0, bytes]``; the client asks for the rest with
``[id, answer total, offset, h'']``. A request is never empty, so an empty chunk always asks.
"""

from typing import Annotated, Final

from msgspec import Meta

from admittance.errors import Malformed
from admittance.wire import message
from admittance.wire.message import Message

MAX_MESSAGE_BYTES: Final = 16 * 1024
HTTP_CHUNK_BYTES: Final = 3500
BLE_CHUNK_BYTES: Final = 180
MAX_ENCODED_BYTES: Final = 4096

Size = Annotated[int, Meta(ge=0, le=MAX_MESSAGE_BYTES)]


class Chunk(Message, frozen=True):
    """`data` is the part of a message of `total` bytes that begins at `offset`."""

    id: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    total: Size
    offset: Size
    data: Annotated[bytes, Meta(max_length=HTTP_CHUNK_BYTES)]

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


def encode(chunk: Chunk) -> bytes:
    return message.encode(chunk)


def decode(data: bytes) -> Chunk:
    """Raises `Malformed` for anything but a chunk that lies inside its message."""
    chunk = message.decode(data, Chunk, MAX_ENCODED_BYTES)
    if chunk.end > chunk.total:
        raise Malformed("A chunk ends after its message.")
    return chunk


def part(content: bytes, chunk_id: int, offset: int, chunk_bytes: int) -> Chunk:
    """The chunk of `content` that begins at `offset`. Raises `Malformed` for an offset outside."""
    if not 0 <= offset < len(content):
        raise Malformed("A chunk was asked for that is not there.")
    return Chunk(chunk_id, len(content), offset, content[offset : offset + chunk_bytes])


def split(content: bytes, chunk_id: int, chunk_bytes: int) -> tuple[Chunk, ...]:
    """All chunks of a message, in order. Raises `Malformed` if it is empty or longer than 16 KiB."""
    if not 0 < len(content) <= MAX_MESSAGE_BYTES:
        raise Malformed(f"A message has 1 to {MAX_MESSAGE_BYTES} bytes.")
    return tuple(part(content, chunk_id, offset, chunk_bytes) for offset in range(0, len(content), chunk_bytes))


class Assembler:
    """Puts the chunks of one message together, in order and without gaps or overlaps."""

    def __init__(self, first: Chunk) -> None:
        """Start with the first chunk. Raises `Malformed` if it is empty or does not begin at 0."""
        if first.offset != 0 or not first.data:
            raise Malformed("A message begins with a chunk at offset 0 that holds something.")
        self.id = first.id
        self.total = first.total
        self._content = bytearray(first.data)

    @property
    def received(self) -> int:
        """How many bytes are here."""
        return len(self._content)

    @property
    def message(self) -> bytes | None:
        """The whole message, once it is complete."""
        return bytes(self._content) if self.received == self.total else None

    def add(self, chunk: Chunk) -> None:
        """Append the next chunk. Raises `Malformed` for any other than the next one of this message."""
        if (chunk.id, chunk.total, chunk.offset) != (self.id, self.total, self.received) or not chunk.data:
            raise Malformed("This is not the next chunk of the message.")
        self._content += chunk.data
