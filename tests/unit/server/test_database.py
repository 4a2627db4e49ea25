import asyncio

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


async def test_read_sees_one_state_while_another_writes(sqlite_database: Database) -> None:
    async with sqlite_database.read() as reader:
        before = (await reader.execute(select(func.count()).select_from(audit))).scalar_one()
        async with sqlite_database.transaction() as writer:
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
