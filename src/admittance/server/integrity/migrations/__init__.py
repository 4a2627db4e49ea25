"""Migrations of the integrity service's own database."""

from pathlib import Path

from sqlalchemy.engine import Connection

from admittance.server.migrations import run

FOLDER = Path(__file__).parent


def upgrade(connection: Connection) -> None:
    """Apply what is missing up to the newest revision."""
    run.upgrade(connection, FOLDER)
