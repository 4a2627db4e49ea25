"""The schema that the migrations make is the schema that the code speaks."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from admittance.server.database import Database
from admittance.server.migrations.run import current_revision, newest_revision
from admittance.server.schema import metadata


@pytest.fixture(params=["sqlite", "postgresql"])
async def fresh(request: pytest.FixtureRequest, tmp_path: Path, empty_postgres: str) -> AsyncIterator[Database]:
    url = f"sqlite+aiosqlite:///{tmp_path}/x.db" if request.param == "sqlite" else empty_postgres
    database = Database(url)
    yield database
    await database.close()


def differences(connection: Connection) -> list[object]:
    options = {"compare_type": True, "compare_server_default": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


async def test_migrated_schema_is_the_codes_schema(fresh: Database) -> None:
    await fresh.migrate()
    async with fresh.read() as connection:
        assert await connection.run_sync(differences) == []
        assert await connection.run_sync(current_revision) == newest_revision()


async def test_migration_that_fails_leaves_nothing(fresh: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("admittance.server.audit.triggers._SQLITE", ("NOT SQL",))
    monkeypatch.setattr("admittance.server.audit.triggers._POSTGRESQL", ("NOT SQL",))
    with pytest.raises(Exception, match="syntax error"):
        await fresh.migrate()
    monkeypatch.undo()
    await fresh.migrate()
    async with fresh.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_every_constraint_has_the_name_of_its_convention(fresh: Database) -> None:
    await fresh.migrate()
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'index' AND name NOT LIKE 'sqlite_autoindex%'"
        if fresh.is_sqlite
        else "SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
    )
    async with fresh.read() as connection:
        names = (await connection.execute(text(query))).scalars().all()
    prefixes = ("ix_", "uq_", "ck_", "fk_", "pk_", "alembic_version")
    assert names
    assert [name for name in names if not name.startswith(prefixes)] == []
