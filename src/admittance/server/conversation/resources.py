"""What devices may ask the server for over their conversation with it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from admittance import errors
from admittance.wire import message
from admittance.wire.coap import codes, formats
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import ACCEPT, CONTENT_FORMAT, URI_PATH, encode_uint, is_critical
from admittance.wire.message import Message

log = structlog.stdlib.get_logger(__name__)

_UNDERSTOOD = frozenset((URI_PATH, ACCEPT))
_METHODS = {"GET": codes.GET, "POST": codes.POST, "PUT": codes.PUT}
_CODES: dict[type[errors.AdmittanceError], int] = {
    errors.Malformed: codes.BAD_REQUEST,
    errors.Unavailable: codes.UNAVAILABLE,
    errors.Refused: codes.FORBIDDEN,
    errors.NotFound: codes.NOT_FOUND,
    errors.Conflict: codes.CONFLICT,
    errors.TooLarge: codes.TOO_LARGE,
    errors.Throttled: codes.TOO_MANY_REQUESTS,
}


@dataclass(frozen=True)
class ConversingDevice:
    """Who asks: proved by its operational key at the relay, and by its channel key."""

    device_id: str
    epoch: int


Handler: TypeAlias = Callable[[ConversingDevice, bytes], Awaitable[Message]]
"""Takes the request's payload. Raises `Malformed`, `Unavailable` or `Refused`."""

Resources: TypeAlias = Mapping[tuple[str, str], Handler]
"""By method and path."""


async def answer(resources: Resources, device: ConversingDevice, request: CoapMessage) -> CoapMessage:
    """The response to a request. Its payload tells nothing but what the handler gave."""
    try:
        handler = _handler(resources, request)
        content = await handler(device, request.payload)
    except _NotTaken as refusal:
        return CoapMessage(refusal.code)
    except errors.AdmittanceError as error:
        return CoapMessage(_code_of(error))
    except Exception as error:
        log.error("device_request_failed", device_id=device.device_id, exc_info=error)
        return CoapMessage(codes.INTERNAL)
    code = codes.CONTENT if request.code == codes.GET else codes.CHANGED
    return CoapMessage(code, payload=message.encode(content)).with_options(
        (CONTENT_FORMAT, encode_uint(formats.CBOR))
    )


class _NotTaken(Exception):
    """A request that no handler sees; `code` answers it."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


def _handler(resources: Resources, request: CoapMessage) -> Handler:
    if any(is_critical(number) and number not in _UNDERSTOOD for number, _ in request.options):
        raise _NotTaken(codes.BAD_OPTION)
    path = request.path
    found = {_METHODS[method]: handler for (method, known), handler in resources.items() if known == path}
    if not found:
        raise _NotTaken(codes.NOT_FOUND)
    handler = found.get(request.code)
    if handler is None:
        raise _NotTaken(codes.METHOD_NOT_ALLOWED)
    return handler


def _code_of(error: errors.AdmittanceError) -> int:
    for kind in type(error).__mro__:
        if kind in _CODES:
            return _CODES[kind]
    log.error("device_request_failed", error=error.code, exc_info=error)
    return codes.INTERNAL
