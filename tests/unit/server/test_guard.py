from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message

from admittance.server.guard import Guard
from admittance.server.whole import BODY_HERE


async def served(extensions: dict[str, Any]) -> tuple[dict[bytes, bytes], int]:
    """The headers of an answer that needs no body, and how many parts of the body were read for it."""
    sent: list[Message] = []
    received: list[Message] = []

    async def receive() -> Message:
        received.append({"type": "http.request", "body": b"a", "more_body": False})
        return received[-1]

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "extensions": extensions}
    headers = {"x-frame-options": "DENY", "content-type": "text/html"}
    await Guard(PlainTextResponse("no"), "people", headers)(scope, receive, send)
    return dict(sent[0]["headers"]), len(received)


@pytest.mark.parametrize(("extensions", "read"), [({}, 1), ({BODY_HERE: b"a"}, 0)])
async def test_only_a_body_that_is_not_here_is_read_out(extensions: dict[str, Any], read: int) -> None:
    assert (await served(extensions))[1] == read


async def test_headers_are_added_where_there_are_none() -> None:
    headers, _ = await served({})
    assert headers[b"x-frame-options"] == b"DENY"
    assert headers[b"content-type"].startswith(b"text/plain")
