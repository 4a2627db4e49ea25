"""Statements on grants and on the invitations to them."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.accounts.store import accounts, invites
from admittance.server.grants.model import Allowed, Grant, Hours, Terms
from admittance.server.grants.tables import grant_invitations, granted_devices, grants, guest_accounts
from admittance.wire import cbor
from admittance.wire.channel import MAX_PERMISSIONS, Permission

_MAX_PERMISSIONS_BYTES = MAX_PERMISSIONS * 512

_WITH_DEVICES = (
    select(
        grants,
        granted_devices.c.device_id,
        granted_devices.c.permissions,
        granted_devices.c.used,
        granted_devices.c.uncounted,
        granted_devices.c.ended_at.label("device_ended_at"),
    )
    .join(granted_devices, granted_devices.c.grant_id == grants.c.grant_id)
    .order_by(grants.c.created_at, grants.c.grant_id, granted_devices.c.device_id)
)
_BY_ID = _WITH_DEVICES.where(grants.c.grant_id == bindparam("sought"))
_LOCK = select(grants.c.grant_id).where(grants.c.grant_id == bindparam("sought")).with_for_update()
_GIVEN = _WITH_DEVICES.where(grants.c.owner_id == bindparam("of_account"))
_RECEIVED = _WITH_DEVICES.where(grants.c.guest_id == bindparam("of_account"), grants.c.ended_at.is_(None))
_LIVING_OF_GUEST = _WITH_DEVICES.where(
    granted_devices.c.device_id == bindparam("at_device"),
    granted_devices.c.guest_id == bindparam("of_guest"),
    granted_devices.c.ended_at.is_(None),
    grants.c.ends_at > bindparam("now"),
)
_HAD = (
    select(granted_devices.c.grant_id)
    .where(granted_devices.c.device_id == bindparam("at_device"), granted_devices.c.guest_id == bindparam("of_guest"))
    .limit(1)
)
_COUNT_OF_OWNER = select(func.count()).where(
    grants.c.owner_id == bindparam("of_owner"), grants.c.ended_at.is_(None), grants.c.ends_at > bindparam("now")
)
_COUNT_NEW = select(func.count()).where(
    grants.c.owner_id == bindparam("of_owner"), grants.c.created_at > bindparam("after")
)
_COUNT_AT_DEVICE = (
    select(func.count())
    .select_from(granted_devices)
    .join(grants, grants.c.grant_id == granted_devices.c.grant_id)
    .where(
        granted_devices.c.device_id == bindparam("at_device"),
        granted_devices.c.ended_at.is_(None),
        grants.c.ends_at > bindparam("now"),
    )
)
_COUNT_INVITATIONS = (
    select(func.count())
    .select_from(grant_invitations)
    .join(grants, grants.c.grant_id == grant_invitations.c.grant_id)
    .where(grants.c.owner_id == bindparam("of_owner"), grant_invitations.c.expires_at > bindparam("now"))
)
_ADD = insert(grants)
_ADD_DEVICES = insert(granted_devices)
_CHANGE_DEVICE = update(granted_devices).where(
    granted_devices.c.grant_id == bindparam("of_grant"), granted_devices.c.device_id == bindparam("at_device")
)
_GUEST_BY_EMAIL = (
    select(accounts.c.account_id)
    .outerjoin(guest_accounts, guest_accounts.c.account_id == accounts.c.account_id)
    .where(
        accounts.c.email == bindparam("sought"),
        (guest_accounts.c.account_id.is_(None)) | (guest_accounts.c.invited_by == bindparam("of_owner")),
    )
)


def encode_permissions(permissions: Iterable[Permission]) -> bytes:
    return cbor.encode([[each.path, each.methods] for each in permissions])


def decode_permissions(data: bytes) -> tuple[Permission, ...]:
    found: Any = cbor.decode(data, _MAX_PERMISSIONS_BYTES)
    return msgspec.convert(found, tuple[Permission, ...])


async def add(connection: AsyncConnection, grant: Grant) -> None:
    await connection.execute(
        _ADD,
        {
            "grant_id": grant.grant_id,
            "owner_id": grant.owner_id,
            "guest_id": grant.guest_id,
            "email": grant.email,
            "created_at": grant.created_at,
            "ended_at": grant.ended_at,
            **_term_columns(grant.terms),
        },
    )
    rows = [
        {
            "grant_id": grant.grant_id,
            "device_id": each.device_id,
            "guest_id": grant.guest_id,
            "permissions": encode_permissions(each.permissions),
            "used": each.used,
            "uncounted": each.uncounted,
            "ended_at": grant.ended_at,
        }
        for each in grant.allowed
    ]
    await connection.execute(_ADD_DEVICES, rows)


async def find(connection: AsyncConnection, grant_id: bytes, *, lock: bool = False) -> Grant | None:
    """With `lock` nobody else changes it until the transaction ends."""
    if lock:
        await connection.execute(_LOCK, {"sought": grant_id})
    return next(iter(await _read(connection, _BY_ID, {"sought": grant_id})), None)


async def given(connection: AsyncConnection, owner_id: str) -> list[Grant]:
    """All grants that an account ever gave and that are still kept, oldest first."""
    return await _read(connection, _GIVEN, {"of_account": owner_id})


async def received(connection: AsyncConnection, guest_id: str) -> list[Grant]:
    """Those that an account was given and that nobody has ended, oldest first."""
    return await _read(connection, _RECEIVED, {"of_account": guest_id})


async def of_guest(connection: AsyncConnection, device_id: str, guest_id: str, now: float) -> list[Grant]:
    """A guest's grants on a device that live, between their hours or not."""
    values = {"at_device": device_id, "of_guest": guest_id, "now": int(now)}
    return await _read(connection, _LIVING_OF_GUEST, values)


