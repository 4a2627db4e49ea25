"""The log of endings: whose access ended, in the transaction that ended it, so that every node can read it.

Numbers grow, but on PostgreSQL a lower one may commit after a higher one, and a transaction that is rolled back
leaves a number out.
"""

from typing import Literal, NamedTuple

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, bindparam, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.database import metadata, signal

Kind = Literal["device", "token", "account", "grant"]
"""What ended: all that was issued for a device id; all tokens of one login, named by its session id; all that an
account may do; what a guest may do on a device, named by `grant_key`, or some of it."""

SIGNAL = "ended"
"""What `Database.listen` hears after a transaction with an ending has committed."""

endings = Table(
    "endings",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("ended_at", BigInteger, nullable=False),
    Index(None, "ended_at"),
    Index(None, "kind", "key"),
    sqlite_autoincrement=True,
)

_RECORD = insert(endings)
_LAST = select(func.coalesce(func.max(endings.c.number), 0))
_LAST_OF = _LAST.where(endings.c.kind == bindparam("of_kind"), endings.c.key == bindparam("of_key"))
_AFTER = (
    select(endings.c.number, endings.c.kind, endings.c.key)
    .where(endings.c.number > bindparam("floor"))
    .order_by(endings.c.number)
)


class Ending(NamedTuple):
    """One row of the log."""

    number: int
    kind: str
    key: str


async def record_ending(connection: AsyncConnection, kind: Kind, key: str, now: float) -> None:
    """Note in the caller's transaction that access ends with it, and signal that once it has committed."""
    await connection.execute(_RECORD, {"kind": kind, "key": key, "ended_at": int(now)})
    signal(connection, SIGNAL)


def grant_key(device_id: str, guest_id: str) -> str:
    """The key of endings of what that account may do on that device as a guest."""
    return f"{device_id} {guest_id}"


async def last_number(connection: AsyncConnection) -> int:
    """The greatest number that has committed; 0 of an empty log."""
    number: int = (await connection.execute(_LAST)).scalar_one()
    return number


async def last_ending(connection: AsyncConnection, kind: Kind, key: str) -> int:
    """The number of the newest ending of that access; 0 if none is in the log.

    Whoever is let in by what the same view of the database shows is let in after that ending, and before any later.
    """
    number: int = (await connection.execute(_LAST_OF, {"of_kind": kind, "of_key": key})).scalar_one()
    return number


async def endings_after(connection: AsyncConnection, floor: int) -> list[Ending]:
    """What is committed above that number, in the order of numbers."""
    return [Ending(*row) for row in await connection.execute(_AFTER, {"floor": floor})]
