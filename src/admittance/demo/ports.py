"""Ports to listen on, for programs that are told where before they run."""

import contextlib
import secrets
import socket
from typing import Final

LISTENING: Final = range(12_000, 32_000)
"""Below the ports that Linux gives to connections that go out: none of those takes one while its program restarts."""


def free_ports(count: int) -> list[int]:
    """Find that many ports of this machine that nobody uses now."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            with contextlib.suppress(OSError):
                held.append(socket.create_server(("127.0.0.1", secrets.choice(LISTENING))))
        return [bound.getsockname()[1] for bound in held]
    finally:
        for bound in held:
            bound.close()
