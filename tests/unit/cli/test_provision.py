import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from admittance.cli import main

SETUP = "https://localhost:8443/d/ADAAAAAAAAAAAAAAAAAAAA"


def refused(*arguments: str, code: int) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["provision", *arguments, "--json"])
    assert result.exit_code == code, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_whoever_is_not_logged_in_is_told_to_log_in(tmp_path: Path) -> None:
    answer = refused(SETUP, "--profile", str(tmp_path), code=4)
    assert "admit account login" in answer["detail"]


def test_what_is_no_code_is_named_before_anything_else(tmp_path: Path) -> None:
    answer = refused("https://localhost/else", "--profile", str(tmp_path), code=9)
    assert answer["error"] == "malformed"


@pytest.mark.parametrize(
    "arguments", [[], [SETUP, "--resume"], [SETUP, "--network", "Home", "--server-network", "home"]]
)
def test_options_that_exclude_each_other_are_wrong_usage(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, ["provision", *arguments]).exit_code == 2
