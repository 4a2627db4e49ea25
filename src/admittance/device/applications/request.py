"""A request to a resource, whole and from somebody who may make it."""

import json
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import cbor2

from admittance.errors import Malformed
from admittance.wire.channel import Role
from admittance.wire.coap import formats

Method: TypeAlias = Literal["GET", "POST", "PUT", "DELETE", "FETCH"]

MAX_DEPTH: Final = 16


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose channel the request came over: the id of its credential or possession key, its role, and the name that it
    was listed with."""

    kid: bytes
    role: Role
    name: str


@dataclass(frozen=True, slots=True)
class Request:
    """`payload` has up to 64 KiB; `content_format` is CoAP's number for what it is, if it was told."""

    method: Method
    path: str
    caller: Caller
    payload: bytes = b""
    content_format: int | None = None
    accept: int | None = None
    query: tuple[str, ...] = ()

    def text(self) -> str:
        """The payload as UTF-8. Raises `Malformed`."""
        try:
            return self.payload.decode()
        except UnicodeDecodeError as error:
            raise Malformed("The payload is not UTF-8.") from error

    def value(self) -> Any:
        """The value that the payload is in CBOR, or in JSON if its content format says so. Raises `Malformed`."""
        if self.content_format == formats.JSON:
            return self._decoded(json.loads)
        return self._decoded(cbor2.loads)

    def field(self, name: str) -> Any:
        """One entry of the map that the payload is. Raises `Malformed` if it is no map, or has no such entry."""
        value = self.value()
        if not isinstance(value, dict) or name not in value:
            raise Malformed(f"The payload is not a map with {name!r}.")
        return value[name]

    def _decoded(self, decode: Any) -> Any:
        try:
            value = decode(self.payload)
        except Exception as error:
            raise Malformed("The payload does not decode.") from error
        _check_depth(value, MAX_DEPTH)
        return value


def _check_depth(value: object, depth: int) -> None:
    if depth == 0:
        raise Malformed("The payload is nested too deeply.")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    for item in inner:
        _check_depth(item, depth - 1)
