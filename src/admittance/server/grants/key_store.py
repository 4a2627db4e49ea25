"""Statements on possession keys, and on what devices were told of them.

Whoever changes anything of a device first locks its row of `device_access`; whoever locks the device itself, too,
does that before.
"""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.database import signal
from admittance.server.devices.store import devices
from admittance.server.grants.store import decode_permissions, encode_permissions
from admittance.server.grants.tables import device_access, granted_devices, possession_keys
from admittance.server.relay.presence import presence
from admittance.wire.channel import Permission

SIGNAL = "device-access"
"""What `Database.listen` hears after a transaction that leaves devices to be told something has committed."""

_KEYS = possession_keys.c
_ACCESS = device_access.c
_FIND = select(device_access).where(_ACCESS.device_id == bindparam("sought"))
_LOCK = _FIND.with_for_update()
_ADD_KEY = insert(possession_keys)
_SET = update(device_access).where(_ACCESS.device_id == bindparam("changed"))
_OPEN = {
    name: dialect.insert(device_access).on_conflict_do_nothing()
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
}
_HELD = select(possession_keys).where(
    _KEYS.device_id == bindparam("at_device"), _KEYS.epoch == bindparam("in_epoch"), _KEYS.ended.is_(None)
)
_DUE = (
    select(device_access)
    .join(presence, presence.c.device_id == _ACCESS.device_id)
    .join(devices, devices.c.device_id == _ACCESS.device_id)
    .where(
        _ACCESS.due_at <= bindparam("now"),
        presence.c.node_id.is_not(None),
        devices.c.epoch == _ACCESS.epoch,
        devices.c.state == "active",
    )
    .order_by(_ACCESS.due_at)
)


@dataclass(frozen=True)
class AccessRecord:
    """What a device was told: `sequence` counts its changes, it has acknowledged all up to `acknowledged`."""

    device_id: str
    epoch: int
    sequence: int
    acknowledged: int
    due_at: int | None
    tries: int

    @property
    def is_behind(self) -> bool:
        return self.acknowledged < self.sequence


@dataclass(frozen=True)
class PossessionKey:
    """A key that a device has been, or is to be, told. `sealed` is its encrypted master secret; `added` and `ended`
    are the device's sequences."""

    token: bytes
    device_id: str
    grant_id: bytes
    epoch: int
    account_id: str
    client_id: str
    session_id: str
    sealed: bytes = field(repr=False)
    permissions: tuple[Permission, ...]
    name: str
    uses: int
    not_before: int
    expires_at: int
    added: int
    ended: int | None = None


async def open_access(connection: AsyncConnection, device_id: str, epoch: int) -> AccessRecord:
    """The locked row of a device, made if there is none. In a new epoch everything before it is over: sequences
    go on, and the device is taken to have nothing."""
    values = {
        "device_id": device_id,
        "epoch": epoch,
        "sequence": 0,
        "acknowledged": 0,
        "due_at": None,
        "tries": 0,
    }
    await connection.execute(_OPEN[connection.dialect.name], values)
    access = await find(connection, device_id, lock=True)
    assert access is not None
    if access.epoch != epoch:
        await connection.execute(_SET, {"changed": device_id, "epoch": epoch, "acknowledged": 0})
        return AccessRecord(device_id, epoch, access.sequence, 0, access.due_at, access.tries)
    return access


async def find(connection: AsyncConnection, device_id: str, *, lock: bool = False) -> AccessRecord | None:
    row = (await connection.execute(_LOCK if lock else _FIND, {"sought": device_id})).first()
    return None if row is None else AccessRecord(**row._mapping)


async def advance(connection: AsyncConnection, access: AccessRecord, due_at: int) -> int:
    """Take the next sequence of a locked device, which is to be told at `due_at` unless it has been before."""
    sequence = access.sequence + 1
    await connection.execute(_SET, {"changed": access.device_id, "sequence": sequence, "due_at": due_at, "tries": 0})
    return sequence


def tell_at_once(connection: AsyncConnection) -> None:
    """Do not wait until what is due is looked up again, once this transaction has committed."""
    signal(connection, SIGNAL)


async def acknowledge(connection: AsyncConnection, access: AccessRecord, sequence: int, now: int) -> None:
    """The device has all up to that sequence. If that is less than it had, it is to be told again."""
    due_at: int | None = now if access.due_at is None else access.due_at
    if sequence >= access.sequence:
        due_at = None
    values = {"acknowledged": sequence, "tries": 0, "due_at": due_at}
    await connection.execute(_SET, {"changed": access.device_id, **values})


async def overtake(connection: AsyncConnection, access: AccessRecord, sequence: int, now: int) -> None:
    """The device has a sequence that was never given: this database is older than it. Go on beyond that."""
    values = {"sequence": sequence + 1, "acknowledged": 0, "due_at": now, "tries": 0}
    await connection.execute(_SET, {"changed": access.device_id, **values})


