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


def transport_failed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The event loop's exception handler: a peer that breaks TLS or the connection is nothing to report.

    aiofastnet reports some of these, and as classes that the default handler can't print.
    """
    error = context.get("exception")
    kind = error if isinstance(error, type) else type(error)
    if "transport" in context and issubclass(kind, OSError):
        return
    loop.default_exception_handler({**context, "exception": error() if isinstance(error, type) else error})
