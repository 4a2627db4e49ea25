"""The outbox table: a message is written in the transaction of what it tells, and sent afterwards.

Messages hold one-time codes, so number and text lie under the envelope, and go once they are sent or given up.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from admittance.server.database import metadata

outbox = Table(
    "sms_outbox",
    metadata,
    Column("sms_id", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("last_error", Text, nullable=False),
    Index("ix_sms_outbox_state_next_attempt_at", "state", "next_attempt_at"),
)
