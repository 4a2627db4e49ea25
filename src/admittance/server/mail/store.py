"""The outbox table: mail is written in the transaction of what it tells, and sent afterwards."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from admittance.server.database import metadata

outbox = Table(
    "mail_outbox",
    metadata,
    Column("mail_id", Text, primary_key=True),
    Column("recipient", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("last_error", Text, nullable=False),
    Index("ix_mail_outbox_state_next_attempt_at", "state", "next_attempt_at"),
)
