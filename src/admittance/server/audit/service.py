"""Verify, export and checkpoint the audit log."""

import hmac
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Row, select

from admittance.errors import AuditBroken
from admittance.server.audit.journal import Journal
from admittance.server.audit.model import Entry
from admittance.server.audit.store import GENESIS, audit, row_mac
from admittance.server.clock import Clock
from admittance.server.database import Database

_BATCH = 1000


@dataclass(frozen=True)
class Verified:
    """How many audit rows and checkpoints hold."""

    rows: int
    checkpoints: int


class AuditService:
    """`key` is the keystore's audit key, 32 bytes."""

    def __init__(self, *, database: Database, clock: Clock, key: bytes, journal: Journal) -> None:
        self._database = database
        self._clock = clock
        self._key = key
        self._journal = journal

    async def checkpoint(self) -> bool:
        """Write down how far the chain has come; False if it has not come further.

        Raises `AuditBroken` when it is shorter than, or other than, at the last checkpoint.
        """
        known = self._journal.read()
        async with self._database.read() as connection:
            last = (
                await connection.execute(select(audit.c.number, audit.c.mac).order_by(audit.c.number.desc()).limit(1))
            ).first()
        number, mac = (last.number, last.mac) if last else (0, GENESIS)
        if known and number <= known[-1].number:
            if number < known[-1].number:
                raise _cut_off(number + 1, known[-1].number)
            if not hmac.compare_digest(mac, known[-1].mac):
                raise _differs(number)
            return False
        if number == 0:
            return False
        self._journal.append(number, mac, int(self._clock()))
        return True

    async def verify(self) -> Verified:
        """Check every row against its predecessor and every checkpoint against its row.

        Raises `AuditBroken` that names the first row that is wrong or missing.
        """
        checkpoints = self._journal.read()
        expected = {checkpoint.number: checkpoint.mac for checkpoint in checkpoints}
        previous, number = GENESIS, 0
        async with aclosing(self._rows()) as rows:
            async for row in rows:
                number += 1
                if row.number != number:
                    raise AuditBroken(number, f"Audit row {number} is missing.")
                mac = row_mac(self._key, previous, _entry(row), row.details)
                if not hmac.compare_digest(mac, row.mac):
                    raise _differs(number)
                if number in expected and not hmac.compare_digest(mac, expected[number]):
                    raise _differs(number)
                previous = mac
        highest = max(expected, default=0)
        if highest > number:
            raise _cut_off(number + 1, highest)
        return Verified(number, len(checkpoints))

    async def export(self) -> AsyncIterator[bytes]:
        """Each row as one JSON object: number, at, event, actor, subject, details, mac (hexadecimal)."""
        async with aclosing(self._rows()) as rows:
            async for row in rows:
                content = msgspec.structs.asdict(_entry(row)) | {"mac": row.mac.hex()}
                yield msgspec.json.encode(content)

    async def _rows(self) -> AsyncGenerator[Row[Any]]:
        last = -1
        async with self._database.read() as connection:
            while True:
                found = await connection.execute(
                    select(audit).where(audit.c.number > last).order_by(audit.c.number).limit(_BATCH)
                )
                rows = found.all()
                for row in rows:
                    yield row
                if len(rows) < _BATCH:
                    return
                last = rows[-1].number


def _entry(row: Row[Any]) -> Entry:
    try:
        details = msgspec.json.decode(row.details, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise _differs(row.number) from None
    return Entry(row.number, row.at, row.event, row.actor, row.subject, details)


def _differs(number: int) -> AuditBroken:
    return AuditBroken(number, f"Audit row {number} was changed after it was written.")


def _cut_off(number: int, highest: int) -> AuditBroken:
    return AuditBroken(number, f"Audit rows {number} to {highest} were cut off.")
