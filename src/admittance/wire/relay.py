"""What devices, apps and relay nodes say to each other: frames of a device's WebSocket, and the messages before them.

A device's binary message is a sequence of frames, each ``[stream u32][length u16][type u8][payload]``; `length`
counts type and payload, and the whole is at most `MAX_BATCH_BYTES`. An app's binary message is one CoAP message
(RFC 8323, section 4) and nothing else.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, NamedTuple

import msgspec

from admittance.errors import Malformed
from admittance.wire import cbor
from admittance.wire.message import Bytes32, Message, Unsigned, Word

DEVICE_PATH = "/device-relay"
APP_PATH = "/relay/"
TICKET_PATH = "/relay/tickets"

MAX_PAYLOAD_BYTES = 8192
MAX_MESSAGE_BYTES = 65536
MAX_BATCH_BYTES = 16384
MAX_STREAM = 2**32 - 1
SERVER_STREAM = 0
INITIAL_CREDIT = 32
CREDIT_BATCH = 16
MAX_CREDIT = 65535

OPEN = 1
DATA = 2
MORE = 3
CREDIT = 4
CLOSE = 5

HEADER = struct.Struct(">IHB")
MAX_HANDSHAKE_BYTES = 16384
_CREDIT = struct.Struct(">H")
_PROOF_LABEL = "admittance/relay/1"
_RETRY_AFTER = "retry_after_ms="
_MAX_RETRY_AFTER_MS = 3_600_000


class CloseCode(IntEnum):
    """Close codes of both WebSockets (RFC 6455, section 7.4.2: 4000 to 4999 are the application's)."""

    NORMAL = 1000
    MALFORMED = 4400
    NOT_AUTHENTICATED = 4401
    REVOKED = 4403
    OFFLINE = 4404
    IDLE = 4408
    SUPERSEDED = 4409
    TOO_LARGE = 4413
    QUOTA = 4429
    UNAVAILABLE = 4503


class CloseReason(IntEnum):
    """Why a stream ended, in a CLOSE frame."""

    NORMAL = 0
    OFFLINE = 1
    REVOKED = 2
    QUOTA = 3
    SUPERSEDED = 4
    IDLE = 5
    PROTOCOL = 6
    UNAVAILABLE = 7
    DRAINING = 8
    TOO_LARGE = 9

    @property
    def close_code(self) -> CloseCode:
        """The close code of the app's WebSocket whose stream ended so."""
        return _CLOSE_CODES[self]


_CLOSE_CODES = {
    CloseReason.NORMAL: CloseCode.NORMAL,
    CloseReason.OFFLINE: CloseCode.OFFLINE,
    CloseReason.REVOKED: CloseCode.REVOKED,
    CloseReason.QUOTA: CloseCode.QUOTA,
    CloseReason.SUPERSEDED: CloseCode.SUPERSEDED,
    CloseReason.IDLE: CloseCode.IDLE,
    CloseReason.PROTOCOL: CloseCode.MALFORMED,
    CloseReason.UNAVAILABLE: CloseCode.UNAVAILABLE,
    CloseReason.DRAINING: CloseCode.UNAVAILABLE,
    CloseReason.TOO_LARGE: CloseCode.TOO_LARGE,
}


class Frame(NamedTuple):
    """`type` is one of OPEN, DATA, MORE, CREDIT and CLOSE."""

    stream: int
    type: int
    payload: bytes

    @property
    def credit(self) -> int:
        """The frames that a CREDIT frame grants."""
        return int(_CREDIT.unpack(self.payload)[0])

    @property
    def reason(self) -> CloseReason:
        """The reason of a CLOSE frame."""
        return CloseReason(self.payload[0])


def open_frame(stream: int) -> bytes:
    """The node opens `stream` (1 to 2**32 - 1)."""
    return HEADER.pack(stream, 1, OPEN)


def data_frame(stream: int, fragment: bytes, *, final: bool) -> bytes:
    """One fragment (1 to 8,192 bytes) of a CoAP message."""
    return HEADER.pack(stream, len(fragment) + 1, DATA if final else MORE) + fragment


def credit_frame(stream: int, frames: int) -> bytes:
    """The other side may send `frames` (1 to 65,535) fragments more."""
    return HEADER.pack(stream, 3, CREDIT) + _CREDIT.pack(frames)


def close_frame(stream: int, reason: CloseReason) -> bytes:
    """`stream` is over."""
    return HEADER.pack(stream, 2, CLOSE) + bytes((reason,))


def decode_frames(data: bytes) -> list[Frame]:
    """The frames of a device's binary message: at least one, at most 16,384 bytes, and nothing after the last.

    Raises `Malformed` for a frame that is cut off, of an unknown type or reason, or of a size that its type doesn't
    allow; and for opening or closing stream 0, which is always open.
    """
    frames = []
    position, end = 0, len(data)
    if not 0 < end <= MAX_BATCH_BYTES:
        raise Malformed("a relay message of a size that is not allowed")
    while position < end:
        start = position + HEADER.size
        if start > end:
            raise Malformed("a relay frame whose header is cut off")
        stream, length, kind = HEADER.unpack_from(data, position)
        position = start + length - 1
        if not length or position > end:
            raise Malformed("a relay frame whose payload is cut off")
        frames.append(checked_frame(stream, kind, data[start:position]))
    return frames


def checked_frame(stream: int, kind: int, payload: bytes) -> Frame:
    """A frame as `decode_frames` gives it. Raises `Malformed`."""
    _check(stream, kind, payload)
    return Frame(stream, kind, payload)


def fragments(message: bytes) -> list[bytes]:
    """A CoAP message (1 to 65,536 bytes) in payloads of DATA and MORE frames."""
    if len(message) <= MAX_PAYLOAD_BYTES:
        return [message]
    return [message[start : start + MAX_PAYLOAD_BYTES] for start in range(0, len(message), MAX_PAYLOAD_BYTES)]


def batches(frames: Sequence[bytes]) -> list[bytes]:
    """Join frames, in their order, into binary messages of at most 16,384 bytes."""
    if 0 < sum(map(len, frames)) <= MAX_BATCH_BYTES:
        return [b"".join(frames)]
    joined: list[bytes] = []
    batch: list[bytes] = []
    size = 0
    for frame in frames:
        if batch and size + len(frame) > MAX_BATCH_BYTES:
            joined.append(b"".join(batch))
            batch, size = [], 0
        batch.append(frame)
        size += len(frame)
    if batch:
        joined.append(b"".join(batch))
    return joined


def _check(stream: int, kind: int, payload: bytes) -> None:
    size = len(payload)
    if kind in (DATA, MORE):
        if not 1 <= size <= MAX_PAYLOAD_BYTES:
            raise Malformed("a relay fragment of a size that is not allowed")
    elif kind == CREDIT:
        if size != _CREDIT.size or payload == b"\0\0":
            raise Malformed("a relay frame that grants no credit")
    elif kind == CLOSE:
        if size != 1 or payload[0] not in _CLOSE_CODES or stream == SERVER_STREAM:
            raise Malformed("a relay frame that closes wrongly")
    elif kind == OPEN:
        if size or stream == SERVER_STREAM:
            raise Malformed("a relay frame that opens wrongly")
    else:
        raise Malformed("a relay frame of an unknown type")


class RelayHello(Message, frozen=True, tag="admittance/relay-hello/1"):
    """Node to device, first. The nonce is drawn for this connection alone."""

    nonce: Bytes32


class RelayProof(Message, frozen=True, tag="admittance/relay-proof/1"):
    """Device to node, first: the operational certificate (DER, leaf first) and a signature over `proof_input`.

    The signature is the operational key's, in COSE's encoding (RFC 9053, section 2): 64 bytes.
    """

    chain: Annotated[
        list[Annotated[bytes, msgspec.Meta(min_length=1, max_length=4096)]], msgspec.Meta(min_length=1, max_length=4)
    ]
    device_id: Word
    epoch: Unsigned
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


class RelayAccepted(Message, frozen=True, tag="admittance/relay-accepted/1"):
    """Node to device: frames follow. Each side speaks at least every `heartbeat_s` seconds."""

    heartbeat_s: Annotated[int, msgspec.Meta(ge=1, le=3600)]
    server_time: Unsigned


class RelayTicket(Message, frozen=True, tag="admittance/relay-ticket/1"):
    """App to node, first, where the upgrade had no DPoP headers."""

    ticket: Bytes32

    def __repr__(self) -> str:
        return "RelayTicket(…)"


def proof_input(nonce: bytes, certificate_sha256: bytes, device_id: str, epoch: int) -> bytes:
    """What a device signs to prove itself on one connection.

    `certificate_sha256` is of the leaf (DER) that the node showed in TLS; 32 zero bytes on the listener without TLS.
    """
    return cbor.encode([_PROOF_LABEL, nonce, certificate_sha256, device_id, epoch])


def retry_after_text(milliseconds: int) -> str:
    """The reason text of close code 4503."""
    return f"{_RETRY_AFTER}{milliseconds}"


def parse_retry_after(reason: str) -> int | None:
    """The milliseconds to wait that a close's reason text names, at most an hour; None where it names none."""
    digits = reason.removeprefix(_RETRY_AFTER)
    if (
        digits == reason
        or not digits.isascii()
        or not digits.isdecimal()
        or len(digits) > len(str(_MAX_RETRY_AFTER_MS))
    ):
        return None
    return min(int(digits), _MAX_RETRY_AFTER_MS)
