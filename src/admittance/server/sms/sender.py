"""Sends the text messages that the outbox holds, for as long as the code in them is good."""

from typing import Any

from sqlalchemy import Row

from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.outbox import Outbox, OutboxSender, Schedule
from admittance.server.sms.outbox import SmsOutbox
from admittance.server.sms.port import SmsProvider
from admittance.server.sms.store import outbox as table

SCHEDULE = Schedule(lease_s=60, first_delay_s=2, max_delay_s=60, give_up_s=600, poll_interval_s=0.5)


def sms_sender(*, database: Database, clock: Clock, outbox: SmsOutbox, provider: SmsProvider) -> OutboxSender:
    """Hands due messages to `provider`; number and text go once a message is sent or given up."""

    async def send(row: Row[Any]) -> None:
        await provider.send(outbox.open(row.sms_id, row.sealed))

    return OutboxSender(Outbox("sms", table, SCHEDULE, wiped={"sealed": b""}), send, database=database, clock=clock)
