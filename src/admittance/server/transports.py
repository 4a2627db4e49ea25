"""What aiofastnet's TLS transports need around them: every listener is on them, as they cost less than uvloop's.

This touches their internals, so the tests hold each of them.
"""

import asyncio
from typing import Any

BIO_BYTES = 16384
"""The least that aiofastnet takes as the size of a connection's buffers, each way; it would take 257 KiB."""


def resume_reading(transport: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Read again after `pause_reading`, also what had been received by then.

    aiofastnet itself looks at that only when more arrives, which may be never.
    """
    transport.resume_reading()
    read_the_rest = getattr(transport, "_retry_ssl_read", None)
    if read_the_rest is not None:
        loop.call_soon(read_the_rest)


class UnpausingTransport:
    """What uvicorn uses of a transport; paused reading neither loses what is there nor keeps a connection open.

    A closed one of aiofastnet's waits for the peer's goodbye, which it would not read while paused.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self.write = transport.write
        self.abort = transport.abort
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info
        self.pause_reading = transport.pause_reading

    def resume_reading(self) -> None:
        resume_reading(self._transport, self._loop)

    def close(self) -> None:
        self._transport.resume_reading()
        self._transport.close()


def transport_failed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The event loop's exception handler: a peer that breaks TLS or the connection is nothing to report.

    aiofastnet reports some of these, and as classes that the default handler can't print.
    """
    error = context.get("exception")
    kind = error if isinstance(error, type) else type(error)
    if "transport" in context and issubclass(kind, OSError):
        return
    loop.default_exception_handler({**context, "exception": error() if isinstance(error, type) else error})
