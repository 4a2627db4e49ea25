"""Run Alembic inside a connection and a transaction that the caller opened."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

SERVER = Path(__file__).parent
"""The folder of the server's migrations; other programs on the same machinery have their own."""


def alembic_config(folder: Path = SERVER) -> Config:
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(connection: Connection, folder: Path = SERVER) -> None:
    """Apply what is missing up to the newest revision."""
    config = alembic_config(folder)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def newest_revision(folder: Path = SERVER) -> str | None:
    return ScriptDirectory.from_config(alembic_config(folder)).get_current_head()


def current_revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
