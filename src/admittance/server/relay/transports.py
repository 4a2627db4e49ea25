"""A shim over aiofastnet's TLS transports: smaller buffers than it takes as arguments, and reading again for certain.

This touches its internals, so the tests hold each of them.
"""

import asyncio
from typing import Any

from admittance.errors import Misuse

BIO_BYTES = 16384
"""The least that aiofastnet takes as an argument."""

SMALL_BIO_BYTES = 4096
"""What a connection gets. OpenSSL reads and writes a record in as many parts as it must, and idle buffers of 16 KiB
each way would be a third of a connection's memory."""


def shrink_buffers(server: Any) -> None:
    """Give each connection of an aiofastnet server buffers of `SMALL_BIO_BYTES`. Raises `Misuse` where it can't."""
    for name in ("_ssl_incoming_bio_size", "_ssl_outgoing_bio_size"):
        if getattr(server, name, None) != BIO_BYTES:
            raise Misuse("aiofastnet keeps the size of its buffers elsewhere")
        setattr(server, name, SMALL_BIO_BYTES)


def resume_reading(transport: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Read again after `pause_reading`, also what had been received by then.

    aiofastnet itself looks at that only when more arrives, which may be never.
    """
    transport.resume_reading()
    read_the_rest = getattr(transport, "_retry_ssl_read", None)
    if read_the_rest is not None:
        loop.call_soon(read_the_rest)
