"""What the bodies of all stock endpoints share: their status words, and strict parsing."""

from enum import IntEnum
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from admittance.errors import Malformed

MAX_BODY_BYTES = 4096

MessageT = TypeVar("MessageT", bound=Message)


class Status(IntEnum):
    """How an endpoint answers; the numbers are those of the wire."""

    SUCCESS = 0
    INVALID_SECURITY_SCHEME = 1
    INVALID_PROTO = 2
    TOO_MANY_SESSIONS = 3
    INVALID_ARGUMENT = 4
    INTERNAL_ERROR = 5
    CRYPTO_ERROR = 6
    INVALID_SESSION = 7


def parse(data: bytes, kind: type[MessageT]) -> MessageT:
    """Fields that we do not know are passed over, as protobuf wants it. Raises `Malformed`."""
    if len(data) > MAX_BODY_BYTES:
        raise Malformed(f"A body of {len(data)} bytes where {MAX_BODY_BYTES} are allowed.")
    try:
        return kind.FromString(data)
    except DecodeError:
        raise Malformed(f"This is no {kind.__name__}.") from None


def read_status(number: int) -> Status:
    """Raises `Malformed` for a status that nobody defined."""
    try:
        return Status(number)
    except ValueError:
        raise Malformed("A status that nobody defined.") from None


def text(data: bytes) -> str:
    """Raises `Malformed` for bytes that are not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Malformed("A text that is not UTF-8.") from None
