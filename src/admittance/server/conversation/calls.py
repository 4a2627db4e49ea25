"""Requests to devices from one node to another, over the bus: a device's id, a CoAP message and the time it may take;
and the answer, or the code of the error."""

from typing import Annotated, Final

import msgspec

from admittance import errors
from admittance.wire import message
from admittance.wire.message import Message, Unsigned, Word

MAX_CALL_BYTES: Final = 68 * 1024
WAKE: Final = "conversation.wake"
"""Each message is a device's id: its owner has agreed to readings, so open a channel to it."""

_Coap = Annotated[bytes, msgspec.Meta(max_length=65536)]
_ERRORS: dict[str, type[errors.AdmittanceError]] = {
    error.code: error
    for error in (errors.DeviceOffline, errors.ChannelLost, errors.Unavailable, errors.Refused, errors.Malformed)
}


class Call(Message, frozen=True, tag="admittance/device-call/1"):
    """`request` is a CoAP message (RFC 8323, section 4)."""

    device_id: Word
    timeout_ms: Unsigned
    request: _Coap


class Returned(Message, frozen=True, tag="admittance/device-return/1"):
    """`response` is empty where there is an `error`, a stable code of `admittance.errors`."""

    response: _Coap
    error: Word


def subject(node_id: str) -> str:
    """Where a node answers calls."""
    return f"conversation.{node_id}"


def failed(error: errors.AdmittanceError) -> bytes:
    return message.encode(Returned(b"", error.code))


def response_of(data: bytes) -> bytes:
    """The CoAP message in an answer. Raises the error that the other node told, and `Malformed`."""
    returned = message.decode(data, Returned, max_bytes=MAX_CALL_BYTES)
    if returned.error:
        kind = _ERRORS.get(returned.error, errors.Unavailable)
        raise kind("The node that holds the device could not get its answer.")
    return returned.response
