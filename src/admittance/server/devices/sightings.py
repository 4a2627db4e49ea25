"""Devices that their owner lost, or that were stolen: the owner hears when and where one appears."""

from collections.abc import Awaitable, Callable

from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, Table, Text, delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.audit.store import AuditLog
from admittance.server.database import metadata
from admittance.server.devices.model import DeviceRecord

ALERT_EVERY_S = 3600

sightings = Table(
    "sightings",
    metadata,
    Column("registry_key", LargeBinary, ForeignKey("devices.registry_key", ondelete="CASCADE"), primary_key=True),
    Column("place", Text, primary_key=True),
    Column("alerted_at", BigInteger, nullable=False),
)

Alert = Callable[[AsyncConnection, DeviceRecord, str, str, float], Awaitable[None]]


class Sightings:
    """`alert` tells the owner: connection, device, place, source, time."""

    def __init__(self, *, audit: AuditLog, alert: Alert) -> None:
        self._audit = audit
        self._alert = alert

    async def note(
        self, connection: AsyncConnection, record: DeviceRecord, place: str, source: str, now: float
    ) -> None:
        """Alert the owner of a reported device that proved itself at `place`, in the caller's transaction.

        At most once in `ALERT_EVERY_S` for each place; nothing happens for other devices.
        """
        if record.reported is None or record.account_id is None:
            return
        if not await _is_new(connection, record.registry_key, place, int(now)):
            return
        await self._alert(connection, record, place, source, now)
        await self._audit.append(
            connection,
            event="device.sighted",
            actor=f"device:{record.device_id}",
            subject=f"device:{record.device_id}",
            details={"reported": record.reported, "place": place, "source": source},
            now=now,
        )


async def forget_sightings(connection: AsyncConnection, registry_key: bytes) -> None:
    """The next sighting alerts at once."""
    await connection.execute(delete(sightings).where(sightings.c.registry_key == registry_key))


async def _is_new(connection: AsyncConnection, registry_key: bytes, place: str, now: int) -> bool:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(sightings).values(registry_key=registry_key, place=place, alerted_at=now)
    statement = statement.on_conflict_do_update(
        index_elements=[sightings.c.registry_key, sightings.c.place],
        set_={"alerted_at": now},
        where=sightings.c.alerted_at <= now - ALERT_EVERY_S,
    )
    return (await connection.execute(statement)).rowcount == 1
