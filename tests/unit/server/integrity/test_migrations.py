"""The service's schema is its own, and is what its code speaks."""

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect

from admittance.server.database import Database
from admittance.server.integrity.migrations import upgrade
from admittance.server.integrity.store import metadata
from admittance.server.schema import metadata as server_metadata


def differences(connection: Connection) -> list[object]:
    options = {"compare_type": True, "compare_server_default": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


async def test_migrated_schema_is_the_codes_schema(database_url: str, tmp_path: Path) -> None:
    database = Database(database_url or f"sqlite+aiosqlite:///{tmp_path}/x.db")
    await database.migrate(upgrade)
    async with database.read() as connection:
        assert await connection.run_sync(differences) == []
        tables = await connection.run_sync(lambda each: set(inspect(each).get_table_names()))
    await database.close()
    assert tables == {"alembic_version", "audit", "releases", "challenges"}
    assert not {"releases"} & set(server_metadata.tables)