async def due(connection: AsyncConnection, now: int, limit: int) -> list[AccessRecord]:
    """Connected devices that are to be told something, the longest overdue first."""
    rows = await connection.execute(_DUE.limit(limit), {"now": now})
    return [AccessRecord(**row._mapping) for row in rows]


async def claim(connection: AsyncConnection, access: AccessRecord, again_at: int) -> bool:
    """Take it on to tell a device; if this fails it is due again later. Of any number of nodes one gets true."""
    statement = (
        update(device_access)
        .where(_ACCESS.device_id == access.device_id, _ACCESS.due_at == access.due_at)
        .values(due_at=again_at, tries=_ACCESS.tries + 1)
    )
    return (await connection.execute(statement)).rowcount == 1


async def add_key(connection: AsyncConnection, key: PossessionKey) -> None:
    values = {column.name: getattr(key, column.name) for column in possession_keys.c}
    await connection.execute(_ADD_KEY, {**values, "permissions": encode_permissions(key.permissions)})


async def key(connection: AsyncConnection, token: bytes) -> PossessionKey | None:
    row = (await connection.execute(select(possession_keys).where(_KEYS.token == token))).first()
    return None if row is None else _key(row)


async def held(connection: AsyncConnection, device_id: str, epoch: int) -> list[PossessionKey]:
    """A device's keys of that epoch that have not been ended, in the order in which they came."""
    rows = await connection.execute(_HELD.order_by(_KEYS.added), {"at_device": device_id, "in_epoch": epoch})
    return [_key(row) for row in rows]


async def ended_after(connection: AsyncConnection, device_id: str, epoch: int, sequence: int) -> list[bytes]:
    """The tokens that a device which has all up to that sequence must drop."""
    query = select(_KEYS.token).where(
        _KEYS.device_id == device_id, _KEYS.epoch == epoch, _KEYS.added <= sequence, _KEYS.ended > sequence
    )
    return list((await connection.execute(query.order_by(_KEYS.token))).scalars())


async def ended_grants(connection: AsyncConnection, device_id: str, epoch: int, sequence: int) -> list[bytes]:
    """The grants that ended on a device, of keys that ended after that sequence: it need not count their uses."""
    query = (
        select(_KEYS.grant_id)
        .join(
            granted_devices,
            and_(granted_devices.c.grant_id == _KEYS.grant_id, granted_devices.c.device_id == _KEYS.device_id),
        )
        .where(
            _KEYS.device_id == device_id,
            _KEYS.epoch == epoch,
            _KEYS.ended > sequence,
            granted_devices.c.ended_at.is_not(None),
        )
        .distinct()
    )
    return sorted((await connection.execute(query)).scalars())


async def latest_ended(connection: AsyncConnection, device_id: str, epoch: int, now: int) -> int:
    """The latest sequence at which a key came that was ended before its time, which is still to come; 0 if none."""
    query = select(func.max(_KEYS.added)).where(
        _KEYS.device_id == device_id, _KEYS.epoch == epoch, _KEYS.ended.is_not(None), _KEYS.expires_at > now
    )
    return (await connection.execute(query)).scalar() or 0


async def end_keys(
    connection: AsyncConnection, device_id: str, sequence: int, which: ColumnElement[bool]
) -> list[bytes]:
    """End keys of a locked device with that sequence; gives their tokens."""
    statement = (
        update(possession_keys)
        .where(_KEYS.device_id == device_id, _KEYS.ended.is_(None), which)
        .values(ended=sequence)
        .returning(_KEYS.token)
    )
    return list((await connection.execute(statement)).scalars())


async def has_keys(connection: AsyncConnection, device_id: str, which: ColumnElement[bool]) -> bool:
    """Whether the device was told of such keys and not yet that they ended."""
    query = select(_KEYS.token).where(_KEYS.device_id == device_id, _KEYS.ended.is_(None), which).limit(1)
    return (await connection.execute(query)).first() is not None


def of_grant(grant_id: bytes) -> ColumnElement[bool]:
    return _KEYS.grant_id == grant_id


def of_session(session_id: str) -> ColumnElement[bool]:
    return _KEYS.session_id == session_id


def of_token(token: bytes) -> ColumnElement[bool]:
    return _KEYS.token == token


def any_key() -> ColumnElement[bool]:
    return _KEYS.ended.is_(None)


async def devices_of_session(connection: AsyncConnection, session_id: str) -> list[str]:
    """Where a login's keys that have not been ended are, in order."""
    query = select(_KEYS.device_id).where(_KEYS.session_id == session_id, _KEYS.ended.is_(None)).distinct()
    return sorted((await connection.execute(query)).scalars())


def _key(row: Row[Any]) -> PossessionKey:
    values = dict(row._mapping)
    return PossessionKey(**{**values, "permissions": decode_permissions(row.permissions)})
