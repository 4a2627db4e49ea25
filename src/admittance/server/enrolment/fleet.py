"""A person's devices: list and show, revoke and release."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import Conflict, Malformed, NotAllowed, NotFound
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.devices import store as registry
from admittance.server.devices.catalogue import Catalogue
from admittance.server.devices.model import ENDED, DeviceRecord
from admittance.server.enrolment import store
from admittance.server.enrolment.endings import Endings
from admittance.server.enrolment.mails import OwnerMails
from admittance.server.enrolment.tpm.store import find_attestation
from admittance.server.relay.presence import Whereabouts, whereabouts
from admittance.wire.device_id import check_device_id

MAX_REASON_CHARACTERS = 200
PLACES_AT_ONCE = 1000


@dataclass(frozen=True)
class OwnedDevice:
    """A device as its owner sees it.

    `certificate` is the row of the newest one, if there is any; `attestation` what a TPM proved for that.
    `is_offline`: its model never reaches the server. `is_online`: it is connected to a relay node; `last_seen_at`
    (Unix seconds) is now then.
    """

    record: DeviceRecord
    display_name: str
    certificate: Row[Any] | None
    is_certificate_live: bool
    attestation: Row[Any] | None = None
    is_offline: bool = False
    is_online: bool = False
    last_seen_at: int | None = None


class Fleet:
    """Owners see and act on their own devices, operators on all; anything else looks like nothing."""

    def __init__(
        self, *, database: Database, endings: Endings, catalogue: Catalogue, mails: OwnerMails, clock: Clock
    ) -> None:
        self._database = database
        self._endings = endings
        self._catalogue = catalogue
        self._mails = mails
        self._clock = clock

    async def count(self, account_id: str) -> int:
        """How many devices count against the account's quota now."""
        async with self._database.read() as connection:
            return await registry.owned_count(connection, account_id, self._clock())

    async def list(self, account: AuthenticatedAccount, *, everyones: bool = False) -> list[OwnedDevice]:
        """The account's devices, or with `everyones` all of the registry. Raises `NotAllowed` to non-operators."""
        if everyones and not account.operator:
            raise NotAllowed("Only an operator sees the devices of all accounts.")
        now = self._clock()
        async with self._database.read() as connection:
            records = await registry.listing(connection, None if everyones else account.account_id)
            newest = await store.newest_certificates(connection, None if everyones else account.account_id)
            shown = [record for record in records if everyones or _is_shown(record, now)]
            places = await _places(connection, [record.device_id for record in shown])
        return [
            self._view(record, newest.get(record.registry_key), None, places.get(record.device_id), now)
            for record in shown
        ]

    async def show(self, account: AuthenticatedAccount, device_id: str) -> OwnedDevice:
        """Raises `NotFound`."""
        now = self._clock()
        async with self._database.read() as connection:
            found = await registry.find(connection, check_device_id(device_id))
            record = visible(found, account, now)
            certificate = await store.newest_certificate(connection, record.registry_key)
            if certificate is not None and not account.operator and not _is_of_owner(certificate, record):
                certificate = None
            proven = None if certificate is None else await find_attestation(connection, certificate.serial)
            places = await whereabouts(connection, [record.device_id])
        return self._view(record, certificate, proven, places.get(record.device_id), now)

    async def revoke(self, account: AuthenticatedAccount, device_id: str, reason: str) -> OwnedDevice:
        """End a device's access for good; nobody can claim it afterwards. Raises `NotFound` or `Malformed`."""
        checked_reason(reason)
        now = self._clock()
        async with self._database.transaction() as connection:
            found = await registry.find(connection, check_device_id(device_id), lock=True)
            record = visible(found, account, now)
            if record.state not in ENDED:
                await self._endings.end(
                    connection,
                    replace(record, state="revoked", pending_until=None, release_at=None),
                    event="device.revoked",
                    actor=f"account:{account.account_id}",
                    reason="privilege_withdrawn",
                    details={"reason": reason},
                    now=now,
                )
                await self._tell_owner(connection, account, record, reason, now)
        return await self.show(account, device_id)

    async def release(self, account: AuthenticatedAccount, device_id: str) -> OwnedDevice:
        """Give a device away: the next person at the device can claim it. Raises `NotFound` or `Conflict`."""
        now = self._clock()
        async with self._database.transaction() as connection:
            found = await registry.find(connection, check_device_id(device_id), lock=True)
            record = visible(found, account, now)
            if record.state in ENDED:
                raise Conflict(f"A {record.state} device can't be released.")
            if record.owner(now) != account.account_id:
                raise NotFound(NOT_FOUND)
            if record.reported == "stolen":
                raise Conflict("A stolen device can't be released. If you have it again, say so first.")
            changed = record.without_owner("released")
            await self._endings.end(
                connection,
                changed,
                event="device.released",
                actor=f"account:{account.account_id}",
                reason="cessation_of_operation",
                details={"by": "owner"},
                now=now,
            )
        return self._view(changed, None, None, None, now)

    async def _tell_owner(
        self,
        connection: AsyncConnection,
        account: AuthenticatedAccount,
        record: DeviceRecord,
        reason: str,
        now: float,
    ) -> None:
        owner = record.owner(now)
        if owner is None:
            return
        by = "you" if owner == account.account_id else "the operator of the server"
        name = self._catalogue.display_name(record.model)
        await self._mails.revoked(connection, owner, record.device_id, name, by, reason, now)

    def _view(
        self,
        record: DeviceRecord,
        certificate: Row[Any] | None,
        attestation: Row[Any] | None,
        place: Whereabouts | None,
        now: float,
    ) -> OwnedDevice:
        is_live = (
            certificate is not None
            and certificate.revoked_at is None
            and certificate.not_after > now
            and certificate.epoch == record.epoch
        )
        is_online, last_seen_at = _seen(record, place, now)
        model = self._catalogue.find(record.model)
        return OwnedDevice(
            record=record,
            display_name=self._catalogue.display_name(record.model),
            certificate=certificate,
            is_certificate_live=is_live,
            attestation=attestation,
            is_offline=model is not None and model.offline,
            is_online=is_online,
            last_seen_at=last_seen_at,
        )


