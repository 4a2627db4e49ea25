"""Which node holds a device: rows that every node reads, and the statements on them.

Each arrival of a device raises its row's number, so of any number of connections, on whatever nodes, the one whose
row was written last is the newest, and the only one that is right. Node ids are made anew at each start of a node.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, ColumnElement, Index, Table, Text, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.database import metadata

presence = Table(
    "presence",
    metadata,
    Column("device_id", Text, primary_key=True),
    Column("arrival", BigInteger, nullable=False),
    Column("node_id", Text),
    Column("since", BigInteger, nullable=False),
    Index(None, "node_id"),
)

relay_nodes = Table(
    "relay_nodes",
    metadata,
    Column("node_id", Text, primary_key=True),
    Column("beats", BigInteger, nullable=False),
)

_DIALECTS = {"sqlite": sqlite, "postgresql": postgresql}
_NEW_ARRIVALS = {name: dialect.insert(presence) for name, dialect in _DIALECTS.items()}
_ARRIVE = {
    name: insert.on_conflict_do_update(
        index_elements=[presence.c.device_id],
        set_={
            "arrival": presence.c.arrival + 1,
            "node_id": insert.excluded.node_id,
            "since": insert.excluded.since,
        },
    ).returning(presence.c.device_id, presence.c.arrival)
    for name, insert in _NEW_ARRIVALS.items()
}
_DEPART = (
    update(presence)
    .where(
        presence.c.device_id == bindparam("departed"),
        presence.c.arrival == bindparam("its_arrival"),
        presence.c.node_id.is_not(None),
    )
    .values(node_id=None, since=bindparam("at"))
)
_RETURN = (
    update(presence)
    .where(
        presence.c.device_id == bindparam("returned"),
        presence.c.arrival == bindparam("its_arrival"),
        presence.c.node_id.is_(None),
    )
    .values(node_id=bindparam("to_node"), since=bindparam("at"))
)
_FIND = select(presence.c.node_id).where(presence.c.device_id == bindparam("sought"))
_COUNT = select(func.count()).select_from(presence).where(presence.c.node_id == bindparam("of_node"))
_HELD = select(presence.c.device_id, presence.c.arrival).where(presence.c.node_id == bindparam("of_node"))
_BEAT = {
    name: dialect.insert(relay_nodes).on_conflict_do_update(
        index_elements=[relay_nodes.c.node_id], set_={"beats": relay_nodes.c.beats + 1}
    )
    for name, dialect in _DIALECTS.items()
}


class Whereabouts(NamedTuple):
    """The node that a device is connected to, None if to none, and since when that is so (Unix)."""

    node_id: str | None
    since: int


class Held(NamedTuple):
    """A device's newest arrival, and the node that holds it."""

    arrival: int
    node_id: str | None


async def arrive(connection: AsyncConnection, node_id: str, device_ids: Iterable[str], now: int) -> dict[str, int]:
    """Note that these devices, each named once, are connected to the node now; gives their arrivals' numbers.

    Rows are taken in the order of ids, so that nodes that write at the same time never wait in a circle.
    """
    values = [
        {"device_id": device_id, "arrival": 1, "node_id": node_id, "since": now} for device_id in sorted(device_ids)
    ]
    rows = await connection.execute(_ARRIVE[connection.dialect.name], values)
    return {row.device_id: row.arrival for row in rows}


async def depart(connection: AsyncConnection, departures: Mapping[str, int], now: int) -> None:
    """Note that these arrivals are over; a newer one of the same device stays."""
    values = [
        {"departed": device_id, "its_arrival": arrival, "at": now}
        for device_id, arrival in sorted(departures.items())
    ]
    await connection.execute(_DEPART, values)


async def come_back(connection: AsyncConnection, node_id: str, arrivals: Mapping[str, int], now: int) -> None:
    """Claim arrivals again that others took for over, where nothing newer came."""
    values = [
        {"returned": device_id, "its_arrival": arrival, "to_node": node_id, "at": now}
        for device_id, arrival in sorted(arrivals.items())
    ]
    await connection.execute(_RETURN, values)


async def find_node(connection: AsyncConnection, device_id: str) -> str | None:
    """The node that holds the device; None if none does."""
    node_id: str | None = (await connection.execute(_FIND, {"sought": device_id})).scalar_one_or_none()
    return node_id


async def whereabouts(connection: AsyncConnection, device_ids: Iterable[str]) -> dict[str, Whereabouts]:
    """Of those devices that ever were connected."""
    columns = presence.c
    query = select(columns.device_id, columns.node_id, columns.since).where(columns.device_id.in_(list(device_ids)))
    return {row.device_id: Whereabouts(row.node_id, row.since) for row in await connection.execute(query)}


async def count_held(connection: AsyncConnection, node_id: str) -> int:
    count: int = (await connection.execute(_COUNT, {"of_node": node_id})).scalar_one()
    return count


async def held_by(connection: AsyncConnection, node_id: str) -> dict[str, int]:
    """The devices of a node with their arrivals."""
    return {row.device_id: row.arrival for row in await connection.execute(_HELD, {"of_node": node_id})}


async def newest(connection: AsyncConnection, device_ids: Iterable[str]) -> dict[str, Held]:
    columns = presence.c
    query = select(columns.device_id, columns.arrival, columns.node_id).where(columns.device_id.in_(list(device_ids)))
    return {row.device_id: Held(row.arrival, row.node_id) for row in await connection.execute(query)}


async def beat(connection: AsyncConnection, node_id: str) -> dict[str, int]:
    """Count the node's own beat; gives those of all nodes."""
    await connection.execute(_BEAT[connection.dialect.name], {"node_id": node_id, "beats": 1})
    rows = await connection.execute(select(relay_nodes.c.node_id, relay_nodes.c.beats))
    return {row.node_id: row.beats for row in rows}


async def remove_node(connection: AsyncConnection, node_id: str, now: int, *, beats: int | None = None) -> bool:
    """Forget a node and that it holds devices; with `beats` only if it has not beaten since."""
    where = relay_nodes.c.node_id == node_id
    if beats is not None:
        where &= relay_nodes.c.beats == beats
    removed = (await connection.execute(delete(relay_nodes).where(where))).rowcount
    if removed == 0 and beats is not None:
        return False
    await _let_go(connection, now, presence.c.node_id == node_id)
    return True


async def forget_strangers(connection: AsyncConnection, now: int) -> None:
    """Let go what is held by nodes that are not, or no longer, known."""
    known = select(relay_nodes.c.node_id)
    await _let_go(connection, now, presence.c.node_id.not_in(known))


async def forget_nodes(connection: AsyncConnection) -> None:
    """Forget that there ever were nodes: this one is alone."""
    await connection.execute(delete(relay_nodes))


async def _let_go(connection: AsyncConnection, now: int, where: ColumnElement[bool]) -> None:
    await connection.execute(
        update(presence).where(presence.c.node_id.is_not(None), where).values(node_id=None, since=now)
    )
