"""What aiofastnet's TLS transports need around them: every listener is on them, as they cost less than uvloop's.

This touches their internals, so the tests hold each of them.
"""

import asyncio
from typing import Any

from admittance.server.turn import Turn

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


class HttpTransport:
    """What uvicorn uses of a transport; paused reading neither loses what is there nor keeps a connection open.

    A closed one of aiofastnet's waits for the peer's goodbye, which it would not read while paused.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop, held: "Turn[HttpTransport]") -> None:
        self._transport = transport
        self._loop = loop
        self._held = held
        self._answer = b""
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info
        self.pause_reading = transport.pause_reading

    def write_in_turn(self, answer: bytes) -> None:
        """Write a whole answer when this turn of the event loop is over, one after the other with those to others.

        A write wakes the client that waits for it, which costs more than the write itself; a client that is still
        awake from the last one costs nothing.
        """
        self._answer += answer
        self._held.add(self)

    def flush(self) -> None:
        """Write what is held."""
        answer, self._answer = self._answer, b""
        if answer and not self._transport.is_closing():
            self._transport.write(answer)

    def write(self, data: bytes) -> None:
        self.flush()
        self._transport.write(data)

    def resume_reading(self) -> None:
        resume_reading(self._transport, self._loop)

    def abort(self) -> None:
        """End without TLS's goodbye, but with what is held."""
        self.flush()
        self._transport.abort()

    def close(self) -> None:
        self.flush()
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
