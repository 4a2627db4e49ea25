"""A server as a process of its own, and what it costs by the kernel's account of it."""

import resource
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

READY_S = 30


class ServerProcess:
    """A running server; all of its threads count."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        # What clock_getcpuclockid(3) gives for another process; Python has no name for it.
        self._cpu_clock = ~pid << 3 | 2

    def cpu_s(self) -> float:
        """User and system time so far, to a microsecond: proc(5) tells hundredths of a second."""
        return time.clock_gettime(self._cpu_clock)

    def memory_kib(self) -> float:
        """Memory of its own and its share of what it shares (PSS)."""
        for line in (self._folder / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return float(line.split()[1])
        raise RuntimeError(f"{self._folder} tells no PSS")


def raise_file_limit(needed: int) -> None:
    """Allow this process, and those that it starts, as many open files as the system does.

    Raises `RuntimeError` if those are fewer than `needed`.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < needed:
        raise RuntimeError(f"{needed} open files are needed, and {most} are allowed; see ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextmanager
def running(command: Sequence[str], folder: Path, port: int) -> Iterator[ServerProcess]:
    """Run a server that listens on `port` of 127.0.0.1; its output goes to ``server.log`` in `folder`."""
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        _wait_until_it_listens(process, folder, port)
        yield ServerProcess(process.pid)
    finally:
        process.terminate()
        process.wait()


def _wait_until_it_listens(process: subprocess.Popen[bytes], folder: Path, port: int) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{process.args!r} does not listen:\n{(folder / 'server.log').read_text()}")
