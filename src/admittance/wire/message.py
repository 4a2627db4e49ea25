"""Messages: frozen values that travel as CBOR arrays with typed fields.

A subclass names its fields in order; its label, if it has one, is the struct's tag and travels as the first element::

    class Ping(Message, tag="admittance/ping/1"):
        nonce: Bytes32
"""

from typing import Annotated, TypeVar

import msgspec

from admittance.errors import Malformed
from admittance.wire import cbor

Bytes16 = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Bytes32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Unsigned = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Word = Annotated[str, msgspec.Meta(max_length=64)]
Text = Annotated[str, msgspec.Meta(max_length=512)]


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of every message."""


MessageT = TypeVar("MessageT", bound=msgspec.Struct)


def encode(message: msgspec.Struct) -> bytes:
    """Encode a message as deterministic CBOR."""
    return cbor.encode(msgspec.to_builtins(message, builtin_types=(bytes,)))


def decode(data: bytes, kind: type[MessageT], max_bytes: int = 16384) -> MessageT:
    """Decode a message of type `kind`. Raises `Malformed` if label, length or the type of a field differ.

    Defaults are for who builds a message: on the wire every field is present.
    """
    value = cbor.decode(data, max_bytes)
    try:
        message = msgspec.convert(value, kind, strict=True, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise Malformed(f"{kind.__name__}: {_without_values(error)}") from error
    if kind.__struct_defaults__ and isinstance(value, list) and len(value) != _length(kind):
        raise Malformed(f"{kind.__name__}: a field is missing")
    return message


def _length(kind: type[msgspec.Struct]) -> int:
    """How many elements a message has, its label included."""
    return len(kind.__struct_fields__) + (kind.__struct_config__.tag is not None)


def _without_values(error: msgspec.ValidationError) -> str:
    """A validation message with what the peer sent left out; only types and paths remain."""
    text = str(error)
    if text.startswith("Invalid"):
        return "a field has a value that is not allowed"
    if text.startswith("Object contains unknown field"):
        return "a map has a field that is not known"
    return text
