"""A shim over uvicorn's HTTP protocol: tells the application about TLS, and waits for nobody for ever.

uvicorn neither exposes the client's certificate nor bounds how long or how large a request's head may be. This
touches its internals, so uvicorn is pinned and the tests hold each of them.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from admittance.server.connection import EXTENSION, Connection
from admittance.server.patience import Patience
from admittance.server.tls import server_certificate_sha256, tls_extension
from admittance.server.transports import HttpTransport
from admittance.server.turn import Turn
from admittance.server.whole import Whole

HEAD_TIMEOUT_S = 10.0
MAX_HEAD_BYTES = 16 * 1024

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class AdmittanceProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, answers: Turn[HttpTransport], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._answers = answers
        self._extensions: dict[str, Any] = {}
        self._in_head = True
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, HttpTransport(transport, self.loop, self._answers)))
        connection = transport.get_extra_info("ssl_object")
        if connection is not None:
            tls = tls_extension(connection)
            self._extensions = {"tls": tls}
            shown = server_certificate_sha256(tls)
            if shown is not None:
                self._extensions[EXTENSION] = Connection(shown)
        self._patience = Patience(self.loop, self.transport.close)
        self._patience.begin(HEAD_TIMEOUT_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._patience.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            if not self._head_bytes:
                self._patience.begin(HEAD_TIMEOUT_S)
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = self._extensions
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._patience.end()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Instead of uvicorn's, which makes a timer for each request, and reads on after a body that nobody read."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self.flow.resume_reading()
            self._start_asgi_task(*self.pipeline.pop())
        elif self.cycle.more_body:
            self.transport.close()
        else:
            self.flow.resume_reading()
            if not self._in_head:
                self._patience.begin(self.timeout_keep_alive)

    def shutdown(self) -> None:
        """The server stops. An idle connection is cut: its client may never answer TLS's goodbye."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
        else:
            super().shutdown()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        whole: Any = Whole(app, cycle)
        super()._start_asgi_task(cycle, whole)
