"""Ports to listen on, for programs that are told where before they run.

Between a port's choice and its use, and while a program restarts, nobody listens there. So that no two processes
choose the same one, each takes blocks of ports for itself: a block belongs to who bound its name (an abstract Unix
socket, which the kernel frees when the process ends). A process hands none out twice before it has handed out all
that it can get.
"""

import contextlib
import random
import socket
from collections.abc import Iterator
from typing import Final

LISTENING: Final = range(12_000, 32_000)
"""Below the ports that Linux gives to connections that go out: none of those takes one while its program restarts."""

BLOCK_PORTS: Final = 50


def free_ports(count: int) -> list[int]:
    """Find that many ports of this machine that nobody uses now, and that no other process finds while this lives.

    Raises `OSError` when there are none.
    """
    return [_next_free_port() for _ in range(count)]


def _next_free_port() -> int:
    for port in _ports:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("other processes have taken every port that a program could listen on")


def _own_ports() -> Iterator[int]:
    own: list[range] = []
    starts = list(LISTENING[::BLOCK_PORTS])
    random.shuffle(starts)
    for start in starts:
        if _claimed(start):
            own.append(range(start, start + BLOCK_PORTS))
            yield from own[-1]
    while own:
        for block in own:
            yield from block


def _claimed(start: int) -> bool:
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0admittance-ports-{start}")
    except OSError:
        claim.close()
        return False
    claim.detach()
    return True


_ports = _own_ports()
