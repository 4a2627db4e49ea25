"""Unix sockets that only their owner can open."""

import contextlib
import os
import socket
from pathlib import Path

from admittance.errors import Conflict


def bind_private(path: Path) -> socket.socket:
    """A socket bound to `path`, mode 0600. A stale socket file is replaced; a live one raises `Conflict`."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        if path.is_socket():
            _refuse_live(path)
            path.unlink()
        listener.bind(str(path))
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(old)
    return listener


def _refuse_live(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, contextlib.suppress(ConnectionRefusedError):
        probe.connect(str(path))
        raise Conflict(f"{path}: another premises process listens there")
