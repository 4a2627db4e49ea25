"""A device's refusals (CoAP codes 4.xx and 5.xx) as errors."""

from typing import Final

from admittance.errors import (
    AdmittanceError,
    AuthenticationFailed,
    Conflict,
    DeviceRefused,
    Malformed,
    NotAllowed,
    NotFound,
    Throttled,
    TooLarge,
    Unavailable,
)
from admittance.wire.coap import codes, options
from admittance.wire.coap.message import CoapMessage

MAX_DIAGNOSTIC_BYTES: Final = 500
RETRY_AFTER_S: Final = 60

_ERRORS: Final[dict[int, tuple[type[AdmittanceError], str]]] = {
    codes.BAD_REQUEST: (Malformed, "The device did not understand the request"),
    codes.UNAUTHORIZED: (AuthenticationFailed, "The device does not let this app in"),
    codes.FORBIDDEN: (NotAllowed, "This app may not do that on the device"),
    codes.NOT_FOUND: (NotFound, "The device has no such resource; see what it has: get /.well-known/core"),
    codes.CONFLICT: (Conflict, "The state of the device does not allow that now"),
    codes.TOO_LARGE: (TooLarge, "The device takes less at once"),
    codes.UNAVAILABLE: (Unavailable, "The device cannot answer now; try again later"),
}
_OTHERS: Final = {
    codes.METHOD_NOT_ALLOWED: "The resource does not take this method",
    codes.NOT_ACCEPTABLE: "The device cannot answer in the format that was asked for",
    codes.UNSUPPORTED_FORMAT: "The device does not take this content format; try --cbor, --json-body or --text",
}


def check_success(message: CoapMessage) -> None:
    """Raise the error that an answer stands for, with what the device says about it."""
    code = message.code
    if codes.is_success(code):
        return
    if code == codes.TOO_MANY_REQUESTS:
        raise Throttled(_max_age_s(message))
    said = _diagnostic(message)
    if code in _ERRORS:
        kind, text = _ERRORS[code]
        raise kind(f"{text} ({codes.text(code)}{said}).")
    text = _OTHERS.get(code, "The device refused the request")
    raise DeviceRefused(codes.text(code), f"{text} ({codes.text(code)}{said}).")


def _diagnostic(message: CoapMessage) -> str:
    """The device's own words (RFC 7252, section 5.5.2), without anything that would steer a terminal."""
    text = message.payload[:MAX_DIAGNOSTIC_BYTES].decode(errors="replace")
    printable = "".join(character if character.isprintable() else " " for character in text).strip().rstrip(".")
    return f": {printable}" if printable else ""


def _max_age_s(message: CoapMessage) -> int:
    value = message.option(options.MAX_AGE)
    return RETRY_AFTER_S if value is None else options.decode_uint(value)
