"""A grant's history: its rows of the audit chain, and that of what ended it with its device."""

from typing import Any

import msgspec
from sqlalchemy import Row, and_, or_, select

from admittance.errors import NotFound
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.audit.store import audit
from admittance.server.database import Database
from admittance.server.grants import store
from admittance.server.grants.model import Grant
from admittance.server.grants.service import NOT_FOUND, subject_of

_ENDS = ("device.released", "device.revoked", "device.stolen", "device.decommissioned", "device.reset")


class GrantEvent(msgspec.Struct, frozen=True):
    """One row; `mac` is the chain's over this row and all before it."""

    number: int
    at: int
    event: str
    by: str
    details: dict[str, Any]
    mac: str


class GrantHistory:
    """For the owner who gave it."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def of(self, owner: AuthenticatedAccount, grant_id: bytes) -> list[GrantEvent]:
        """Oldest first. Raises `NotFound`."""
        async with self._database.read() as connection:
            grant = await store.find(connection, grant_id)
            if grant is None or grant.owner_id != owner.account_id:
                raise NotFound(NOT_FOUND)
            which = or_(audit.c.subject == subject_of(grant_id), *_device_endings(grant))
            rows = await connection.execute(select(audit).where(which).order_by(audit.c.number))
            return [_event(row, owner.account_id) for row in rows]


def _device_endings(grant: Grant) -> list[Any]:
    return [
        and_(
            audit.c.subject == f"device:{each.device_id}",
            audit.c.at == each.ended_at,
            audit.c.event.in_(_ENDS),
        )
        for each in grant.allowed
        if each.ended_at is not None
    ]


def _event(row: Row[Any], owner_id: str) -> GrantEvent:
    kind, _, name = row.actor.partition(":")
    by = kind if kind != "account" else "you" if name == owner_id else "guest"
    details = msgspec.json.decode(row.details, type=dict[str, Any])
    return GrantEvent(row.number, row.at, row.event, by, details, row.mac.hex())
