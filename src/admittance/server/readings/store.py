"""Consents, batches and readings. A reading belongs to the account that was the owner when it came."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Row,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.database import metadata
from admittance.server.devices.store import devices
from admittance.server.readings.model import Place, Reading


def _of_device() -> ForeignKey:
    return ForeignKey("devices.registry_key", ondelete="CASCADE")


def _of_account() -> ForeignKey:
    return ForeignKey("accounts.account_id", ondelete="CASCADE")


reading_consents = Table(
    "reading_consents",
    metadata,
    Column("registry_key", LargeBinary, _of_device(), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("account_id", Text, _of_account(), nullable=False),
    Column("given_at", BigInteger, nullable=False),
    Index(None, "account_id"),
)

reading_batches = Table(
    "reading_batches",
    metadata,
    Column("registry_key", LargeBinary, _of_device(), primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("pack_sha256", LargeBinary, nullable=False),
)

readings = Table(
    "readings",
    metadata,
    Column("registry_key", LargeBinary, _of_device(), primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("account_id", Text, _of_account(), nullable=False),
    Column("name", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("value", Double),
    Column("word", Text),
    Column("measured_at", Double, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("skew_s", BigInteger, nullable=False),
    Column("assurance", Text, nullable=False),
    Index(None, "account_id"),
)

_PLACE = (readings.c.epoch, readings.c.sequence, readings.c.position)
_SHOWN = (devices.c.device_id, readings)
_WITH_DEVICE = readings.join(devices, devices.c.registry_key == readings.c.registry_key)
_CONSENTS = select(reading_consents).where(
    reading_consents.c.registry_key == bindparam("of_device"), reading_consents.c.account_id == bindparam("of_owner")
)
_IS_CONSENTED = (
    select(reading_consents.c.name)
    .join(
        devices,
        and_(
            devices.c.registry_key == reading_consents.c.registry_key,
            devices.c.account_id == reading_consents.c.account_id,
        ),
    )
    .where(devices.c.device_id == bindparam("sought"))
    .limit(1)
)
_NEXT_CONSENTING = (
    select(reading_consents.c.registry_key, reading_consents.c.account_id)
    .join(
        devices,
        and_(
            devices.c.registry_key == reading_consents.c.registry_key,
            devices.c.account_id == reading_consents.c.account_id,
        ),
    )
    .where(reading_consents.c.registry_key > bindparam("after"))
    .order_by(reading_consents.c.registry_key)
    .limit(1)
)
_ADD_CONSENT = insert(reading_consents)
_BATCH = select(reading_batches.c.pack_sha256).where(
    reading_batches.c.registry_key == bindparam("of_device"),
    reading_batches.c.epoch == bindparam("in_epoch"),
    reading_batches.c.sequence == bindparam("sought"),
)
_HIGHEST = select(func.coalesce(func.max(reading_batches.c.sequence), 0)).where(
    reading_batches.c.registry_key == bindparam("of_device"), reading_batches.c.epoch == bindparam("in_epoch")
)
_ADD_BATCH = insert(reading_batches)
_ADD_READINGS = insert(readings)


class ConsentingOwner(NamedTuple):
    """A device, and its owner who agreed to some of its readings."""

    registry_key: bytes
    account_id: str


async def consents(connection: AsyncConnection, registry_key: bytes, account_id: str) -> dict[str, int]:
    """The names that this owner agreed to, and when (Unix seconds)."""
    rows = await connection.execute(_CONSENTS, {"of_device": registry_key, "of_owner": account_id})
    return {row.name: row.given_at for row in rows}


async def is_consented(connection: AsyncConnection, device_id: str) -> bool:
    """Whether the device's owner agreed to any readings."""
    return (await connection.execute(_IS_CONSENTED, {"sought": device_id})).first() is not None


async def give(
    connection: AsyncConnection, registry_key: bytes, account_id: str, names: Iterable[str], now: int
) -> None:
    """Record consent to names that have none."""
    rows = [{"registry_key": registry_key, "name": name, "account_id": account_id, "given_at": now} for name in names]
    if rows:
        await connection.execute(_ADD_CONSENT, rows)


async def withdraw(connection: AsyncConnection, registry_key: bytes, names: Iterable[str]) -> None:
    columns = reading_consents.c
    statement = delete(reading_consents).where(columns.registry_key == registry_key, columns.name.in_(list(names)))
    await connection.execute(statement)


