"""A device's history: its rows of the audit chain, as far as they are the asker's business."""

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Row, select

from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.audit.store import audit
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.devices import store as registry
from admittance.server.enrolment.fleet import visible
from admittance.wire.device_id import check_device_id

TRANSFERS = frozenset({"device.activated", "device.released", "device.revoked", "device.decommissioned"})
"""What the next owner may know of the owners before: that they were, and when they ended."""

_FIRST_OF_OWNER = ("device.activated", "device.enrolled")


@dataclass(frozen=True)
class HistoryEvent:
    """One row; `mac` is the chain's over this row and all before it. `details` are None where they are not shown."""

    number: int
    at: int
    event: str
    by: str
    epoch: int | None
    details: dict[str, Any] | None
    mac: str


class History:
    """Owners read their own time whole and of earlier owners the transfers alone; operators read all."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def of(self, account: AuthenticatedAccount, device_id: str) -> list[HistoryEvent]:
        """Oldest first. Raises `NotFound`."""
        async with self._database.read() as connection:
            found = await registry.find(connection, check_device_id(device_id))
            record = visible(found, account, self._clock())
            subject = f"device:{record.device_id}"
            rows = list(
                await connection.execute(select(audit).where(audit.c.subject == subject).order_by(audit.c.number))
            )
        if account.operator:
            return [_event(row, row.actor, in_full=True) for row in rows]
        own = _first_of_epoch(rows, record.epoch)
        return [
            _event(
                row, _by(row.actor, account) if row.number >= own else "an earlier owner", in_full=row.number >= own
            )
            for row in rows
            if row.number >= own or row.event in TRANSFERS
        ]


def _first_of_epoch(rows: list[Row[Any]], epoch: int) -> int:
    for row in rows:
        if row.event in _FIRST_OF_OWNER and msgspec.json.decode(row.details).get("epoch") == epoch:
            return int(row.number)
    return rows[-1].number + 1 if rows else 0


def _by(actor: str, account: AuthenticatedAccount) -> str:
    kind, _, name = actor.partition(":")
    if kind != "account":
        return kind
    return "you" if name == account.account_id else "another account"


def _event(row: Row[Any], by: str, *, in_full: bool) -> HistoryEvent:
    details = msgspec.json.decode(row.details, type=dict[str, Any])
    return HistoryEvent(
        number=row.number,
        at=row.at,
        event=row.event,
        by=by,
        epoch=details.get("epoch"),
        details=details if in_full else None,
        mac=row.mac.hex(),
    )
