"""The outermost layer of every listener: security headers, the request log, and a last net for exceptions."""

import time
from collections.abc import Iterable

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from admittance.server.early_answer import EarlyAnswer
from admittance.server.problems import internal_error
from admittance.server.request_log import RequestLog
from admittance.server.whole import BODY_HERE

PEOPLE_HEADERS = {
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "geolocation=(), microphone=(), camera=()",
    "strict-transport-security": "max-age=63072000",
}

log = structlog.stdlib.get_logger(__name__)


class Guard:
    """Adds `headers` where the application has not set them itself; logs method, path, status and duration."""

    def __init__(self, application: ASGIApp, listener: str, headers: dict[str, str] | None = None) -> None:
        self._application = application
        self._early_answer = EarlyAnswer(application)
        self._requests = RequestLog(listener)
        self._headers = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status = 0
        finished = False
        began = time.monotonic()

        async def send_guarded(message: Message) -> None:
            nonlocal status, finished
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *self._missing(message["headers"])]
            await send(message)
            finished = message["type"] == "http.response.body" and not message.get("more_body", False)

        try:
            application = self._application if BODY_HERE in scope.get("extensions", ()) else self._early_answer
            await application(scope, receive, send_guarded)
        except Exception as error:
            log.error("request_crashed", method=scope["method"], path=scope["path"], exc_info=error)
            if status and not finished:
                raise
            if not status:
                await internal_error()(scope, receive, send_guarded)
        self._requests.add(scope["method"], scope["path"], status, time.monotonic() - began)

    def _missing(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        present = {name for name, _ in headers}
        return [header for header in self._headers if header[0] not in present]
