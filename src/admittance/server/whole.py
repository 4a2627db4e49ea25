"""Requests that are there when the application is called, and answers that are written at once.

ASGI has a server hold the head of an answer back until its body begins; uvicorn writes it alone, which costs a TLS
record and a system call more for each answer. This touches the internals of uvicorn's `RequestResponseCycle`, so
uvicorn is pinned.
"""

from functools import lru_cache
from typing import cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from admittance.server.transports import HttpTransport

BODY_HERE = "admittance.request.body_here"
"""The ASGI extension that holds a request's body which has arrived to its end: nobody needs to wait for it."""

_HEADS = 256
_LEFT_TO_UVICORN = frozenset({b"connection", b"transfer-encoding", b"set-cookie", b"location"})
"""It decides about the first two; the others may hold secrets, which must not stay with the heads that are kept."""


class Whole:
    """The application for one request, whose answer it writes itself if it is whole; uvicorn writes all others."""

    def __init__(self, application: ASGIApp, cycle: RequestResponseCycle) -> None:
        self._application = application
        self._cycle = cycle
        self._start: Message | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_whole(message: Message) -> None:
            start, self._start = self._start, None
            if start is None and message["type"] == "http.response.start":
                self._start = message
            elif start is None or not self._write(start, message):
                if start is not None:
                    await send(start)
                await send(message)

        if not self._cycle.more_body:
            scope["extensions"] = {**scope["extensions"], BODY_HERE: bytes(self._cycle.body)}
        try:
            await self._application(scope, receive, send_whole)
        finally:
            if self._start is not None:
                await send(self._start)

    def _write(self, start: Message, body: Message) -> bool:
        """Whether this is a whole answer with a plain head, and is written."""
        cycle, content = self._cycle, body.get("body", b"")
        if (
            body["type"] != "http.response.body"
            or body.get("more_body", False)
            or cycle.scope["method"] == "HEAD"
            or cycle.response_started
            or cycle.disconnected
            or cycle.flow.write_paused
        ):
            return False
        headers = (*cycle.default_headers, *start["headers"])
        if not _LEFT_TO_UVICORN.isdisjoint([name for name, _ in headers]):
            return False
        head = _head(start["status"], headers, len(content), cycle.keep_alive)
        if head is None:
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cast(HttpTransport, cycle.transport).write_in_turn(head + content)
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        return True


@lru_cache(_HEADS)
def _head(
    status: int, headers: tuple[tuple[bytes, bytes], ...], content_length: int, keep_alive: bool
) -> bytes | None:
    """A head of `headers`, whose names are in lower case; None where something in them could break it.

    It is kept: most answers of a route differ in nothing but their content.
    """
    by_name = dict(headers)
    names, values = b"".join(by_name), b"".join([value for _, value in headers])
    if (
        by_name.get(b"content-length") != b"%d" % content_length
        or not names.islower()
        or not names.replace(b"-", b"").isalnum()
        or not values.isascii()
        or not values.decode().isprintable()
    ):
        return None
    lines = [b"%b: %b\r\n" % header for header in headers]
    if not keep_alive:
        lines.append(b"connection: close\r\n")
    return b"".join([STATUS_LINE[status], *lines, b"\r\n"])
