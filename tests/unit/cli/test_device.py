from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from admittance.cli import main
from admittance.device import program
from tests.unit.device.births import make_birth


def admit(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["device", *map(str, arguments)])


def run(tmp_path: Path, *options: str) -> Result:
    return admit(
        "run", "--birth", tmp_path / "birth", "--state", tmp_path / "state", "--premises", tmp_path / "p", *options
    )


@pytest.mark.parametrize("display", ["paper", "png:", "none:x"])
def test_an_unknown_display_is_wrong_usage(tmp_path: Path, display: str) -> None:
    make_birth(tmp_path / "birth")
    result = run(tmp_path, "--display", display)
    assert result.exit_code == 2
    assert "terminal, png:FILE or none" in result.output


def test_a_folder_that_is_no_birth_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "birth").mkdir()
    assert run(tmp_path).exit_code == 6


@pytest.mark.parametrize("command", ["press", "reset", "status"])
def test_an_agent_that_does_not_run_is_unavailable(tmp_path: Path, command: str) -> None:
    result = admit(command, "--state", tmp_path, "--json")
    assert result.exit_code == 7
    assert '"unavailable"' in result.output


def test_run_becomes_the_agent_with_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_birth(tmp_path / "birth")
    became: list[list[str]] = []
    monkeypatch.setattr(program.os, "execv", lambda path, arguments: became.append(arguments))
    shown = ("--display", "png:screen.png", "--poll-s", "5", "--qr", "url", "--json")
    talking = ("--application", "lock", "--local", "127.0.0.1:0", "--readings-s", "2", "--relay-plain")
    assert run(tmp_path, *shown, *talking).exit_code == 0
    options = program.msgspec.json.decode(became[0][-1], type=program.Options)
    assert (options.display, options.png, options.poll_s) == ("png", "screen.png", 5)
    assert (options.qr_form, options.json_logs) == ("url", True)
    assert (options.application, options.local) == ("lock", "127.0.0.1:0")
    assert (options.batch_s, options.relay_plain) == (2, True)


def test_the_agent_tells_why_it_cannot_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_birth(tmp_path / "birth")
    became: list[list[str]] = []
    monkeypatch.setattr(program.os, "execv", lambda path, arguments: became.append(arguments))
    run(tmp_path, "--json")
    with pytest.raises(SystemExit) as ended:
        program.main(became[0][-1])
    assert ended.value.code == 7
    assert '"cause": "unavailable"' in capsys.readouterr().err
