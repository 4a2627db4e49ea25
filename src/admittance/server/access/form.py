"""Parameters of OAuth requests: form-encoded, each at most once (RFC 6749, sections 3.1, 3.2 and appendix B)."""

import re
from collections.abc import Mapping
from functools import partial
from urllib.parse import unquote_plus

from starlette.requests import Request

from admittance.errors import InvalidRequest
from admittance.server.http import media_type, raw_body

MAX_FORM_BYTES = 16 * 1024
MAX_QUERY_CHARACTERS = 8 * 1024
MAX_PARAMETERS = 40
_FORM = "application/x-www-form-urlencoded"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Parameters = Mapping[str, str]


async def form(request: Request) -> Parameters:
    """The parameters in the body. Raises `InvalidRequest`, `TooLarge`, or `Malformed` for a body that ends early."""
    if media_type(request) != _FORM:
        raise InvalidRequest(f"Send the body as {_FORM}.")
    return _parse(await raw_body(request, MAX_FORM_BYTES))


def query(request: Request) -> Parameters:
    """The parameters in the request's URI. Raises `InvalidRequest`."""
    raw: bytes = request.scope["query_string"]
    if len(raw) > MAX_QUERY_CHARACTERS:
        raise InvalidRequest("The request is too long: push it first (RFC 9126).")
    return _parse(raw)


def required(parameters: Parameters, name: str) -> str:
    """A parameter that must be there. Raises `InvalidRequest`."""
    value = parameters.get(name)
    if value is None:
        raise InvalidRequest(f"The parameter {name} is missing.")
    return value


def _parse(raw: bytes) -> Parameters:
    if not raw:
        return {}
    try:
        pairs = _pairs(raw.decode("ascii"))
    except ValueError:
        raise InvalidRequest("The parameters are not form-encoded UTF-8, or too many.") from None
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise InvalidRequest("A parameter is repeated.")
    if _CONTROL.search("".join([*parameters, *parameters.values()])):
        raise InvalidRequest("A parameter holds control characters.")
    return {name: value for name, value in pairs if value}


def _pairs(text: str) -> list[tuple[str, str]]:
    """Names and values. Raises `ValueError`."""
    fields = text.split("&", MAX_PARAMETERS)
    if len(fields) > MAX_PARAMETERS:
        raise ValueError("too many parameters")
    decoded = partial(unquote_plus, errors="strict") if "%" in text or "+" in text else str
    return [(decoded(name), decoded(value)) for name, value in [field.split("=", 1) for field in fields]]
