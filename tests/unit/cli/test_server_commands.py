import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding

from admittance.cli import COMMANDS, main
from admittance.demo.ports import free_ports
from tests.swtpm_world import EkAuthority

ADMIT = [sys.executable, "-c", "from admittance.cli import run; run()"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    people, first_contact, device, app_relay, device_relay = free_ports(5)
    path = tmp_path / "admittance.toml"
    path.write_text(
        f'[server]\norigin = "https://localhost:{people}"\ndata_dir = "data"\n'
        f'[listen]\npeople = "127.0.0.1:{people}"\nfirst_contact = "127.0.0.1:{first_contact}"\n'
        f'device = "127.0.0.1:{device}"\napp_relay = "127.0.0.1:{app_relay}"\n'
        f'device_relay = "127.0.0.1:{device_relay}"\n'
    )
    return path


class Serving:
    """`admit serve` as a process."""

    def __init__(self, config: Path) -> None:
        self.process = subprocess.Popen(
            [*ADMIT, "serve", "--config", str(config), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def ready(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1].decode()
        event: dict[str, Any] = json.loads(line)
        return event

    def end(self, number: int) -> tuple[int, str]:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors.decode()


@pytest.fixture
def serving(config: Path) -> Iterator[Serving]:
    serving = Serving(config)
    yield serving
    if serving.process.poll() is None:
        serving.end(signal.SIGKILL)


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, result.stdout, result.stderr


def test_serve_tells_when_it_is_ready_and_stops_at_sigterm(serving: Serving, config: Path) -> None:
    event = serving.ready()
    assert event["event"] == "ready"
    assert event["data_dir"] == str(config.parent / "data")
    code, log = serving.end(signal.SIGTERM)
    assert code == 0
    assert [json.loads(line)["event"] for line in log.splitlines()][-1] == "server_stopping"


def test_serve_killed_while_it_makes_its_keys_starts_again(config: Path) -> None:
    """Each time the first file more than before is there, the process is killed."""
    keys = config.parent / "data" / "keys"
    for count in (1, 5, 11):
        serving = Serving(config)
        while not keys.exists() or len(list(keys.iterdir())) < count:
            assert serving.process.poll() is None
        serving.end(signal.SIGKILL)
    kept = {path.name: path.read_bytes() for path in keys.iterdir() if not path.name.startswith(".")}
    serving = Serving(config)
    serving.ready()
    assert serving.end(signal.SIGTERM)[0] == 0
    assert kept.items() <= {path.name: path.read_bytes() for path in keys.iterdir()}.items()


def test_serve_names_an_address_in_use(serving: Serving, config: Path, tmp_path: Path) -> None:
    serving.ready()
    other = tmp_path / "other.toml"
    other.write_text(config.read_text().replace('"data"', '"other"'))
    done = subprocess.run([*ADMIT, "serve", "--config", str(other)], capture_output=True, text=True, check=False)
    assert done.returncode == 6
    assert "another program listens there already" in done.stderr
    assert "Traceback" not in done.stderr


def test_config_check_and_show(config: Path) -> None:
    assert invoke("config", "check", "--config", str(config))[0] == 0
    shown = json.loads(invoke("config", "show", "--json", "--config", str(config))[1])
    assert shown["server"]["data_dir"] == str(config.parent / "data")
    assert shown["policy"]["certificate_ttl_s"] == 604800
    assert "certificate_ttl_s = 604800" in invoke("config", "show", "--config", str(config))[1]


def test_config_check_explains_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[listen]\npeopel = 'x'\n")
    code, _, message = invoke("config", "check", "--config", str(path))
    assert code == 6
    assert message == f"Error: {path}, line 2: listen.peopel: unknown setting; did you mean 'people'?\n"
    code, output, _ = invoke("config", "check", "--json", "--config", str(path))
    assert code == 6
    assert json.loads(output)["error"] == "configuration"


def test_doctor_changes_nothing_and_warns_before_the_first_start(config: Path) -> None:
    code, output, _ = invoke("doctor", "--json", "--config", str(config))
    assert code == 1
    assert json.loads(output)["grade"] == "warn"
    assert not (config.parent / "data").exists()


def test_doctor_finds_what_is_wrong(config: Path) -> None:
    serving = Serving(config)
    serving.ready()
    serving.end(signal.SIGTERM)
    assert invoke("doctor", "--config", str(config))[0] == 1
    (config.parent / "data" / "keys" / "code.key").chmod(0o644)
    (closed,) = free_ports(1)
    config.write_text(config.read_text() + f'[mail]\nsmtp = "smtp://127.0.0.1:{closed}"\n')
    code, output, _ = invoke("doctor", "--json", "--config", str(config))
    assert code == 2
    grades = {finding["check"]: finding["grade"] for finding in json.loads(output)["findings"]}
    assert grades["database"] == "pass"
    assert {name for name, grade in grades.items() if grade == "fail"} == {"file modes", "keys", "mail"}


def findings(config: Path) -> dict[str, tuple[str, str]]:
    output = invoke("doctor", "--json", "--config", str(config))[1]
    return {found["check"]: (found["grade"], found["detail"]) for found in json.loads(output)["findings"]}


def test_doctor_examines_the_cas_of_tpm_makers(config: Path) -> None:
    assert findings(config)["TPM makers"] == ("pass", "[tpm] ek_roots is empty: no device can prove its TPM")
    config.write_text(config.read_text() + '[tpm]\nek_roots = ["ek-ca.pem"]\n')
    root = config.parent / "ek-ca.pem"
    assert findings(config)["TPM makers"] == ("fail", f"[tpm] ek_roots {root}: No such file or directory")
    root.write_bytes(EkAuthority().certificate.public_bytes(Encoding.PEM))
    assert findings(config)["TPM makers"] == ("pass", "CAs that may vouch for TPMs: 1")
    expired = EkAuthority("Old", now=datetime.now(UTC) - timedelta(days=40))
    with root.open("ab") as file:
        file.write(expired.certificate.public_bytes(Encoding.PEM))
    grade, detail = findings(config)["TPM makers"]
    assert grade == "fail"
    assert "CN=Old expired on" in detail


def test_doctor_examines_the_sms_gateway(config: Path) -> None:
    assert findings(config)["SMS"] == ("pass", "[sms] provider is none: no codes by SMS")
    with socket.create_server(("127.0.0.1", 0)) as gateway:
        port = gateway.getsockname()[1]
        config.write_text(
            f'{config.read_text()}[sms]\nprovider = "http"\nurl = "http://127.0.0.1:{port}/"\ntoken_file = "token"\n'
        )
        token = config.parent / "token"
        assert findings(config)["SMS"][0] == "fail"
        token.touch(mode=0o644)
        assert findings(config)["SMS"][0] == "fail"
        token.chmod(0o600)
        token.write_text("token\n")
        assert findings(config)["SMS"] == ("pass", f"127.0.0.1:{port} answers")
    assert findings(config)["SMS"] == ("fail", f"127.0.0.1:{port}: Connect call failed ('127.0.0.1', {port})")


def test_doctor_fails_on_a_wrong_configuration(tmp_path: Path) -> None:
    assert invoke("doctor", "--config", str(tmp_path / "missing.toml"))[0] == 2


def test_audit_verify_and_export(config: Path) -> None:
    serving = Serving(config)
    serving.ready()
    serving.end(signal.SIGTERM)
    code, output, _ = invoke("audit", "verify", "--json", "--config", str(config))
    assert code == 0
    assert json.loads(output)["ok"] is True
    assert invoke("audit", "export", "--config", str(config))[0] == 0


def test_audit_of_a_server_that_never_ran_is_a_configuration_error(config: Path) -> None:
    assert invoke("audit", "verify", "--config", str(config))[0] == 6


def test_help_names_every_command_without_loading_any() -> None:
    script = (
        "import sys; from admittance.cli import main as m; m(['--help'], standalone_mode=False); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)
    assert "admittance.server" not in done.stdout
    assert "admittance.device" not in done.stdout


def test_unknown_command_is_wrong_usage() -> None:
    assert invoke("nonsense")[0] == 2


def test_completion_script_is_made() -> None:
    environment = {**os.environ, "_ADMIT_COMPLETE": "bash_source"}
    done = subprocess.run(ADMIT, env=environment, capture_output=True, text=True, check=False)
    assert "_ADMIT_COMPLETE=bash_complete" in done.stdout
