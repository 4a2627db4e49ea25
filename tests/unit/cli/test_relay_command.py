import json
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from admittance.cli import main
from admittance.demo.ports import free_ports
from admittance.server.keystore import open_keystore

ADMIT = [sys.executable, "-c", "from admittance.cli import run; run()"]


def write_config(folder: Path, *, relay: bool = True) -> tuple[Path, int]:
    people, first_contact, device, app_relay, device_relay = free_ports(5)
    addresses = f"app_relay = '127.0.0.1:{app_relay}'\ndevice_relay = '127.0.0.1:{device_relay}'\n"
    path = folder / "admittance.toml"
    path.write_text(
        f"[server]\norigin = 'https://localhost:{people}'\ndata_dir = 'data'\n"
        f"[listen]\npeople = '127.0.0.1:{people}'\nfirst_contact = '127.0.0.1:{first_contact}'\n"
        f"device = '127.0.0.1:{device}'\n" + (addresses if relay else "app_relay = ''\ndevice_relay = ''\n")
    )
    return path, device_relay


def serve(config: Path, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*ADMIT, *command, "--config", str(config), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def stop(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    return process.returncode


def test_a_node_alone_uses_the_keys_of_its_server(tmp_path: Path) -> None:
    config, port = write_config(tmp_path)
    server = serve(config, "serve")
    assert server.stdout is not None
    ready = json.loads(server.stdout.readline())
    assert ready["device_relay"] == f"wss://localhost:{port}"
    assert stop(server) == 0
    capture = tmp_path / "frames.jsonl"
    node = serve(config, "relay", "--capture", str(capture))
    assert node.stdout is not None
    assert json.loads(node.stdout.readline())["device_relay"] == [f"wss://localhost:{port}"]
    anchor = ssl.create_default_context(cafile=_anchor(tmp_path))
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        anchor.wrap_socket(plain, server_hostname="localhost"),
    ):
        pass
    assert stop(node) == 0
    assert capture.read_bytes() == b""


def test_a_node_alone_makes_no_keys(tmp_path: Path) -> None:
    config, _ = write_config(tmp_path)
    failed = CliRunner().invoke(main, ["relay", "--config", str(config)])
    assert failed.exit_code == 6
    assert not (tmp_path / "data").exists()


def test_without_addresses_there_is_no_node(tmp_path: Path) -> None:
    config, _ = write_config(tmp_path, relay=False)
    failed = CliRunner().invoke(main, ["relay", "--config", str(config)])
    assert failed.exit_code == 6
    assert "app_relay" in failed.output


def _anchor(folder: Path) -> Path:
    """The anchor that devices are given, as a file."""
    path = folder / "anchor.pem"
    path.write_bytes(open_keystore(folder / "data" / "keys", now=0.0, create=False).tls_anchor.certificate_pem)
    return path


def test_a_node_that_shares_a_database_needs_a_bus(tmp_path: Path) -> None:
    config, _ = write_config(tmp_path)
    server = serve(config, "serve")
    assert server.stdout is not None
    server.stdout.readline()
    assert stop(server) == 0
    config.write_text(config.read_text() + "[database]\nurl = 'postgresql+asyncpg://nobody@localhost/none'\n")
    refused = CliRunner().invoke(main, ["relay", "--config", str(config), "--json"])
    assert refused.exit_code == 6
    assert "[bus] url" in json.loads(refused.output)["detail"]
