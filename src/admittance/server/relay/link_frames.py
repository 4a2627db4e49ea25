"""What one node sends another: a batch of stream frames behind a header that shows when a batch was lost.

``[sender 8][session u32][peer's session u32][sequence u64]``, then frames
``[stream u32][kind u8][length u16][payload]``. Sessions are random and never 0; the peer's is 0 while the sender has
heard nothing of it. Sequences count from 0.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

from admittance.errors import Malformed

NODE_ID_BYTES = 8
HEADER_BYTES = 24

_HEADER = struct.Struct(">8sIIQ")
_FRAME = struct.Struct(">IBH")
_OF_RECEIVER = 0x80


class Kind(IntEnum):
    """`OPEN` carries a device id, `CREDIT` a u16, `REFUSED` and `CLOSE` a `CloseReason`; `DATA` ends a message."""

    OPEN = 1
    DATA = 2
    MORE = 3
    CREDIT = 4
    CLOSE = 5
    OPENED = 6
    REFUSED = 7


_KINDS = {kind.value: kind for kind in Kind}


class Header(NamedTuple):
    """`sender` is a node id; see the module."""

    sender: str
    session: int
    peer_session: int
    sequence: int


class Frame(NamedTuple):
    """`is_receivers`: the stream is one that the receiver opened, else one that the sender did."""

    stream: int
    kind: Kind
    is_receivers: bool
    payload: bytes


def encode_header(header: Header) -> bytes:
    return _HEADER.pack(bytes.fromhex(header.sender), header.session, header.peer_session, header.sequence)


def encode_frame(stream: int, kind: Kind, payload: bytes = b"", *, is_receivers: bool) -> bytes:
    return _FRAME.pack(stream, kind | (_OF_RECEIVER if is_receivers else 0), len(payload)) + payload


def decode(data: bytes) -> tuple[Header, list[Frame]]:
    """Raises `Malformed`."""
    if len(data) < HEADER_BYTES:
        raise Malformed("A batch between nodes is too short")
    sender, session, peer_session, sequence = _HEADER.unpack_from(data)
    if session == 0:
        raise Malformed("A batch between nodes names no session")
    frames: list[Frame] = []
    at, end = HEADER_BYTES, len(data)
    while at < end:
        if end - at < _FRAME.size:
            raise Malformed("A frame between nodes is cut off")
        stream, number, length = _FRAME.unpack_from(data, at)
        kind = _KINDS.get(number & ~_OF_RECEIVER)
        at += _FRAME.size
        if kind is None or length > end - at:
            raise Malformed("A frame between nodes is unknown or cut off")
        frames.append(Frame(stream, kind, bool(number & _OF_RECEIVER), data[at : at + length]))
        at += length
    return Header(sender.hex(), session, peer_session, sequence), frames
