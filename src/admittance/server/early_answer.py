"""Answers that come before the request's body was read: read the rest, or say that the connection ends.

Many refusals need no body, such as the one that hands out a DPoP nonce. Without this the connection would break
under a client that is about to send the request again on it.
"""

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_UNREAD_BYTES = 64 * 1024
UNREAD_TIMEOUT_S = 2.0


class EarlyAnswer:
    """Before an answer starts, reads what is left of a body that was not here, up to 64 KiB and 2 s.

    A client that wants to send more, or waits for `100 Continue`, gets `Connection: close` with the answer.
    """

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(receive)

        async def send_after_body(message: Message) -> None:
            if message["type"] == "http.response.start" and not body.ended:
                if "expect" not in Headers(scope=scope):
                    await body.read_out()
                if not body.ended:
                    MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        await self._application(scope, body.receive, send_after_body)


class _Body:
    """The request's body as the application reads it; knows whether its end was seen."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.ended = False

    async def receive(self) -> Message:
        message = await self._receive()
        self.ended = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message

    async def read_out(self) -> None:
        unread = 0
        try:
            async with asyncio.timeout(UNREAD_TIMEOUT_S):
                while not self.ended and unread <= MAX_UNREAD_BYTES:
                    unread += len((await self.receive()).get("body", b""))
        except TimeoutError:
            return
