"""The registry's table, keyed by SHA-256 of the identity's SubjectPublicKeyInfo."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    Row,
    Table,
    Text,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.database import metadata
from admittance.server.devices.model import DeviceRecord

devices = Table(
    "devices",
    metadata,
    Column("registry_key", LargeBinary, primary_key=True),
    Column("device_id", Text, nullable=False, unique=True),
    Column("identity_spki", LargeBinary, nullable=False),
    Column("identity_certificate", LargeBinary),
    Column("model", Text, nullable=False),
    Column("presence", Text, nullable=False),
    Column("assurance", Text, nullable=False),
    Column("secrets", LargeBinary),
    Column("state", Text, nullable=False),
    Column("account_id", Text),
    Column("epoch", Integer, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("resets", BigInteger, nullable=False),
    Column("needs_ticket", Boolean, nullable=False),
    Column("pending_until", BigInteger),
    Column("activated_at", BigInteger),
    Column("last_seen_at", BigInteger),
    Column("reported", Text),
    Column("assigned_account_id", Text),
    Column("release_at", BigInteger),
    Column("channel_spki", LargeBinary),
    Column("access_spki", LargeBinary),
    Index(None, "account_id"),
    Index(None, "release_at"),
)


_FIND = select(devices).where(devices.c.device_id == bindparam("sought"))
_FIND_LOCKED = _FIND.with_for_update()
_ADD = insert(devices)
_CHANGE = update(devices).where(devices.c.registry_key == bindparam("changed"))


_ADD_IF_ABSENT = {
    "sqlite": sqlite.insert(devices).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(devices).on_conflict_do_nothing(),
}
# Devices that are somebody's: active, or pending and not lapsed.
_HELD = or_(
    devices.c.state == "active", and_(devices.c.state == "pending", devices.c.pending_until > bindparam("now"))
)
_OWNED_COUNT = select(func.count()).select_from(devices).where(devices.c.account_id == bindparam("owner"), _HELD)


async def find(connection: AsyncConnection, device_id: str, *, lock: bool = False) -> DeviceRecord | None:
    """The device of that id. With `lock` nobody else changes it until the transaction ends."""
    row = (await connection.execute(_FIND_LOCKED if lock else _FIND, {"sought": device_id})).first()
    return None if row is None else record(row)


async def known(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, tuple[bytes, str, str]]:
    """Those of `ids` that are in the registry, each with its registry key, model and presence."""
    columns = (devices.c.device_id, devices.c.registry_key, devices.c.model, devices.c.presence)
    rows = await connection.execute(select(*columns).where(devices.c.device_id.in_(list(ids))))
    return {row.device_id: (row.registry_key, row.model, row.presence) for row in rows}


async def add(connection: AsyncConnection, records: Sequence[DeviceRecord]) -> None:
    if records:
        await connection.execute(_ADD, [_values(each) for each in records])


async def add_if_absent(connection: AsyncConnection, each: DeviceRecord) -> None:
    await connection.execute(_ADD_IF_ABSENT[connection.dialect.name], _values(each))


async def change(connection: AsyncConnection, each: DeviceRecord) -> None:
    """Write a record that was locked in this transaction back."""
    await connection.execute(_CHANGE, {"changed": each.registry_key, **_changeable(each)})


async def saw(connection: AsyncConnection, registry_key: bytes, now: int) -> None:
    """Note when the device last proved itself."""
    await connection.execute(_CHANGE, {"changed": registry_key, "last_seen_at": now})


async def forget_owner(connection: AsyncConnection, registry_key: bytes) -> None:
    """Forget when the device was seen: that is its former owner's."""
    await connection.execute(_CHANGE, {"changed": registry_key, "last_seen_at": None})


async def forget_secrets(connection: AsyncConnection, registry_key: bytes) -> None:
    """Destroy what making put into the device; the row stays, so that its identity never returns."""
    await connection.execute(_CHANGE, {"changed": registry_key, "secrets": None})


async def due_releases(connection: AsyncConnection, now: float) -> list[str]:
    """The ids of devices whose release by the operator is due."""
    query = select(devices.c.device_id).where(devices.c.release_at <= now).order_by(devices.c.device_id)
    return list((await connection.execute(query)).scalars())


async def owned_count(connection: AsyncConnection, account_id: str, now: float) -> int:
    """How many devices count against the account's quota."""
    return (await connection.execute(_OWNED_COUNT, {"owner": account_id, "now": now})).scalar_one()


async def listing(connection: AsyncConnection, account_id: str | None) -> list[DeviceRecord]:
    """The devices of an account, or with None of everybody, by id."""
    query = select(devices).order_by(devices.c.device_id)
    if account_id is not None:
        query = query.where(devices.c.account_id == account_id)
    return [record(row) for row in await connection.execute(query)]


def record(row: Row[Any]) -> DeviceRecord:
    """The record in a row that holds all of the table's columns, and perhaps more."""
    columns = row._mapping
    return DeviceRecord(**{column.name: columns[column] for column in devices.c})


def _values(each: DeviceRecord) -> dict[str, object]:
    return {column.name: getattr(each, column.name) for column in devices.c}


_FIXED = frozenset({"registry_key", "device_id", "identity_spki", "model", "presence", "secrets", "last_seen_at"})


def _changeable(each: DeviceRecord) -> dict[str, object]:
    return {name: value for name, value in _values(each).items() if name not in _FIXED}
