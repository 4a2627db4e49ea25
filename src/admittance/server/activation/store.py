"""Challenges, activations and tickets.

A ticket is stored as an HMAC only: whoever reads the database cannot enrol with it.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Row,
    Table,
    Text,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.activation.model import Caller
from admittance.server.database import metadata

challenges = Table(
    "challenges",
    metadata,
    Column("challenge", LargeBinary, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("jkt", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("device_id", Text),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Index(None, "expires_at"),
)

activations = Table(
    "activations",
    metadata,
    Column("challenge", LargeBinary, primary_key=True),
    Column("request_mac", LargeBinary, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("registry_key", LargeBinary, ForeignKey("devices.registry_key", ondelete="CASCADE"), nullable=False),
    Column("device_id", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("evidence", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("cancelled_at", BigInteger),
    Index(None, "registry_key"),
)

tickets = Table(
    "tickets",
    metadata,
    Column("ticket_mac", LargeBinary, primary_key=True),
    Column("registry_key", LargeBinary, ForeignKey("devices.registry_key", ondelete="CASCADE"), nullable=False),
    Column("account_id", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Column("used_spki_sha256", LargeBinary),
    Column("cancelled_at", BigInteger),
    Index(None, "registry_key"),
)


async def add_challenge(
    connection: AsyncConnection,
    challenge: bytes,
    caller: Caller,
    purpose: str,
    device_id: str | None,
    expires_at: int,
) -> None:
    await connection.execute(
        insert(challenges).values(
            challenge=challenge,
            account_id=caller.account_id,
            jkt=caller.jkt,
            purpose=purpose,
            device_id=device_id,
            expires_at=expires_at,
        )
    )


async def find_challenge(connection: AsyncConnection, challenge: bytes) -> Row[Any] | None:
    return (await connection.execute(select(challenges).where(challenges.c.challenge == challenge))).first()


async def consume_challenge(
    connection: AsyncConnection, challenge: bytes, caller: Caller, purpose: str, device_id: str, now: int
) -> bool:
    """Use the challenge up, if it is the caller's, for this purpose and device, unused and in time.

    Of any number of callers at once, one gets true.
    """
    columns = challenges.c
    result = await connection.execute(
        update(challenges)
        .where(
            columns.challenge == challenge,
            columns.account_id == caller.account_id,
            columns.jkt == caller.jkt,
            columns.purpose == purpose,
            or_(columns.device_id.is_(None), columns.device_id == device_id),
            columns.expires_at > now,
            columns.used_at.is_(None),
        )
        .values(used_at=now)
    )
    return result.rowcount == 1


async def forget_challenges(connection: AsyncConnection, before: int) -> None:
    """Delete challenges that expired before that time."""
    await connection.execute(delete(challenges).where(challenges.c.expires_at < before))


async def find_activation(connection: AsyncConnection, challenge: bytes) -> Row[Any] | None:
    return (await connection.execute(select(activations).where(activations.c.challenge == challenge))).first()


async def add_activation(connection: AsyncConnection, **values: object) -> None:
    await connection.execute(insert(activations).values(**values))


async def last_evidence(connection: AsyncConnection, registry_key: bytes) -> bytes | None:
    """The evidence of the device's newest activation."""
    columns = activations.c
    query = select(columns.evidence).where(columns.registry_key == registry_key).order_by(columns.sequence.desc())
    return (await connection.execute(query.limit(1))).scalar()


async def add_ticket(
    connection: AsyncConnection, ticket_mac: bytes, registry_key: bytes, account_id: str, epoch: int, expires_at: int
) -> None:
    await connection.execute(
        insert(tickets).values(
            ticket_mac=ticket_mac,
            registry_key=registry_key,
            account_id=account_id,
            epoch=epoch,
            expires_at=expires_at,
        )
    )


async def find_ticket(connection: AsyncConnection, ticket_mac: bytes) -> Row[Any] | None:
    return (await connection.execute(select(tickets).where(tickets.c.ticket_mac == ticket_mac))).first()


async def consume_ticket(connection: AsyncConnection, ticket_mac: bytes, spki_sha256: bytes, now: int) -> bool:
    """Use the ticket up for one operational key. Of any number of callers at once, one gets true."""
    columns = tickets.c
    result = await connection.execute(
        update(tickets)
        .where(
            columns.ticket_mac == ticket_mac,
            columns.used_at.is_(None),
            columns.cancelled_at.is_(None),
            columns.expires_at > now,
        )
        .values(used_at=now, used_spki_sha256=spki_sha256)
    )
    return result.rowcount == 1


async def cancel_tickets(connection: AsyncConnection, registry_key: bytes, now: int) -> None:
    """End the device's unused tickets."""
    columns = tickets.c
    await connection.execute(
        update(tickets)
        .where(columns.registry_key == registry_key, columns.used_at.is_(None), columns.cancelled_at.is_(None))
        .values(cancelled_at=now)
    )


async def cancel_activations(connection: AsyncConnection, registry_key: bytes, now: int) -> None:
    """Withhold answers that were made: asked again, they are refused."""
    columns = activations.c
    await connection.execute(
        update(activations)
        .where(columns.registry_key == registry_key, columns.cancelled_at.is_(None))
        .values(cancelled_at=now)
    )
