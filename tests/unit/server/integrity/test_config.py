"""The service's own file of settings."""

from pathlib import Path

import pytest

from admittance.errors import ConfigurationError
from admittance.server.integrity.config import load_config


def written(folder: Path, text: str) -> Path:
    path = folder / "integrity.toml"
    path.write_text(text)
    return path


def test_the_defaults_hold_without_a_file() -> None:
    config = load_config(None)
    policy = config.policy
    assert (policy.coverage_percent, policy.deadline_s, policy.attestation_ttl_s) == (80, 5, 900)
    assert config.data_dir == Path.cwd() / "integrity-data"


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, '[service]\ndata_dir = "d"\n'))
    assert config.data_dir == tmp_path / "d"
    assert config.database_url == f"sqlite+aiosqlite:///{tmp_path}/d/integrity.db"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[service]\norign = 'x'", "did you mean 'origin'"),
        ("[service]\norigin = 'http://x'", "line 2: service.origin"),
        ("[service]\nlisten = 'x'", "host:port"),
        ("[policy]\ncoverage_percent = 59", "line 2: policy.coverage_percent"),
        ("[policy]\nattestation_ttl_s = 3601", "line 2: policy.attestation_ttl_s"),
        ("[tls]\ncert_file = 'x'", "belong together"),
        ("[[", "not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_config(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        load_config(tmp_path / "gone.toml")
