"""nats-server and mosquitto on ports of their own, over TLS with a certificate of the bench's own CA.

Both run as their packages configure them, without persistence and without a log of each connection.
"""

import shutil
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from admittance.demo.ports import free_ports
from bench.load.generator import Server
from bench.load.processes import ServerProcess, running
from tests.tls_material import Authority


@contextmanager
def nats_server(folder: Path) -> Iterator[tuple[ServerProcess, Server]]:
    """nats-server with its WebSocket listener."""
    folder.mkdir()
    anchor = _certificates(folder)
    client_port, port = free_ports(2)
    (folder / "nats.conf").write_text(
        f'host: "127.0.0.1"\nport: {client_port}\nmax_connections: 65536\n'
        f'websocket {{ host: "127.0.0.1", port: {port}, compression: false, '
        f'tls {{ cert_file: "{folder}/server.crt", key_file: "{folder}/server.key" }} }}\n'
    )
    with running([_program("nats-server"), "-c", str(folder / "nats.conf")], folder, port) as process:
        yield process, Server("nats", port, anchor)


@contextmanager
def mosquitto(folder: Path) -> Iterator[tuple[ServerProcess, Server]]:
    """mosquitto with a listener for MQTT over TLS."""
    folder.mkdir()
    anchor = _certificates(folder)
    (port,) = free_ports(1)
    (folder / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\ncertfile {folder}/server.crt\nkeyfile {folder}/server.key\n"
        "allow_anonymous true\nmax_connections -1\npersistence false\nlog_type error\nuser root\n"
    )
    with running([_program("mosquitto"), "-c", str(folder / "mosquitto.conf")], folder, port) as process:
        yield process, Server("mosquitto", port, anchor)


def _certificates(folder: Path) -> str:
    """Put a certificate for ``localhost`` with its key into `folder`; gives the CA's certificate (PEM)."""
    authority = Authority("bench")
    leaf = authority.issue()
    (folder / "server.crt").write_text(ssl.DER_cert_to_PEM_cert(leaf.certificate))
    (folder / "server.key").write_bytes(leaf.key_pem)
    return ssl.DER_cert_to_PEM_cert(authority.certificate)


def _program(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if found is None:
        raise RuntimeError(f"{name} is missing; run: scripts/debian-packages {name}")
    return found
