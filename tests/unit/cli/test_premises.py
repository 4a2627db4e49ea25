import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from admittance.cli import main

PREMISES = """
[[networks]]
ssid = "Home"
passphrase = "correct horse"
"""


@pytest.fixture
def socket_path(tmp_path: Path) -> Iterator[Path]:
    """The socket of a premises process, once it is ready; the process must end by SIGTERM without an error."""
    file, path = tmp_path / "premises.toml", tmp_path / "premises.sock"
    file.write_text(PREMISES)
    arguments = ["premises", "run", "--file", str(file), "--socket", str(path), "--json"]
    command = [sys.executable, "-c", "from admittance.cli import run; run()", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == {"ready": str(path)}
        yield path
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert not path.exists()


def test_owner_changes_the_network_by_commands(socket_path: Path) -> None:
    at = ["--socket", str(socket_path)]
    runner = CliRunner()
    listed = runner.invoke(main, ["premises", "list", *at, "--json"])
    assert json.loads(listed.output) == {"stations": []}
    for arguments in (
        ["set-passphrase", "Home", "--passphrase-file", "-"],
        ["take-down", "Home"],
        ["bring-up", "Home"],
    ):
        done = runner.invoke(main, ["premises", *arguments, *at], input="battery staple\n")
        assert done.exit_code == 0
        assert "battery" not in done.output
    prompted = runner.invoke(
        main, ["premises", "set-passphrase", "Home", *at], input="battery staple\nbattery staple\n"
    )
    assert prompted.exit_code == 0
    assert runner.invoke(main, ["premises", "take-down", "Nowhere", *at]).exit_code == 5
    too_short = runner.invoke(
        main, ["premises", "set-passphrase", "Home", "--passphrase-file", "-", *at], input="short\n"
    )
    assert too_short.exit_code == 6


def test_missing_premises_are_unavailable(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["premises", "list", "--socket", str(tmp_path / "none.sock")])
    assert result.exit_code == 7


def test_wrong_file_is_a_configuration_error(tmp_path: Path) -> None:
    file = tmp_path / "premises.toml"
    file.write_text("networks = 5")
    result = CliRunner().invoke(main, ["premises", "run", "--file", str(file), "--socket", str(tmp_path / "s.sock")])
    assert result.exit_code == 6
