import asyncio
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError

from admittance.errors import ConfigurationError, Unavailable
from admittance.server.audit.store import audit
from admittance.server.database import Database

ROW = {"at": 1, "event": "e", "actor": "a", "subject": "s", "details": "{}", "mac": b"m"}


async def count(database: Database) -> int:
    async with database.read() as connection:
        return (await connection.execute(select(func.count()).select_from(audit))).scalar_one()


async def test_transaction_commits_at_its_end(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(insert(audit).values(number=1, **ROW))
    assert await count(database) == 1


async def test_transaction_that_raises_leaves_nothing(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as connection:
            await connection.execute(insert(audit).values(number=1, **ROW))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await count(database) == 0


async def test_read_sees_one_state_while_another_writes(database: Database) -> None:
    async with database.read() as reader:
        before = (await reader.execute(select(func.count()).select_from(audit))).scalar_one()
        async with database.transaction() as writer:
            await writer.execute(insert(audit).values(number=1, **ROW))
        after = (await reader.execute(select(func.count()).select_from(audit))).scalar_one()
    assert (before, after) == (0, 0)


async def test_concurrent_writers_wait_for_each_other(sqlite_database: Database) -> None:
    async def write(number: int) -> None:
        async with sqlite_database.transaction() as connection:
            await connection.execute(insert(audit).values(number=number, **ROW))
            await asyncio.sleep(0)

    await asyncio.gather(*(write(number) for number in range(1, 21)))
    assert await count(sqlite_database) == 20


async def test_migrating_again_changes_nothing(database: Database) -> None:
    await database.migrate()
    assert await count(database) == 0


async def test_sqlite_is_durable_and_checks_foreign_keys(sqlite_database: Database) -> None:
    async with sqlite_database.read() as connection:
        found = [
            (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "foreign_keys", "synchronous")
        ]
    assert found == ["wal", 1, 2]


@pytest.mark.parametrize("verb", ["UPDATE audit SET actor = 'mallory'", "DELETE FROM audit"])
async def test_audit_rows_can_not_be_changed(database: Database, verb: str) -> None:
    async with database.transaction() as connection:
        await connection.execute(insert(audit).values(number=1, **ROW))
    with pytest.raises(DBAPIError, match="append-only"):
        async with database.transaction() as connection:
            await connection.execute(text(verb))
    assert await count(database) == 1


@pytest.mark.parametrize("url", ["mysql://localhost/x", "sqlite:///x.db", "postgresql://localhost/x", "nonsense"])
def test_other_drivers_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Database(url)


async def test_unreachable_database_is_unavailable() -> None:
    database = Database("postgresql+asyncpg://nobody@/nothing?host=/nonexistent-socket-folder")
    with pytest.raises(Unavailable):
        async with database.transaction():
            pass
    await database.close()


async def test_unknown_database_or_user_is_the_operators_to_mend(postgres_url: str) -> None:
    for url in (postgres_url.replace("/postgres?", "/nothing?"), postgres_url.replace("admittance@", "nobody@")):
        database = Database(url)
        with pytest.raises(ConfigurationError, match=r"\[database\] url"):
            async with database.read():
                pass
        await database.close()


async def test_lost_connection_is_unavailable(postgres_url: str) -> None:
    database = Database(postgres_url)
    with pytest.raises(Unavailable):
        async with database.transaction() as connection:
            await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    await database.close()


async def test_database_held_by_another_program_is_unavailable(sqlite_database: Database) -> None:
    assert sqlite_database.path is not None
    with closing(sqlite3.connect(sqlite_database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with sqlite_database.read() as connection:
            await connection.execute(text("PRAGMA busy_timeout=0"))
        with pytest.raises(Unavailable, match="Another program"):
            async with sqlite_database.transaction():
                pass


async def test_errors_of_our_own_statements_stay_as_they_are(database: Database) -> None:
    with pytest.raises(DBAPIError):
        async with database.read() as connection:
            await connection.execute(text("SELECT nonsense"))


async def test_reading_can_not_write(postgres_url: str) -> None:
    database = Database(postgres_url)
    with pytest.raises(DBAPIError, match="read-only"):
        async with database.read() as connection:
            await connection.execute(text("CREATE TABLE nothing (x integer)"))
    await database.close()
