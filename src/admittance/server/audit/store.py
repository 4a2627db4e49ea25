"""The audit table: an append-only chain in which each row authenticates the one before it.

``mac[n] = HMAC-SHA256(audit key, CBOR [label, n, mac[n-1], at, event, actor, subject, details])``
and ``mac[0]`` is 32 zero bytes. The key is not in the database.
"""

import hashlib
import hmac
from collections.abc import Mapping

import msgspec
from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.audit.model import Detail, Entry
from admittance.server.database import metadata
from admittance.wire import cbor

GENESIS = bytes(32)
_LABEL = "admittance/audit/1"

audit = Table(
    "audit",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Index(None, "subject"),
)


_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('admittance/audit'))")
_LAST = select(audit.c.number, audit.c.mac).order_by(audit.c.number.desc()).limit(1)
_APPEND = insert(audit)


class AuditLog:
    """Appends to the chain. `key` is the keystore's audit key, 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    async def append(
        self,
        connection: AsyncConnection,
        *,
        event: str,
        actor: str,
        subject: str,
        details: Mapping[str, Detail] | None = None,
        now: float,
    ) -> Entry:
        """Append one row in the caller's transaction, so that the event and its record stand or fall together.

        Until the transaction ends, other appends wait. `details` must hold no secret.
        """
        if connection.dialect.name == "postgresql":
            await connection.execute(_LOCK)
        last = (await connection.execute(_LAST)).first()
        number, previous = (last.number + 1, last.mac) if last else (1, GENESIS)
        entry = Entry(number, int(now), event, actor, subject, dict(details or {}))
        encoded = encode_details(entry.details)
        row = {
            "number": entry.number,
            "at": entry.at,
            "event": event,
            "actor": actor,
            "subject": subject,
            "details": encoded,
            "mac": row_mac(self._key, previous, entry, encoded),
        }
        await connection.execute(_APPEND, row)
        return entry


def encode_details(details: Mapping[str, Detail]) -> str:
    return msgspec.json.encode(details, order="deterministic").decode()


def row_mac(key: bytes, previous: bytes, entry: Entry, encoded_details: str) -> bytes:
    """The 32-byte MAC of one row over the MAC of the row before it."""
    fields = [_LABEL, entry.number, previous, entry.at, entry.event, entry.actor, entry.subject, encoded_details]
    return hmac.digest(key, cbor.encode(fields), hashlib.sha256)
