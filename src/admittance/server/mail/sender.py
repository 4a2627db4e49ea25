"""Sends the mail that the outbox holds."""

from typing import Any

from sqlalchemy import Row

from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.mail.port import Mail, MailTransport
from admittance.server.mail.store import outbox
from admittance.server.outbox import Outbox, OutboxSender, Schedule

SCHEDULE = Schedule(lease_s=300, first_delay_s=15, max_delay_s=3600, give_up_s=5 * 86_400, poll_interval_s=2.0)


def mail_sender(*, database: Database, clock: Clock, transport: MailTransport) -> OutboxSender:
    """Hands due mails to `transport`."""

    async def send(row: Row[Any]) -> None:
        mail = Mail(
            mail_id=row.mail_id,
            recipient=row.recipient,
            subject=row.subject,
            text=row.text,
            created_at=row.created_at,
        )
        await transport.send(mail)

    return OutboxSender(Outbox("mail", outbox, SCHEDULE), send, database=database, clock=clock)
