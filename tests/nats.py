"""A nats-server of the tests' own: on a free port, in a temporary folder, gone afterwards."""

import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from admittance.demo.ports import free_ports
from tests.tls_material import Authority

START_WITHIN_S = 60.0


class NatsServer:
    """The program, which can be killed, stopped for a while, and started again at the same address."""

    def __init__(self, folder: Path, *, tls: bool = False, settings: str = "") -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"{'tls' if tls else 'nats'}://localhost:{self.port}"
        self.ca_file = folder / "ca.pem"
        self._process: subprocess.Popen[bytes] | None = None
        if tls:
            write_certificates(folder)
            settings += f'tls {{ cert_file: "{folder}/server.pem", key_file: "{folder}/server.key" }}\n'
        (folder / "nats.conf").write_text(f'listen: "127.0.0.1:{self.port}"\n{settings}')

    def start(self) -> None:
        """Start, and return once connections are accepted."""
        program = shutil.which("nats-server", path="/usr/sbin:/usr/bin:/usr/local/bin")
        if program is None:
            raise RuntimeError("NATS is missing; run: apt-get install nats-server")
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-c", str(self._folder / "nats.conf")], stdout=log, stderr=log, cwd=self._folder
            )
        deadline = time.monotonic() + START_WITHIN_S
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"nats-server did not start:\n{(self._folder / 'log').read_text()}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _accepts(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False


@contextmanager
def nats_server(*, tls: bool = False, settings: str = "") -> Iterator[NatsServer]:
    """A running server; `settings` are further lines of its configuration file."""
    folder = Path(tempfile.mkdtemp(prefix="admittance-nats-", dir="/tmp"))
    server = NatsServer(folder, tls=tls, settings=settings)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)


def free_port() -> int:
    return free_ports(1)[0]


def write_certificates(folder: Path) -> None:
    """A CA in ``ca.pem``, and a certificate for localhost with its key."""
    authority = Authority("NATS test CA")
    leaf = authority.issue("localhost")
    (folder / "ca.pem").write_text(ssl.DER_cert_to_PEM_cert(authority.certificate))
    (folder / "server.pem").write_text(ssl.DER_cert_to_PEM_cert(leaf.certificate))
    (folder / "server.key").write_bytes(leaf.key_pem)
