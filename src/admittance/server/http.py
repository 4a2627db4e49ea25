"""Requests in, replies out: bodies are bounded, strict, and decoded into typed values."""

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from admittance.errors import Malformed, TooLarge
from admittance.server.whole import BODY_HERE
from admittance.wire import message
from admittance.wire.message import Message

MAX_BODY_BYTES = 64 * 1024
BODY_TIMEOUT_S = 20.0

T = TypeVar("T")
M = TypeVar("M", bound=Message)


async def raw_body(request: Request, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The whole body. Raises `TooLarge` beyond `max_bytes`, `Malformed` when it does not arrive in time."""
    here: bytes | None = request.scope.get("extensions", {}).get(BODY_HERE)
    if here is None:
        return await _received(request, max_bytes)
    _check_size(len(here), max_bytes)
    return here


def media_type(request: Request) -> str:
    """Of the body, in lower case and without parameters; empty if the request names none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def require_type(request: Request, expected: str) -> None:
    """Raises `Malformed` where the body is not of the media type `expected`."""
    if media_type(request) != expected:
        raise Malformed(f"Send the body as {expected}.")


async def body(request: Request, into: type[T], max_bytes: int = MAX_BODY_BYTES) -> T:
    """The JSON body as `into`. Raises `Malformed` or `TooLarge`."""
    require_type(request, "application/json")
    data = await raw_body(request, max_bytes)
    try:
        return msgspec.json.decode(data, type=into)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"The request's JSON body is not as expected: {error}.") from None


class Uncached(Response):
    """`content` that no cache keeps. Starlette's own would look through headers that are known."""

    def __init__(
        self, content: bytes, media_type: str, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status_code = status
        self.media_type = media_type
        self.background = None
        self.body = content
        self.raw_headers = [
            (b"content-length", b"%d" % len(content)),
            (b"content-type", media_type.encode()),
            (b"cache-control", b"no-store"),
        ]
        if headers:
            self.raw_headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]


def reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`value` (a Struct or a dict) as JSON that no cache keeps."""
    return Uncached(encode_json(value), "application/json", status, headers)


def public_reply(value: Any, *, cached_s: int) -> Response:
    """`value` as JSON that any cache may keep for `cached_s` seconds."""
    headers = {"cache-control": f"public, max-age={cached_s}"}
    return Response(encode_json(value), media_type="application/json", headers=headers)


def encode_json(value: Any) -> bytes:
    return msgspec.json.encode(value)


async def cbor_body(request: Request, into: type[M], max_bytes: int = 16 * 1024) -> M:
    """The CBOR body as the message `into`. Raises `Malformed` or `TooLarge`."""
    require_type(request, "application/cbor")
    return message.decode(await raw_body(request, max_bytes), into, max_bytes=max_bytes)


def cbor_reply(value: Message, status: int = 200) -> Response:
    """`value` as CBOR that no cache keeps."""
    return Uncached(message.encode(value), "application/cbor", status)


async def _received(request: Request, max_bytes: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal():
        _check_size(int(declared), max_bytes)
    received, ended = b"", False
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while not ended:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise Malformed("The request's body ended early.")
                received += message.get("body", b"")
                _check_size(len(received), max_bytes)
                ended = not message.get("more_body", False)
    except TimeoutError:
        raise Malformed(f"The request's body did not arrive within {BODY_TIMEOUT_S:.0f} s.") from None
    return received


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise TooLarge(f"The request's body may hold at most {max_bytes} bytes.")
