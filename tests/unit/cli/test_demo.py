import json
from pathlib import Path

from click.testing import CliRunner

from admittance.cli import main


def test_a_folder_that_is_there_already_is_not_worked_in(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["demo", "--keep", str(tmp_path), "--json"])
    assert done.exit_code == 6
    assert "Choose a new folder" in json.loads(done.stdout)["detail"]
