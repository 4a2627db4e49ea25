"""Sends what the outbox holds: at least once, from any number of nodes, for as long as the code in it is good."""

import asyncio

import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from admittance.errors import Unavailable
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.sms.outbox import SmsOutbox
from admittance.server.sms.port import Sms, SmsProvider, SmsRejected
from admittance.server.sms.store import outbox

LEASE_S = 60
"""A node that dies while it sends loses its claim after this long; then the message is sent again."""

FIRST_DELAY_S = 2
MAX_DELAY_S = 60
GIVE_UP_S = 600

log = structlog.stdlib.get_logger(__name__)


class SmsSender:
    """Claims due messages one by one and hands them to a provider."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        outbox: SmsOutbox,
        provider: SmsProvider,
        poll_interval_s: float = 0.5,
    ) -> None:
        self._database = database
        self._clock = clock
        self._outbox = outbox
        self._provider = provider
        self._poll_interval_s = poll_interval_s

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            try:
                while await self.send_next():
                    pass
            except (Unavailable, SQLAlchemyError) as error:
                log.warning("sms_outbox_unavailable", error=type(error).__name__)
            await asyncio.sleep(self._poll_interval_s)

    async def send_next(self) -> bool:
        """Try the message that is due longest. Returns whether there was one."""
        claimed = await self._claim()
        if claimed is None:
            return False
        sms, attempts, created_at = claimed
        try:
            await self._provider.send(sms)
        except SmsRejected as error:
            log.warning("sms_rejected", sms_id=sms.sms_id, error=str(error))
            await self._finish(sms, "failed", str(error))
        except Unavailable as error:
            await self._postpone(sms, attempts, created_at, str(error))
        else:
            await self._finish(sms, "sent", "")
        return True

    async def _claim(self) -> tuple[Sms, int, int] | None:
        now = int(self._clock())
        due = (
            select(outbox)
            .where(outbox.c.state == "waiting", outbox.c.next_attempt_at <= now)
            .order_by(outbox.c.next_attempt_at)
            .limit(1)
        )
        async with self._database.read() as connection:
            if (await connection.execute(due)).first() is None:
                return None
        async with self._database.transaction() as connection:
            row = (await connection.execute(due.with_for_update(skip_locked=True))).first()
            if row is None:
                return None
            await connection.execute(
                update(outbox)
                .where(outbox.c.sms_id == row.sms_id)
                .values(attempts=row.attempts + 1, next_attempt_at=now + LEASE_S)
            )
        return self._outbox.open(row.sms_id, row.sealed), row.attempts + 1, row.created_at

    async def _postpone(self, sms: Sms, attempts: int, created_at: int, reason: str) -> None:
        now = int(self._clock())
        if now - created_at >= GIVE_UP_S:
            log.warning("sms_given_up", sms_id=sms.sms_id, error=reason)
            await self._finish(sms, "failed", reason)
            return
        delay_s = min(FIRST_DELAY_S * 2 ** min(attempts - 1, 16), MAX_DELAY_S)
        log.info("sms_postponed", sms_id=sms.sms_id, delay_s=delay_s, error=reason)
        async with self._database.transaction() as connection:
            await connection.execute(
                update(outbox)
                .where(outbox.c.sms_id == sms.sms_id)
                .values(next_attempt_at=now + delay_s, last_error=reason)
            )

    async def _finish(self, sms: Sms, state: str, reason: str) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(
                update(outbox).where(outbox.c.sms_id == sms.sms_id).values(state=state, last_error=reason, sealed=b"")
            )
