"""Sends what the outbox holds: at least once, with growing delays, from any number of nodes."""

import asyncio

import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from admittance.errors import Unavailable
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.mail.port import Mail, MailRejected, MailTransport
from admittance.server.mail.store import outbox

LEASE_S = 300
"""A node that dies while it sends loses its claim after this long; then the mail is sent again."""

FIRST_DELAY_S = 15
MAX_DELAY_S = 3600
GIVE_UP_S = 5 * 86_400

log = structlog.stdlib.get_logger(__name__)


class OutboxSender:
    """Claims due mails one by one and hands them to a transport.

    A mail is `waiting`, then `sent`; or `failed`, when the next server refused it for good, or could not be
    reached for five days. Nothing is deleted here.
    """

    def __init__(
        self, *, database: Database, clock: Clock, transport: MailTransport, poll_interval_s: float = 2.0
    ) -> None:
        self._database = database
        self._clock = clock
        self._transport = transport
        self._poll_interval_s = poll_interval_s

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            try:
                while await self.send_next():
                    pass
            except (Unavailable, SQLAlchemyError) as error:
                log.warning("mail_outbox_unavailable", error=type(error).__name__)
            await asyncio.sleep(self._poll_interval_s)

    async def send_next(self) -> bool:
        """Try the mail that is due longest. Returns whether there was one."""
        claimed = await self._claim()
        if claimed is None:
            return False
        mail, attempts = claimed
        try:
            await self._transport.send(mail)
        except MailRejected as error:
            log.warning("mail_rejected", mail_id=mail.mail_id, error=str(error))
            await self._finish(mail, "failed", str(error))
        except Unavailable as error:
            await self._postpone(mail, attempts, str(error))
        else:
            await self._finish(mail, "sent", "")
        return True

    async def _claim(self) -> tuple[Mail, int] | None:
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
                .where(outbox.c.mail_id == row.mail_id)
                .values(attempts=row.attempts + 1, next_attempt_at=now + LEASE_S)
            )
        mail = Mail(
            mail_id=row.mail_id,
            recipient=row.recipient,
            subject=row.subject,
            text=row.text,
            created_at=row.created_at,
        )
        return mail, row.attempts + 1

    async def _postpone(self, mail: Mail, attempts: int, reason: str) -> None:
        now = int(self._clock())
        if now - mail.created_at >= GIVE_UP_S:
            log.warning("mail_given_up", mail_id=mail.mail_id, error=reason)
            await self._finish(mail, "failed", reason)
            return
        delay_s = min(FIRST_DELAY_S * 2 ** min(attempts - 1, 16), MAX_DELAY_S)
        log.info("mail_postponed", mail_id=mail.mail_id, delay_s=delay_s, error=reason)
        async with self._database.transaction() as connection:
            await connection.execute(
                update(outbox)
                .where(outbox.c.mail_id == mail.mail_id)
                .values(next_attempt_at=now + delay_s, last_error=reason)
            )

    async def _finish(self, mail: Mail, state: str, reason: str) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(
                update(outbox).where(outbox.c.mail_id == mail.mail_id).values(state=state, last_error=reason)
            )
