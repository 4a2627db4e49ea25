"""Answers before the body was read leave a connection that can be used again, or say that it ends."""

import asyncio
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from admittance.server.early_answer import MAX_UNREAD_BYTES, EarlyAnswer


async def answer_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("no", status_code=401)(scope, receive, send)


class Connection:
    """Feeds body messages, keeps what is sent."""

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        if not self.messages:
            await asyncio.Event().wait()
        return self.messages.pop(0)

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def serve(self, *headers: tuple[bytes, bytes]) -> dict[bytes, bytes]:
        scope: dict[str, Any] = {"type": "http", "method": "POST", "headers": list(headers)}
        await EarlyAnswer(answer_at_once)(scope, self.receive, self.send)
        return dict(self.sent[0]["headers"])


def part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_the_rest_of_a_body_is_read_before_the_answer() -> None:
    connection = Connection(part(b"a", more=True), part(b"b", more=False))
    assert b"connection" not in await connection.serve()
    assert connection.messages == []


async def test_a_long_rest_is_not_read_and_the_connection_ends() -> None:
    connection = Connection(*(part(bytes(MAX_UNREAD_BYTES), more=True) for _ in range(4)))
    assert (await connection.serve())[b"connection"] == b"close"
    assert len(connection.messages) == 2


async def test_a_client_that_waits_for_leave_to_send_is_not_invited() -> None:
    connection = Connection(part(b"a", more=False))
    assert (await connection.serve((b"expect", b"100-continue")))[b"connection"] == b"close"
    assert len(connection.messages) == 1


async def test_a_rest_that_never_comes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("admittance.server.early_answer.UNREAD_TIMEOUT_S", 0)
    connection = Connection(part(b"a", more=True), part(b"b", more=True))
    assert (await connection.serve())[b"connection"] == b"close"


async def test_a_client_that_left_is_not_waited_for() -> None:
    connection = Connection({"type": "http.disconnect"})
    await connection.serve()
    assert connection.messages == []
