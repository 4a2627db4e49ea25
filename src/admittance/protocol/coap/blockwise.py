"""Bodies that travel in blocks (RFC 7959), told apart by Request-Tag and ETag (RFC 9175).

Blocks of a body are taken in their order and no other, each of the size that the first had; what deviates ends the
transfer. A body has at most 64 KiB.
"""

from hashlib import sha256
from typing import Final, TypeAlias

from admittance.errors import Conflict, Malformed, NotFound, TooLarge
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import (
    BLOCK1,
    BLOCK2,
    ETAG,
    OBSERVE,
    SIZE1,
    SIZE2,
    Block,
    Options,
    decode_uint,
    encode_uint,
)

MAX_BODY_BYTES: Final = 65536
BLOCK_BYTES: Final = 1024
MAX_TRANSFERS: Final = 4
LIFETIME_S: Final = 60.0

_ETAG_BYTES = 8
_PER_BLOCK = frozenset({BLOCK1, BLOCK2, SIZE1, SIZE2, OBSERVE})

OperationKey: TypeAlias = tuple[int, Options]


def operation_key(request: CoapMessage) -> OperationKey:
    """What the requests for the blocks of one operation have in common: its code and options, its Request-Tag too."""
    return request.code, tuple(option for option in request.options if option[0] not in _PER_BLOCK)


def block_of(message: CoapMessage, number: int) -> Block | None:
    """The Block1 or Block2 option of a message. Raises `Malformed`."""
    value = message.option(number)
    return None if value is None else Block.decode(value)


def upload_block(request: CoapMessage, offset: int, size: int) -> CoapMessage:
    """The request for the block of its payload that begins at `offset`, a multiple of `size`."""
    number = offset // size
    more = offset + size < len(request.payload)
    block = (BLOCK1, Block(number, more, size).encode())
    total = ((SIZE1, encode_uint(len(request.payload))),) if number == 0 else ()
    return _with_payload(request.with_options(block, *total), request.payload[offset : offset + size])


def download_block(request: CoapMessage, number: int, size: int) -> CoapMessage:
    """The request for a further block of the answer to `request`."""
    bare = request.without(*_PER_BLOCK).with_options((BLOCK2, Block(number, False, size).encode()))
    return _with_payload(bare, b"")


class Body:
    """A body that is put together from its blocks, in their order."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._size = 0
        self._next = 0

    @property
    def next_number(self) -> int:
        return self._next

    @property
    def size(self) -> int:
        """The size of its blocks."""
        return self._size

    def add(self, block: Block, payload: bytes) -> bytes | None:
        """Take the next block; the body once it is complete.

        Raises `Conflict` for a block out of order or of another size than the first, `Malformed` for a payload that
        is not of the block's size, and `TooLarge`.
        """
        if block.number != self._next or (self._next and block.size != self._size):
            raise Conflict("A block of the body is missing, or belongs to another.")
        if len(payload) > block.size or (block.more and len(payload) != block.size):
            raise Malformed("a block whose payload is not of its size")
        if len(self._data) + len(payload) > MAX_BODY_BYTES:
            raise TooLarge(f"A body has at most {MAX_BODY_BYTES} bytes.")
        self._size = block.size
        self._next += 1
        self._data += payload
        return None if block.more else bytes(self._data)


class Uploads:
    """The bodies of requests that a server is receiving: at most `MAX_TRANSFERS`, the oldest gives way."""

    def __init__(self) -> None:
        self._bodies: dict[OperationKey, tuple[Body, float]] = {}

    def __len__(self) -> int:
        return len(self._bodies)

    def receive(self, request: CoapMessage, block: Block, now: float) -> CoapMessage | None:
        """Take a request with Block1; the whole request, without Block1, once it is complete.

        Block 0 begins a body anew. Raises what `Body.add` raises; the body is dropped then.
        """
        self.expire(now)
        key = operation_key(request)
        body, _ = self._bodies.pop(key, (None, now))
        if block.number == 0 or body is None:
            body = Body()
        _check_announced(request.option(SIZE1))
        whole = body.add(block, request.payload)
        if whole is not None:
            return _with_payload(request.without(BLOCK1, SIZE1), whole)
        self._bodies[key] = (body, now)
        if len(self._bodies) > MAX_TRANSFERS:
            del self._bodies[next(iter(self._bodies))]
        return None

    def expire(self, now: float) -> None:
        for key in [key for key, (_, since) in self._bodies.items() if now >= since + LIFETIME_S]:
            del self._bodies[key]


class Downloads:
    """The bodies of answers that a server keeps for who fetches their further blocks, as they were at block 0."""

    def __init__(self) -> None:
        self._answers: dict[OperationKey, tuple[CoapMessage, float]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def first(self, request: CoapMessage, response: CoapMessage, size: int, now: float) -> CoapMessage:
        """Block 0 of an answer, with an ETag; the rest is kept for `LIFETIME_S`. Raises `TooLarge`."""
        if len(response.payload) > MAX_BODY_BYTES:
            raise TooLarge(f"A body has at most {MAX_BODY_BYTES} bytes.")
        self.expire(now)
        if response.option(ETAG) is None:
            response = response.with_options((ETAG, sha256(response.payload).digest()[:_ETAG_BYTES]))
        key = operation_key(request)
        self._answers.pop(key, None)
        self._answers[key] = (response.without(OBSERVE), now)
        if len(self._answers) > MAX_TRANSFERS:
            del self._answers[next(iter(self._answers))]
        return _cut(response, 0, size).with_options((SIZE2, encode_uint(len(response.payload))))

    def further(self, request: CoapMessage, block: Block, now: float) -> CoapMessage:
        """A further block. Raises `NotFound` if there is no such answer, or it has no such block."""
        self.expire(now)
        kept = self._answers.get(operation_key(request))
        if kept is None or block.offset >= len(kept[0].payload):
            raise NotFound("The answer of which this is a block is not kept.")
        return _cut(kept[0], block.number, block.size)

    def expire(self, now: float) -> None:
        for key in [key for key, (_, since) in self._answers.items() if now >= since + LIFETIME_S]:
            del self._answers[key]


class Download:
    """An answer that a client fetches block by block; all blocks must be of one code and one ETag."""

    def __init__(self) -> None:
        self._body = Body()
        self._first: CoapMessage | None = None

    @property
    def next_number(self) -> int:
        return self._body.next_number

    @property
    def size(self) -> int:
        return self._body.size

    def add(self, response: CoapMessage, block: Block) -> CoapMessage | None:
        """Take the next block; the whole answer, without Block2, once it is complete.

        Raises `Conflict` if it belongs to another answer, and what `Body.add` raises.
        """
        first = self._first
        if first is not None and (response.code, response.option(ETAG)) != (first.code, first.option(ETAG)):
            raise Conflict("The answer changed while its blocks were fetched.")
        _check_announced(response.option(SIZE2))
        whole = self._body.add(block, response.payload)
        self._first = first or response
        return None if whole is None else _with_payload(self._first.without(BLOCK2, SIZE2), whole)


def _cut(response: CoapMessage, number: int, size: int) -> CoapMessage:
    offset = number * size
    block = Block(number, offset + size < len(response.payload), size)
    return _with_payload(response.with_options((BLOCK2, block.encode())), response.payload[offset : offset + size])


def _with_payload(message: CoapMessage, payload: bytes) -> CoapMessage:
    return CoapMessage(message.code, message.token, message.options, payload)


def _check_announced(size: bytes | None) -> None:
    if size is not None and decode_uint(size) > MAX_BODY_BYTES:
        raise TooLarge(f"A body has at most {MAX_BODY_BYTES} bytes.")