async def had_any(connection: AsyncConnection, device_id: str, guest_id: str) -> bool:
    """Whether the guest ever had a grant on the device that is still kept."""
    found = await connection.execute(_HAD, {"at_device": device_id, "of_guest": guest_id})
    return found.first() is not None


async def change(connection: AsyncConnection, grant: Grant) -> None:
    """Write the terms of a grant that was locked in this transaction, and what it allows on its devices."""
    await connection.execute(
        update(grants).where(grants.c.grant_id == grant.grant_id).values(**_term_columns(grant.terms))
    )
    rows = [
        {
            "of_grant": grant.grant_id,
            "at_device": each.device_id,
            "permissions": encode_permissions(each.permissions),
        }
        for each in grant.allowed
    ]
    await connection.execute(_CHANGE_DEVICE, rows)


async def end(connection: AsyncConnection, grant_id: bytes, now: int) -> bool:
    """Of any number of callers at once exactly one gets true."""
    ended = await connection.execute(
        update(grants).where(grants.c.grant_id == grant_id, grants.c.ended_at.is_(None)).values(ended_at=now)
    )
    if ended.rowcount != 1:
        return False
    devices_of = granted_devices.c.grant_id == grant_id
    await connection.execute(
        update(granted_devices).where(devices_of, granted_devices.c.ended_at.is_(None)).values(ended_at=now)
    )
    gone = delete(grant_invitations).where(grant_invitations.c.grant_id == grant_id)
    for mac in list((await connection.execute(gone.returning(grant_invitations.c.secret_mac))).scalars()):
        await connection.execute(delete(invites).where(invites.c.secret_mac == mac, invites.c.account_id.is_(None)))
    return True


async def bind(connection: AsyncConnection, which: ColumnElement[bool], guest_id: str) -> list[bytes]:
    """Give the grants that have no guest yet to that account; returns their ids."""
    statement = (
        update(grants)
        .where(which, grants.c.guest_id.is_(None), grants.c.owner_id != guest_id, grants.c.ended_at.is_(None))
        .values(guest_id=guest_id)
        .returning(grants.c.grant_id)
    )
    bound = list((await connection.execute(statement)).scalars())
    if bound:
        await connection.execute(
            update(granted_devices).where(granted_devices.c.grant_id.in_(bound)).values(guest_id=guest_id)
        )
    return bound


async def bind_invited(connection: AsyncConnection, secret_mac: bytes, guest_id: str) -> list[bytes]:
    """Bind the grant of an invitation that was accepted."""
    columns = grant_invitations.c
    taken = delete(grant_invitations).where(columns.secret_mac == secret_mac).returning(columns.grant_id)
    grant_id = (await connection.execute(taken)).scalar_one_or_none()
    return [] if grant_id is None else await bind(connection, grants.c.grant_id == grant_id, guest_id)


async def bind_waiting(
    connection: AsyncConnection, email: str, guest_id: str, *, of_owner: str | None
) -> list[bytes]:
    """Bind grants that wait for an account of that address; with `of_owner` those of that owner alone."""
    which: ColumnElement[bool] = grants.c.email == email
    if of_owner is not None:
        which = and_(which, grants.c.owner_id == of_owner)
    return await bind(connection, which, guest_id)


async def invited_by(connection: AsyncConnection, secret_mac: bytes) -> str | None:
    """The owner whose grant an invitation brings; None if it brings none."""
    query = (
        select(grants.c.owner_id)
        .join(grant_invitations, grant_invitations.c.grant_id == grants.c.grant_id)
        .where(grant_invitations.c.secret_mac == secret_mac)
    )
    owner: str | None = (await connection.execute(query)).scalar_one_or_none()
    return owner


async def add_invitation(connection: AsyncConnection, secret_mac: bytes, grant_id: bytes, expires_at: int) -> None:
    values = {"secret_mac": secret_mac, "grant_id": grant_id, "expires_at": expires_at}
    await connection.execute(insert(grant_invitations).values(values))


