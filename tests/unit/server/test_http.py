import asyncio
import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from admittance.errors import Malformed, TooLarge
from admittance.server import http
from admittance.wire import message
from admittance.wire.message import Message


class Greeting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str


class Ping(Message, frozen=True, tag="test/ping/1"):
    number: int


def request(*chunks: bytes, content_type: str = "application/json", **headers: str) -> Request:
    """A request whose body arrives in `chunks`; it never ends if there are none."""
    waiting = [
        {"type": "http.request", "body": chunk, "more_body": position + 1 < len(chunks)}
        for position, chunk in enumerate(chunks)
    ]

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop(0)
        await asyncio.Event().wait()
        return {}

    raw = [(b"content-type", content_type.encode())]
    raw += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, receive)


async def test_json_body_is_decoded_from_any_chunks() -> None:
    assert await http.body(request(b'{"na', b'me":', b'"x"}'), Greeting) == Greeting("x")


@pytest.mark.parametrize("content", [b"", b"{", b'{"name":1}', b'{"name":"x","y":1}', b"\xff", b'{"name":"\xff"}'])
async def test_other_json_is_malformed(content: bytes) -> None:
    with pytest.raises(Malformed):
        await http.body(request(content), Greeting)


@given(st.binary(max_size=100))
def test_any_bytes_decode_or_are_malformed(content: bytes) -> None:
    async def read() -> None:
        with contextlib.suppress(Malformed):
            await http.body(request(content), Greeting)

    asyncio.run(read())


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/cbor", "application/jsonx"])
async def test_body_must_say_that_it_is_json(content_type: str) -> None:
    with pytest.raises(Malformed, match="application/json"):
        await http.body(request(b'{"name":"x"}', content_type=content_type), Greeting)


async def test_declared_giant_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge):
        await http.raw_body(request(content_length="65537"))


async def test_undeclared_giant_is_refused_at_the_limit() -> None:
    with pytest.raises(TooLarge):
        await http.raw_body(request(*[bytes(1024)] * 66))


async def test_body_at_the_limit_is_read() -> None:
    assert len(await http.raw_body(request(bytes(http.MAX_BODY_BYTES)))) == http.MAX_BODY_BYTES


async def test_body_that_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_TIMEOUT_S", 0.0)
    with pytest.raises(Malformed, match="did not arrive"):
        await http.raw_body(request())


async def test_cbor_round_trip() -> None:
    reply = http.cbor_reply(Ping(7))
    received = request(bytes(reply.body), content_type="application/cbor")
    assert await http.cbor_body(received, Ping) == Ping(7)
    assert reply.media_type == "application/cbor"


async def test_other_cbor_is_malformed() -> None:
    with pytest.raises(Malformed):
        await http.cbor_body(request(message.encode(Ping(7)) + b"x", content_type="application/cbor"), Ping)


def test_reply_is_not_cached() -> None:
    assert http.reply({"a": 1}, status=201).headers["cache-control"] == "no-store"
