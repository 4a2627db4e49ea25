"""From the server's problem documents (RFC 9457) and OAuth errors back to our typed errors."""

from collections.abc import Iterator, Mapping

import httpx
import msgspec

from admittance.errors import (
    AdmittanceError,
    DeviceRefused,
    FactorRequired,
    Malformed,
    NonceRequired,
    NotAllowed,
    Refused,
    RelayBusy,
    ScopeMissing,
    Throttled,
    Unavailable,
    WebSocketClosed,
)

MAX_DETAIL_CHARACTERS = 500
DEFAULT_RETRY_AFTER_S = 5


class _Problem(msgspec.Struct, frozen=True):
    code: str = ""
    error_description: str = ""
    detail: str = ""
    title: str = ""
    factors: tuple[str, ...] = ()


def _family(root: type[AdmittanceError]) -> Iterator[type[AdmittanceError]]:
    yield root
    for child in root.__subclasses__():
        yield from _family(child)


_OWN_CONSTRUCTORS = (
    NonceRequired,
    Throttled,
    DeviceRefused,
    FactorRequired,
    RelayBusy,
    ScopeMissing,
    WebSocketClosed,
)
_BY_CODE: dict[str, type[AdmittanceError]] = {
    kind.code: kind
    for root in (Malformed, Unavailable, Refused)
    for kind in _family(root)
    if not issubclass(kind, _OWN_CONSTRUCTORS)
}


def error_of(response: httpx.Response) -> AdmittanceError:
    """The error that an answer of status 400 and above stands for. Never raises."""
    return error_from(response.status_code, response.headers, response.content)


def error_from(status: int, headers: Mapping[str, str], body: bytes) -> AdmittanceError:
    """As `error_of`; the names in `headers` are in lower case."""
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = _Problem()
    message = (
        _printable(problem.detail or problem.error_description or problem.title)
        or f"The server answered with status {status}."
    )
    if problem.code == NonceRequired.code and "dpop-nonce" in headers:
        return NonceRequired(headers["dpop-nonce"])
    if problem.code == Throttled.code:
        return Throttled(_retry_after_s(headers))
    if problem.code == FactorRequired.code:
        return FactorRequired(tuple(_printable(kind) for kind in problem.factors))
    if problem.code == ScopeMissing.code:
        return NotAllowed(message)
    kind = _BY_CODE.get(problem.code)
    if kind is None:
        kind = Unavailable if status >= 500 else Refused
    return kind(message)


def _printable(text: str) -> str:
    """The server's words, without anything that would steer a terminal."""
    return "".join(character if character.isprintable() else " " for character in text[:MAX_DETAIL_CHARACTERS])


def _retry_after_s(headers: Mapping[str, str]) -> int:
    value = headers.get("retry-after", "")
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 7 else DEFAULT_RETRY_AFTER_S