async def note_guest(connection: AsyncConnection, account_id: str, invited_by: str) -> None:
    """Note that an owner's invitation made the account."""
    await connection.execute(insert(guest_accounts).values(account_id=account_id, invited_by=invited_by))


async def guest_by_email(connection: AsyncConnection, email: str, owner_id: str) -> str | None:
    """The account of that address, if the operator or this owner vouches for the address."""
    found = await connection.execute(_GUEST_BY_EMAIL, {"sought": email, "of_owner": owner_id})
    guest_id: str | None = found.scalar_one_or_none()
    return guest_id


async def note_uses(connection: AsyncConnection, grant_id: bytes, device_id: str, counted: int) -> int:
    """Note how often the device says that a grant was used; gives how many more that is, 0 for nothing new."""
    columns = granted_devices.c
    here = and_(columns.grant_id == grant_id, columns.device_id == device_id)
    query = select(columns.used, columns.uncounted).where(here).with_for_update()
    row = (await connection.execute(query)).first()
    if row is None or row.uncounted + counted <= row.used:
        return 0
    await connection.execute(update(granted_devices).where(here).values(used=row.uncounted + counted))
    return int(row.uncounted + counted - row.used)


async def note_forgotten(connection: AsyncConnection, grant_id: bytes, device_id: str) -> None:
    """The device has forgotten how often a grant was used: it counts from 0 again."""
    columns = granted_devices.c
    here = and_(columns.grant_id == grant_id, columns.device_id == device_id)
    await connection.execute(update(granted_devices).where(here).values(uncounted=columns.used))


async def end_at_device(connection: AsyncConnection, device_id: str, now: int) -> list[bytes]:
    """End what all grants allow on a device, and those grants that allow nothing else. Gives the ids of all."""
    columns = granted_devices.c
    here = (
        update(granted_devices)
        .where(columns.device_id == device_id, columns.ended_at.is_(None))
        .values(ended_at=now)
        .returning(columns.grant_id)
    )
    found = list((await connection.execute(here)).scalars())
    for grant_id in found:
        await connection.execute(_LOCK, {"sought": grant_id})
        living = select(columns.device_id).where(columns.grant_id == grant_id, columns.ended_at.is_(None)).limit(1)
        if (await connection.execute(living)).first() is None:
            await end(connection, grant_id, now)
    return found


async def count_of_owner(connection: AsyncConnection, owner_id: str, now: int) -> int:
    return await _count(connection, _COUNT_OF_OWNER, {"of_owner": owner_id, "now": now})


async def count_new(connection: AsyncConnection, owner_id: str, after: int) -> int:
    return await _count(connection, _COUNT_NEW, {"of_owner": owner_id, "after": after})


async def count_at_device(connection: AsyncConnection, device_id: str, now: int) -> int:
    return await _count(connection, _COUNT_AT_DEVICE, {"at_device": device_id, "now": now})


async def count_invitations(connection: AsyncConnection, owner_id: str, now: int) -> int:
    return await _count(connection, _COUNT_INVITATIONS, {"of_owner": owner_id, "now": now})


async def _count(connection: AsyncConnection, query: Select[int], values: dict[str, object]) -> int:
    return int((await connection.execute(query, values)).scalar_one())


async def _read(connection: AsyncConnection, query: Select[Any], values: dict[str, object]) -> list[Grant]:
    found: dict[bytes, list[Row[Any]]] = {}
    for row in await connection.execute(query, values):
        found.setdefault(row.grant_id, []).append(row)
    return [_grant(rows) for rows in found.values()]


def _grant(rows: Sequence[Row[Any]]) -> Grant:
    row = rows[0]
    hours = None
    if row.zone is not None:
        weekdays = tuple(day for day in range(1, 8) if row.weekdays >> (day - 1) & 1)
        hours = Hours(weekdays, row.from_minute, row.to_minute, row.zone)
    return Grant(
        grant_id=row.grant_id,
        owner_id=row.owner_id,
        guest_id=row.guest_id,
        email=row.email,
        terms=Terms(row.name, row.begins_at, row.ends_at, hours, row.uses, row.integrity),
        allowed=tuple(
            Allowed(
                device_id=each.device_id,
                permissions=decode_permissions(each.permissions),
                used=each.used,
                uncounted=each.uncounted,
                ended_at=each.device_ended_at,
            )
            for each in rows
        ),
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def _term_columns(terms: Terms) -> dict[str, object]:
    hours = terms.hours
    return {
        "name": terms.name,
        "begins_at": terms.begins_at,
        "ends_at": terms.ends_at,
        "weekdays": None if hours is None else sum(1 << (day - 1) for day in hours.weekdays),
        "from_minute": None if hours is None else hours.from_minute,
        "to_minute": None if hours is None else hours.to_minute,
        "zone": None if hours is None else hours.zone,
        "uses": terms.uses,
        "integrity": terms.integrity,
    }
