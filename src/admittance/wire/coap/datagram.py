"""CoAP messages over UDP (RFC 7252, section 3): ``[version, type, token length][code][message id u16][token]...``."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from admittance.errors import Malformed, Misuse
from admittance.wire.coap.codes import EMPTY, is_request, is_response
from admittance.wire.coap.message import MAX_TOKEN_BYTES, CoapMessage
from admittance.wire.coap.options import decode_options, encode_options

MAX_DATAGRAM_BYTES: Final = 1472
HEADER_BYTES: Final = 4

_VERSION = 1


class Type(IntEnum):
    """How a datagram is to be answered."""

    CONFIRMABLE = 0
    NON_CONFIRMABLE = 1
    ACKNOWLEDGEMENT = 2
    RESET = 3


@dataclass(frozen=True, slots=True)
class Datagram:
    """A message with the fields of the message layer. `message_id` has 16 bits.

    An empty message (`codes.EMPTY`, nothing else) acknowledges, resets, or, confirmable, asks for a reset ("ping").
    """

    type: Type
    message_id: int
    message: CoapMessage


def encode(datagram: Datagram) -> bytes:
    """Raises `Misuse` for a datagram that `decode` would refuse."""
    message = datagram.message
    if len(message.token) > MAX_TOKEN_BYTES or not 0 <= datagram.message_id <= 0xFFFF:
        raise Misuse("a token of more than 8 bytes, or a message id of more than 16 bits")
    if not _is_consistent(datagram):
        raise Misuse(f"no datagram of type {datagram.type.name} carries {message}")
    head = bytes((_VERSION << 6 | datagram.type << 4 | len(message.token), message.code))
    body = message.token + encode_options(message.options, message.payload)
    data = head + datagram.message_id.to_bytes(2, "big") + body
    if len(data) > MAX_DATAGRAM_BYTES:
        raise Misuse(f"a datagram of {len(data)} bytes where at most {MAX_DATAGRAM_BYTES} are allowed")
    return data


def decode(data: bytes) -> Datagram:
    """Raises `Malformed` for anything but one datagram of version 1 with at most 1,472 bytes."""
    if not HEADER_BYTES <= len(data) <= MAX_DATAGRAM_BYTES:
        raise Malformed(f"a CoAP datagram of {len(data)} bytes")
    token_bytes = data[0] & 0x0F
    body = HEADER_BYTES + token_bytes
    if data[0] >> 6 != _VERSION or token_bytes > MAX_TOKEN_BYTES or body > len(data):
        raise Malformed("a datagram of another version, or with a token of a reserved length")
    options, payload = decode_options(data, body)
    message = CoapMessage(data[1], data[HEADER_BYTES:body], options, payload)
    datagram = Datagram(Type(data[0] >> 4 & 0x03), int.from_bytes(data[2:HEADER_BYTES], "big"), message)
    if not _is_consistent(datagram):
        raise Malformed("a datagram whose code its type does not carry, or an empty message with a content")
    return datagram


def _is_consistent(datagram: Datagram) -> bool:
    """Table 1 of RFC 7252, section 4.3: which type carries requests, responses and empty messages."""
    message, type_ = datagram.message, datagram.type
    if message.code == EMPTY:
        is_bare = not (message.token or message.options or message.payload)
        return is_bare and type_ is not Type.NON_CONFIRMABLE
    if is_request(message.code):
        return type_ in (Type.CONFIRMABLE, Type.NON_CONFIRMABLE)
    return is_response(message.code) and type_ is not Type.RESET
