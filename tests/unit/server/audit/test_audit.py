import asyncio
import json
from pathlib import Path

import pytest
from sqlalchemy import text

from admittance.errors import AuditBroken
from admittance.server.audit.journal import Journal
from admittance.server.audit.service import AuditService
from admittance.server.audit.store import AuditLog
from admittance.server.database import Database

KEY = bytes(range(32))
NOW = 1_800_000_000.7


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "audit-checkpoints.jsonl", KEY)


@pytest.fixture
def service(database: Database, journal: Journal) -> AuditService:
    return AuditService(database=database, clock=lambda: NOW, key=KEY, journal=journal)


async def write(database: Database, count: int) -> None:
    log = AuditLog(KEY)
    for position in range(count):
        async with database.transaction() as connection:
            await log.append(
                connection,
                event="device.activated",
                actor="account:1",
                subject=f"device:{position}",
                details={"epoch": position, "note": "ä"},
                now=NOW,
            )


async def tamper(database: Database, *statements: str) -> None:
    """As the database's own administrator, who can drop triggers."""
    drop = (
        ["DROP TRIGGER audit_no_update", "DROP TRIGGER audit_no_delete"]
        if database.is_sqlite
        else ["DROP TRIGGER audit_no_change ON audit"]
    )
    async with database.transaction() as connection:
        for statement in (*drop, *statements):
            await connection.execute(text(statement))


async def test_untouched_log_verifies(database: Database, service: AuditService) -> None:
    await write(database, 3)
    assert await service.checkpoint()
    await write(database, 2)
    verified = await service.verify()
    assert (verified.rows, verified.checkpoints) == (5, 1)


async def test_empty_log_verifies(service: AuditService) -> None:
    assert not await service.checkpoint()
    assert (await service.verify()).rows == 0


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET actor = 'account:2' WHERE number = 2",
        "UPDATE audit SET at = at + 1 WHERE number = 2",
        "UPDATE audit SET details = '{}' WHERE number = 2",
        "UPDATE audit SET details = '?' WHERE number = 2",
        "UPDATE audit SET mac = (SELECT mac FROM audit WHERE number = 1) WHERE number = 2",
        "DELETE FROM audit WHERE number = 2",
    ],
)
async def test_changed_row_is_named(database: Database, service: AuditService, change: str) -> None:
    await write(database, 3)
    await tamper(database, change)
    with pytest.raises(AuditBroken) as caught:
        await service.verify()
    assert caught.value.number == 2


async def test_first_row_taken_out_is_named(database: Database, service: AuditService) -> None:
    await write(database, 3)
    await tamper(database, "DELETE FROM audit WHERE number = 1")
    with pytest.raises(AuditBroken, match="row 1 is missing"):
        await service.verify()


async def test_rows_cut_off_behind_a_checkpoint_are_named(database: Database, service: AuditService) -> None:
    await write(database, 5)
    await service.checkpoint()
    await tamper(database, "DELETE FROM audit WHERE number > 3")
    with pytest.raises(AuditBroken) as caught:
        await service.verify()
    assert caught.value.number == 4
    with pytest.raises(AuditBroken):
        await service.checkpoint()


async def test_log_replaced_by_a_shorter_genuine_one_is_noticed(database: Database, service: AuditService) -> None:
    """Rows cut off and others, with good MACs, written after them: an old backup that went on."""
    await write(database, 4)
    await service.checkpoint()
    await tamper(database, "DELETE FROM audit WHERE number > 2")
    async with database.transaction() as connection:
        for _ in range(3):
            await AuditLog(KEY).append(connection, event="x", actor="server", subject="y", now=NOW + 9)
    with pytest.raises(AuditBroken) as caught:
        await service.verify()
    assert caught.value.number == 4


async def test_another_key_does_not_verify(database: Database, journal: Journal) -> None:
    await write(database, 1)
    other = AuditService(database=database, clock=lambda: NOW, key=bytes(32), journal=journal)
    with pytest.raises(AuditBroken):
        await other.verify()


async def test_append_stands_or_falls_with_its_transaction(database: Database, service: AuditService) -> None:
    async def fail() -> None:
        async with database.transaction() as connection:
            await AuditLog(KEY).append(connection, event="x", actor="server", subject="y", now=NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await write(database, 1)
    assert (await service.verify()).rows == 1


async def test_checkpoint_only_where_there_is_something_new(database: Database, service: AuditService) -> None:
    await write(database, 1)
    assert await service.checkpoint()
    assert not await service.checkpoint()


async def test_export_gives_every_row_in_order(database: Database, service: AuditService) -> None:
    await write(database, 2)
    rows = [json.loads(line) async for line in service.export()]
    assert [row["number"] for row in rows] == [1, 2]
    assert rows[1] | {"mac": ""} == {
        "number": 2,
        "at": 1_800_000_000,
        "event": "device.activated",
        "actor": "account:1",
        "subject": "device:1",
        "details": {"epoch": 1, "note": "ä"},
        "mac": "",
    }


async def test_concurrent_appends_make_one_chain(database: Database, service: AuditService) -> None:
    await asyncio.gather(*(write(database, 3) for _ in range(4)))
    assert (await service.verify()).rows == 12
