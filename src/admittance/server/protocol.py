"""A shim over uvicorn's HTTP protocol: tells the application about TLS, and waits for nobody for ever.

uvicorn neither exposes the client's certificate nor bounds how long or how large a request's head may be. This
touches its internals, so uvicorn is pinned and the tests hold each of them.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from admittance.server.connection import EXTENSION, Connection
from admittance.server.tls import server_certificate_sha256, tls_extension
from admittance.server.transports import UnpausingTransport
from admittance.server.whole import Whole

HEAD_TIMEOUT_S = 10.0
MAX_HEAD_BYTES = 16 * 1024

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class AdmittanceProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._extensions: dict[str, Any] = {}
        self._head_timer: asyncio.TimerHandle | None = None
        self._in_head = False
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, UnpausingTransport(transport, self.loop)))
        connection = transport.get_extra_info("ssl_object")
        if connection is not None:
            tls = tls_extension(connection)
            self._extensions = {"tls": tls}
            shown = server_certificate_sha256(tls)
            if shown is not None:
                self._extensions[EXTENSION] = Connection(shown)
        self._await_head()
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()
            elif self._head_timer is None:
                self._start_head_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = self._extensions
        self._await_head()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_head_timer()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        unread = self.cycle.more_body
        super().on_response_complete()
        if unread:
            self.transport.close()

    def shutdown(self) -> None:
        """The server stops. An idle connection is cut: its client may never answer TLS's goodbye."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
        else:
            super().shutdown()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        whole: Any = Whole(app, cycle)
        super()._start_asgi_task(cycle, whole)

    def _await_head(self) -> None:
        """A head begins. Most end with the same data and never need the timer."""
        self._stop_head_timer()
        self._in_head = True
        self._head_bytes = 0

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
