"""`admit integrity`: what the service's operator says, and what the service wrote down of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from admittance.cli import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text("print('open')")
    (tmp_path / "integrity.toml").write_text('[service]\ndata_dir = "data"\n')
    return tmp_path


def integrity(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["integrity", *arguments, "--config", str(folder / "integrity.toml")])


def as_json(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def add(folder: Path, version: str, *options: str) -> Result:
    app = str(folder / "app")
    return integrity(folder, "release", "add", app, "--client-id", "door-app", "--version", version, *options)


def test_releases_are_added_listed_and_retired(folder: Path) -> None:
    assert as_json(add(folder, "1.0", "--json"))["files"] == 1
    assert add(folder, "1.1").output == "door-app 1.1: 1 files, 13 bytes\n"
    retire = ("release", "retire", "--client-id", "door-app", "--version", "1.0")
    assert integrity(folder, *retire).output == "door-app 1.0 is retired.\n"
    assert integrity(folder, *retire).exit_code == 5
    listed = integrity(folder, "release", "list").output
    assert listed == "door-app 1.0: retired, 1 files, 13 bytes\ndoor-app 1.1: current, 1 files, 13 bytes\n"
    releases = as_json(integrity(folder, "release", "list", "--json"))["releases"]
    assert [(each["version"], each["retired_at"] is None) for each in releases] == [("1.0", False), ("1.1", True)]


def test_a_version_is_never_changed(folder: Path) -> None:
    assert add(folder, "1.0").exit_code == 0
    (folder / "app" / "main.py").write_text("print('evil')")
    refused = add(folder, "1.0", "--json")
    assert (refused.exit_code, json.loads(refused.output)["error"]) == (3, "conflict")


def test_one_key_at_a_time_waits_to_sign(folder: Path) -> None:
    assert as_json(integrity(folder, "key", "rotate", "--json"))["signs_from"] > 0
    assert integrity(folder, "key", "rotate").exit_code == 6


def test_the_audit_log_tells_what_the_operator_did(folder: Path) -> None:
    add(folder, "1.0")
    integrity(folder, "key", "rotate")
    rows = [json.loads(line) for line in integrity(folder, "audit").output.splitlines()]
    assert [row["event"] for row in rows] == ["integrity_release_added", "integrity_key_rolled"]
    assert rows[0]["subject"] == "app:door-app"


def test_a_wrong_setting_is_named(folder: Path) -> None:
    (folder / "integrity.toml").write_text("[policy]\ncoverage_percent = 10\n")
    refused = integrity(folder, "release", "list")
    assert refused.exit_code == 6
    assert "coverage_percent" in refused.output


def test_an_app_that_was_never_attested_is_told_how(tmp_path: Path) -> None:
    refused = CliRunner().invoke(main, ["integrity", "attest", "--profile", str(tmp_path)])
    assert refused.exit_code == 5
    assert "admit integrity attest" in refused.output