async def forget(connection: AsyncConnection, registry_key: bytes) -> None:
    """All consents, batches and readings of a device that is nobody's now."""
    for table in (readings, reading_batches, reading_consents):
        await connection.execute(delete(table).where(table.c.registry_key == registry_key))


async def erase(connection: AsyncConnection, registry_key: bytes, account_id: str, *, kept: Iterable[str]) -> int:
    """Delete an owner's readings of a device but those of the names `kept`. Returns how many went."""
    statement = delete(readings).where(
        readings.c.registry_key == registry_key,
        readings.c.account_id == account_id,
        readings.c.name.not_in(list(kept)),
    )
    return int((await connection.execute(statement)).rowcount)


async def counts(connection: AsyncConnection, registry_key: bytes, account_id: str) -> dict[str, int]:
    """How many readings of each name an owner has from a device."""
    statement = (
        select(readings.c.name, func.count())
        .where(readings.c.registry_key == registry_key, readings.c.account_id == account_id)
        .group_by(readings.c.name)
    )
    return {row.name: row[1] for row in await connection.execute(statement)}


async def batch_digest(connection: AsyncConnection, registry_key: bytes, epoch: int, sequence: int) -> bytes | None:
    """SHA-256 of the pack of a stored batch."""
    found = await connection.execute(_BATCH, {"of_device": registry_key, "in_epoch": epoch, "sought": sequence})
    return found.scalar()


async def highest_sequence(connection: AsyncConnection, registry_key: bytes, epoch: int) -> int:
    """Of the stored batches of an epoch; 0 without any."""
    found = await connection.execute(_HIGHEST, {"of_device": registry_key, "in_epoch": epoch})
    return int(found.scalar_one())


async def add_batch(
    connection: AsyncConnection,
    registry_key: bytes,
    epoch: int,
    sequence: int,
    pack_sha256: bytes,
    rows: Sequence[dict[str, object]],
) -> None:
    """A batch that was not stored before; `rows` are its readings without their place's first parts."""
    key = {"registry_key": registry_key, "epoch": epoch, "sequence": sequence}
    await connection.execute(_ADD_BATCH, {**key, "pack_sha256": pack_sha256})
    await connection.execute(_ADD_READINGS, [{**key, **row} for row in rows])


async def newest(
    connection: AsyncConnection, registry_key: bytes, account_id: str, before: Place | None, limit: int
) -> list[Reading]:
    """An owner's readings of a device, newest place first."""
    statement = (
        select(*_SHOWN)
        .select_from(_WITH_DEVICE)
        .where(readings.c.registry_key == registry_key, readings.c.account_id == account_id)
        .order_by(*(column.desc() for column in _PLACE))
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(tuple_(*_PLACE) < _values(before))
    return [_reading(row) for row in await connection.execute(statement)]


async def oldest(
    connection: AsyncConnection,
    registry_key: bytes,
    account_id: str,
    after: Place | None,
    limit: int,
    *,
    names: Iterable[str] | None = None,
) -> list[Reading]:
    """An owner's readings of a device, oldest place first; of these names, or with None of all."""
    statement = (
        select(*_SHOWN)
        .select_from(_WITH_DEVICE)
        .where(readings.c.registry_key == registry_key, readings.c.account_id == account_id)
        .order_by(*_PLACE)
        .limit(limit)
    )
    if names is not None:
        statement = statement.where(readings.c.name.in_(list(names)))
    if after is not None:
        statement = statement.where(tuple_(*_PLACE) > _values(after))
    return [_reading(row) for row in await connection.execute(statement)]


async def next_consenting(connection: AsyncConnection, after: bytes) -> ConsentingOwner | None:
    """The first device behind that registry key whose owner agrees to any readings; None behind the last."""
    row = (await connection.execute(_NEXT_CONSENTING, {"after": after})).first()
    return None if row is None else ConsentingOwner(row.registry_key, row.account_id)


def _values(place: Place) -> tuple[int, int, int]:
    return place.epoch, place.sequence, place.position


def _reading(row: Row[Any]) -> Reading:
    return Reading(
        device_id=row.device_id,
        place=Place(row.epoch, row.sequence, row.position),
        name=row.name,
        unit=row.unit,
        value=row.word if row.value is None else row.value,
        measured_at=row.measured_at,
        received_at=row.received_at,
        skew_s=row.skew_s,
        assurance=row.assurance,
    )
