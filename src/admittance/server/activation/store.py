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
    bindparam,
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


_ADD_CHALLENGE = insert(challenges)
_CONSUME_CHALLENGE = (
    update(challenges)
    .where(
        challenges.c.challenge == bindparam("offered"),
        challenges.c.account_id == bindparam("of_account"),
        challenges.c.jkt == bindparam("of_key"),
        challenges.c.purpose == bindparam("for_purpose"),
        or_(challenges.c.device_id.is_(None), challenges.c.device_id == bindparam("for_device")),
        challenges.c.expires_at > bindparam("now"),
        challenges.c.used_at.is_(None),
    )
    .values(used_at=bindparam("now"))
)
_ADD_ACTIVATION = insert(activations)
_ADD_TICKET = insert(tickets)
_FIND_TICKET = select(tickets).where(tickets.c.ticket_mac == bindparam("sought"))
_CONSUME_TICKET = (
    update(tickets)
    .where(
        tickets.c.ticket_mac == bindparam("offered"),
        tickets.c.used_at.is_(None),
        tickets.c.cancelled_at.is_(None),
        tickets.c.expires_at > bindparam("now"),
    )
    .values(used_at=bindparam("now"), used_spki_sha256=bindparam("by_key"))
)
_CANCEL_TICKETS = (
    update(tickets)
    .where(
        tickets.c.registry_key == bindparam("of_device"),
        tickets.c.used_at.is_(None),
        tickets.c.cancelled_at.is_(None),
    )
    .values(cancelled_at=bindparam("now"))
)
_CANCEL_ACTIVATIONS = (
    update(activations)
    .where(activations.c.registry_key == bindparam("of_device"), activations.c.cancelled_at.is_(None))
    .values(cancelled_at=bindparam("now"), sealed=b"")
)


async def add_challenge(
    connection: AsyncConnection,
    challenge: bytes,
    caller: Caller,
    purpose: str,
    device_id: str | None,
    expires_at: int,
) -> None:
    values = {
        "challenge": challenge,
        "account_id": caller.account_id,
        "jkt": caller.jkt,
        "purpose": purpose,
        "device_id": device_id,
        "expires_at": expires_at,
    }
    await connection.execute(_ADD_CHALLENGE, values)


async def find_challenge(connection: AsyncConnection, challenge: bytes) -> Row[Any] | None:
    return (await connection.execute(select(challenges).where(challenges.c.challenge == challenge))).first()


async def consume_challenge(
    connection: AsyncConnection, challenge: bytes, caller: Caller, purpose: str, device_id: str, now: int
) -> bool:
    """Use the challenge up, if it is the caller's, for this purpose and device, unused and in time.

    Of any number of callers at once, one gets true.
    """
    values = {
        "offered": challenge,
        "of_account": caller.account_id,
        "of_key": caller.jkt,
        "for_purpose": purpose,
        "for_device": device_id,
        "now": now,
    }
    return (await connection.execute(_CONSUME_CHALLENGE, values)).rowcount == 1


async def forget_challenges(connection: AsyncConnection, before: int) -> None:
    """Delete challenges that expired before that time."""
    await connection.execute(delete(challenges).where(challenges.c.expires_at < before))


async def find_activation(connection: AsyncConnection, challenge: bytes) -> Row[Any] | None:
    return (await connection.execute(select(activations).where(activations.c.challenge == challenge))).first()


async def add_activation(connection: AsyncConnection, **values: object) -> None:
    await connection.execute(_ADD_ACTIVATION, values)


async def last_evidence(connection: AsyncConnection, registry_key: bytes) -> bytes | None:
    """The evidence of the device's newest activation."""
    columns = activations.c
    query = select(columns.evidence).where(columns.registry_key == registry_key).order_by(columns.sequence.desc())
    return (await connection.execute(query.limit(1))).scalar()


async def add_ticket(
    connection: AsyncConnection, ticket_mac: bytes, registry_key: bytes, account_id: str, epoch: int, expires_at: int
) -> None:
    values = {
        "ticket_mac": ticket_mac,
        "registry_key": registry_key,
        "account_id": account_id,
        "epoch": epoch,
        "expires_at": expires_at,
    }
    await connection.execute(_ADD_TICKET, values)


async def find_ticket(connection: AsyncConnection, ticket_mac: bytes) -> Row[Any] | None:
    return (await connection.execute(_FIND_TICKET, {"sought": ticket_mac})).first()


async def consume_ticket(connection: AsyncConnection, ticket_mac: bytes, spki_sha256: bytes, now: int) -> bool:
    """Use the ticket up for one operational key. Of any number of callers at once, one gets true."""
    values = {"offered": ticket_mac, "by_key": spki_sha256, "now": now}
    return (await connection.execute(_CONSUME_TICKET, values)).rowcount == 1


async def cancel_tickets(connection: AsyncConnection, registry_key: bytes, now: int) -> None:
    """End the device's unused tickets."""
    await connection.execute(_CANCEL_TICKETS, {"of_device": registry_key, "now": now})


async def cancel_activations(connection: AsyncConnection, registry_key: bytes, now: int) -> None:
    """Withhold answers that were made: asked again, they are refused. What they sealed is forgotten."""
    await connection.execute(_CANCEL_ACTIVATIONS, {"of_device": registry_key, "now": now})
