"""Which bus a configuration asks for, and what is wrong with others."""

from pathlib import Path

import pytest

from admittance.errors import ConfigurationError
from admittance.server.bus.local import LocalBus
from admittance.server.bus.nats import NatsBus
from admittance.server.bus.opening import open_bus
from admittance.server.config import load_config
from tests.nats import write_certificates

POSTGRESQL = '[database]\nurl = "postgresql+asyncpg://user@host/database"\n'


def written(folder: Path, bus: str, database: str = POSTGRESQL) -> Path:
    path = folder / "admittance.toml"
    path.write_text(f"{database}[bus]\n{bus}\n")
    return path


def test_without_a_url_a_process_is_alone(tmp_path: Path) -> None:
    assert isinstance(open_bus(load_config(written(tmp_path, "", ""))), LocalBus)


def test_a_url_is_nats_with_what_is_beside_it(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    (tmp_path / "credentials").write_text("node:s3cret\n")
    (tmp_path / "credentials").chmod(0o600)
    bus = open_bus(
        load_config(
            written(
                tmp_path,
                'url = "tls://one:4222,tls://two:4222"\nprefix = "home"\nca_file = "ca.pem"\n'
                'cert_file = "server.pem"\nkey_file = "server.key"\ncredentials_file = "credentials"',
            )
        )
    )
    assert isinstance(bus, NatsBus)
    assert bus._servers.urls == ["tls://one:4222", "tls://two:4222"]
    assert bus._servers.prefix == "home"
    assert bus._servers.tls is not None
    assert bus._servers.credentials is not None


@pytest.mark.parametrize(
    ("bus", "message"),
    [
        ('url = "http://host"', "bus.url"),
        ('url = "nats://user:secret@host:4222"', "without a password"),
        ('url = "nats://one,tls://two"', "for all servers"),
        ('url = "nats://one"\nca_file = "ca.pem"', "tls://"),
        ('url = "tls://one"\ncert_file = "x.pem"', "belong together"),
        ('prefix = "a b"', "bus.prefix"),
    ],
)
def test_contradictions_are_named(tmp_path: Path, bus: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as refused:
        load_config(written(tmp_path, bus))
    assert "secret" not in str(refused.value)


def test_a_bus_beside_a_database_in_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="PostgreSQL"):
        load_config(written(tmp_path, 'url = "nats://one"', ""))


@pytest.mark.parametrize(
    ("bus", "message"),
    [
        ('url = "tls://one"\nca_file = "missing.pem"', "ca_file"),
        ('url = "nats://one"\ncredentials_file = "missing"', "missing"),
    ],
)
def test_files_that_cannot_be_used_are_named(tmp_path: Path, bus: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_bus(load_config(written(tmp_path, bus)))
