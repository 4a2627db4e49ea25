"""Ending what grants gave, in the caller's transaction: keys at devices, and the relay streams of guests.

The device is told at once if it is connected (`pushes`), the relay nodes hear of it by the log of endings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.grants import key_store, store
from admittance.server.grants.key_store import AccessRecord
from admittance.server.grants.model import Grant
from admittance.server.grants.reach import LATEST, reach
from admittance.server.revocations.store import grant_key, record_ending


async def end_keys(
    connection: AsyncConnection, device_id: str, which: ColumnElement[bool], now: float
) -> AccessRecord | None:
    """End keys at a device, which is locked by this; gives what it was told before, None if it never was."""
    access = await key_store.find(connection, device_id, lock=True)
    if access is not None and await key_store.has_keys(connection, device_id, which):
        sequence = await key_store.advance(connection, access, int(now))
        await key_store.end_keys(connection, device_id, sequence, which)
        key_store.tell_at_once(connection)
    return access


async def end_grants_at_device(connection: AsyncConnection, device_id: str, now: float) -> int:
    """The device's owner or epoch ended: so does all that was granted on it. The device's row is locked.

    Returns how many grants ended there.
    """
    access = await end_keys(connection, device_id, key_store.any_key(), now)
    return 0 if access is None else len(await store.end_at_device(connection, device_id, int(now)))


async def end_session_keys(connection: AsyncConnection, session_id: str, now: float) -> None:
    """A login has ended: so do the keys that it asked for."""
    for device_id in await key_store.devices_of_session(connection, session_id):
        await end_keys(connection, device_id, key_store.of_session(session_id), now)


@dataclass(frozen=True)
class Reaches:
    """How far a guest's access to devices reached before a change."""

    guest_id: str
    until: dict[str, int]

    @classmethod
    async def before(cls, connection: AsyncConnection, grant: Grant, now: float) -> "Reaches | None":
        """Take this once the devices of the grant are locked; None for a grant that has no guest yet."""
        if grant.guest_id is None:
            return None
        devices = [each.device_id for each in grant.allowed]
        return cls(grant.guest_id, await _reaches(connection, grant.guest_id, devices, now))

    async def narrowed(self, connection: AsyncConnection, now: float) -> None:
        """End the guest's streams to the devices where access reaches less far than before."""
        after = await _reaches(connection, self.guest_id, list(self.until), now)
        for device_id, until in self.until.items():
            if after[device_id] < until:
                await record_ending(connection, "grant", grant_key(device_id, self.guest_id), now)


async def _reaches(
    connection: AsyncConnection, guest_id: str, device_ids: Sequence[str], now: float
) -> dict[str, int]:
    """As of an app that is attested for long."""
    found = {}
    for device_id in device_ids:
        living = await store.of_guest(connection, device_id, guest_id, now)
        found[device_id] = reach(living, now, attested_until=LATEST)
    return found
