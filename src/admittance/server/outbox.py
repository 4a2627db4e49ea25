"""Sends what an outbox table holds: at least once, with growing delays, from any number of nodes.

An outbox has an id as its primary key, and the columns ``state``, ``created_at``, ``attempts``, ``next_attempt_at``
and ``last_error``. A row is `waiting`, then `sent`; or `failed`, when the next hop refused it for good, or could not
be reached for too long. Nothing is deleted here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import structlog
from sqlalchemy import Row, Table, select, update
from sqlalchemy.exc import SQLAlchemyError

from admittance.errors import AdmittanceError, Unavailable
from admittance.server.clock import Clock
from admittance.server.database import Database

log = structlog.stdlib.get_logger(__name__)


class Rejected(AdmittanceError):
    """The next hop will never take this: another try is useless."""

    code: ClassVar[str] = "rejected"


@dataclass(frozen=True)
class Schedule:
    """When to try, in seconds. A node that dies while it sends loses its claim after `lease_s`, and the row is sent
    again; the delay between tries doubles from `first_delay_s` to `max_delay_s`."""

    lease_s: int
    first_delay_s: int
    max_delay_s: int
    give_up_s: int
    poll_interval_s: float

    def delay_s(self, attempts: int) -> int:
        """How long to wait after that many tries."""
        doublings = min(attempts - 1, 16)
        return min(self.first_delay_s << doublings, self.max_delay_s)


@dataclass(frozen=True)
class Outbox:
    """A table, what its rows are called in the log, and the values that wipe a row's content once it ended."""

    name: str
    table: Table
    schedule: Schedule
    wiped: Mapping[str, Any] = field(default_factory=dict)


class OutboxSender:
    """Claims due rows one by one. `send` hands one over, and raises `Rejected`, or `Unavailable` to try again."""

    def __init__(
        self, outbox: Outbox, send: Callable[[Row[Any]], Awaitable[None]], *, database: Database, clock: Clock
    ) -> None:
        self._outbox = outbox
        self._columns = outbox.table.c
        (self._id,) = outbox.table.primary_key.columns
        self._send = send
        self._database = database
        self._clock = clock

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            try:
                while await self.send_next():
                    pass
            except (Unavailable, SQLAlchemyError) as error:
                log.warning(f"{self._outbox.name}_outbox_unavailable", error=type(error).__name__)
            await asyncio.sleep(self._outbox.schedule.poll_interval_s)

    async def send_next(self) -> bool:
        """Try the row that is due longest. Returns whether there was one."""
        row = await self._claim()
        if row is None:
            return False
        try:
            await self._send(row)
        except Rejected as error:
            await self._fail(row, "rejected", str(error))
        except Unavailable as error:
            await self._postpone(row, str(error))
        else:
            await self._change(row, state="sent", last_error="", **self._outbox.wiped)
        return True

    async def _claim(self) -> Row[Any] | None:
        now = int(self._clock())
        due = (
            select(self._outbox.table)
            .where(self._columns.state == "waiting", self._columns.next_attempt_at <= now)
            .order_by(self._columns.next_attempt_at)
            .limit(1)
        )
        async with self._database.read() as connection:
            if (await connection.execute(due)).first() is None:
                return None
        async with self._database.transaction() as connection:
            row = (await connection.execute(due.with_for_update(skip_locked=True))).first()
            if row is not None:
                claim = {"attempts": row.attempts + 1, "next_attempt_at": now + self._outbox.schedule.lease_s}
                await connection.execute(update(self._outbox.table).where(self._id == self._key(row)).values(claim))
            return row

    async def _postpone(self, row: Row[Any], reason: str) -> None:
        now = int(self._clock())
        schedule = self._outbox.schedule
        if now - row.created_at >= schedule.give_up_s:
            await self._fail(row, "given_up", reason)
            return
        delay_s = schedule.delay_s(row.attempts + 1)
        log.info(f"{self._outbox.name}_postponed", id=self._key(row), delay_s=delay_s, error=reason)
        await self._change(row, next_attempt_at=now + delay_s, last_error=reason)

    async def _fail(self, row: Row[Any], cause: str, reason: str) -> None:
        log.warning(f"{self._outbox.name}_{cause}", id=self._key(row), error=reason)
        await self._change(row, state="failed", last_error=reason, **self._outbox.wiped)

    async def _change(self, row: Row[Any], **values: Any) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(update(self._outbox.table).where(self._id == self._key(row)).values(values))

    def _key(self, row: Row[Any]) -> Any:
        return row._mapping[self._id]