NOT_FOUND = "You have no such device."


def checked_reason(reason: str) -> str:
    """Raises `Malformed`."""
    if not 1 <= len(reason) <= MAX_REASON_CHARACTERS or not reason.isprintable():
        raise Malformed(f"Give a reason of 1 to {MAX_REASON_CHARACTERS} printable characters.")
    return reason


def visible(record: DeviceRecord | None, account: AuthenticatedAccount, now: float) -> DeviceRecord:
    """The device, if the account may see it: owners see their own, operators all. Raises `NotFound`."""
    is_own = record is not None and record.account_id == account.account_id and _is_shown(record, now)
    if record is None or not (is_own or account.operator):
        raise NotFound(NOT_FOUND)
    return record


def _is_of_owner(certificate: Row[Any], record: DeviceRecord) -> bool:
    """What was issued for a former owner is not the new one's to see."""
    return (certificate.account_id, certificate.epoch) == (record.account_id, record.epoch)


async def _places(connection: AsyncConnection, device_ids: Sequence[str]) -> dict[str, Whereabouts]:
    """Where devices are, asked for in parts: databases bound the parameters of a statement."""
    places: dict[str, Whereabouts] = {}
    for start in range(0, len(device_ids), PLACES_AT_ONCE):
        places |= await whereabouts(connection, device_ids[start : start + PLACES_AT_ONCE])
    return places


def _seen(record: DeviceRecord, place: Whereabouts | None, now: float) -> tuple[bool, int | None]:
    """Whether the device is connected, and when it last was; connections of former owners' time do not count."""
    if place is None or record.activated_at is None or place.since < record.activated_at:
        return False, record.last_seen_at
    if place.node_id is not None:
        return True, int(now)
    return False, max(place.since, record.last_seen_at or 0)


def _is_shown(record: DeviceRecord, now: float) -> bool:
    return record.state == "revoked" or record.owner(now) is not None
