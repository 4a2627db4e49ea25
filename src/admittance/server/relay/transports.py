"""A shim over aiofastnet's TLS transports: smaller buffers than it takes as arguments.

This touches its internals, so the tests hold them.
"""

from typing import Any

from admittance.errors import Misuse
from admittance.server.transports import BIO_BYTES

SMALL_BIO_BYTES = 4096
"""What a connection gets. OpenSSL reads and writes a record in as many parts as it must, and idle buffers of 16 KiB
each way would be a third of a connection's memory."""


def shrink_buffers(server: Any) -> None:
    """Give each connection of an aiofastnet server buffers of `SMALL_BIO_BYTES`. Raises `Misuse` where it can't."""
    for name in ("_ssl_incoming_bio_size", "_ssl_outgoing_bio_size"):
        if getattr(server, name, None) != BIO_BYTES:
            raise Misuse("aiofastnet keeps the size of its buffers elsewhere")
        setattr(server, name, SMALL_BIO_BYTES)
