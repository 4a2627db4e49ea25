"""Requests in, replies out: bodies are bounded, strict, and decoded into typed values."""

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from admittance.errors import Malformed, TooLarge
from admittance.server.whole import IS_HERE
from admittance.wire import message
from admittance.wire.message import Message

MAX_BODY_BYTES = 64 * 1024
BODY_TIMEOUT_S = 20.0

T = TypeVar("T")
M = TypeVar("M", bound=Message)


async def raw_body(request: Request, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The whole body. Raises `TooLarge` beyond `max_bytes`, `Malformed` when it does not arrive in time."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise TooLarge(f"The request's body may hold at most {max_bytes} bytes.")
    received, ended = b"", False
    is_here = IS_HERE in request.scope.get("extensions", ())
    try:
        async with nullcontext() if is_here else asyncio.timeout(BODY_TIMEOUT_S):
            while not ended:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise Malformed("The request's body ended early.")
                received += message.get("body", b"")
                if len(received) > max_bytes:
                    raise TooLarge(f"The request's body may hold at most {max_bytes} bytes.")
                ended = not message.get("more_body", False)
    except TimeoutError:
        raise Malformed(f"The request's body did not arrive within {BODY_TIMEOUT_S:.0f} s.") from None
    return received


async def body(request: Request, into: type[T], max_bytes: int = MAX_BODY_BYTES) -> T:
    """The JSON body as `into`. Raises `Malformed` or `TooLarge`."""
    _require_type(request, "application/json")
    data = await raw_body(request, max_bytes)
    try:
        return msgspec.json.decode(data, type=into)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"The request's JSON body is not as expected: {error}.") from None


def reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`value` (a Struct or a dict) as JSON that no cache keeps."""
    return Response(
        encode_json(value),
        status_code=status,
        media_type="application/json",
        headers={"cache-control": "no-store", **(headers or {})},
    )


def encode_json(value: Any) -> bytes:
    return msgspec.json.encode(value)


async def cbor_body(request: Request, into: type[M], max_bytes: int = 16 * 1024) -> M:
    """The CBOR body as the message `into`. Raises `Malformed` or `TooLarge`."""
    _require_type(request, "application/cbor")
    return message.decode(await raw_body(request, max_bytes), into, max_bytes=max_bytes)


def cbor_reply(value: Message, status: int = 200) -> Response:
    return Response(
        message.encode(value),
        status_code=status,
        media_type="application/cbor",
        headers={"cache-control": "no-store"},
    )


def _require_type(request: Request, expected: str) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != expected:
        raise Malformed(f"Send the body as {expected}.")
