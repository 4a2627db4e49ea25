"""Readings: what devices send with their owner's consent, and who may see it.

Consent is checked in the transaction that stores, on the locked device, so nothing is stored after a withdrawal.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import Conflict, Malformed, NotAllowed, NotFound
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.devices import store as registry
from admittance.server.devices.model import DeviceRecord
from admittance.server.enrolment.fleet import NOT_FOUND, visible
from admittance.server.readings import store
from admittance.server.readings.model import PAGE_ROWS, ConsentView, Page, Place, Reading
from admittance.wire import senml
from admittance.wire.device_id import check_device_id
from admittance.wire.readings import Readings, ReadingsAccepted
from admittance.wire.senml import Record

LATEST_TIME = 253_402_300_799
"""The end of the year 9999, in Unix seconds."""


class ReadingsService:
    """`on_consent` hears the id of a device whose owner has just agreed to something."""

    def __init__(
        self, *, database: Database, audit: AuditLog, clock: Clock, on_consent: Callable[[str], None]
    ) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._on_consent = on_consent

    async def consent(self, account: AuthenticatedAccount, device_id: str) -> ConsentView:
        """What the owner agreed to. Raises `NotFound` for others, operators too."""
        async with self._database.read() as connection:
            found = await registry.find(connection, check_device_id(device_id))
            record = _owned(found, account, self._clock())
            return await self._view(connection, record, account)

    async def set_consent(
        self, account: AuthenticatedAccount, device_id: str, names: Sequence[str], *, erase: bool
    ) -> ConsentView:
        """Agree to the readings of these names and to no others; with `erase`, delete what was stored of others.

        Raises `NotFound` for others than the owner, `Conflict` for new names while the device is not enrolled.
        """
        now = self._clock()
        async with self._database.transaction() as connection:
            found = await registry.find(connection, check_device_id(device_id), lock=True)
            record = _owned(found, account, now)
            before = await store.consents(connection, record.registry_key, account.account_id)
            given, withdrawn = sorted(set(names) - before.keys()), sorted(before.keys() - set(names))
            if given and record.state != "active":
                raise Conflict("This device is not enrolled, so it sends no readings.")
            await store.give(connection, record.registry_key, account.account_id, given, int(now))
            await store.withdraw(connection, record.registry_key, withdrawn)
            erased = 0
            if erase:
                erased = await store.erase(connection, record.registry_key, account.account_id, kept=names)
            for event, details in (
                ("device.readings_consented", {"readings": " ".join(given)}),
                ("device.readings_withdrawn", {"readings": " ".join(withdrawn)}),
                ("device.readings_erased", {"count": erased}),
            ):
                if any(details.values()):
                    await self._append(connection, event, account, record, details, now)
            view = await self._view(connection, record, account)
        if given:
            self._on_consent(device_id)
        return view

    async def take(self, device_id: str, epoch: int, batch: Readings) -> ReadingsAccepted:
        """Store what the owner agreed to; the same batch again changes nothing.

        Raises `Malformed` for a pack that holds none of our readings, `NotAllowed` where the owner agreed to nothing
        of it, and `Conflict` for a sequence number that another pack has.
        """
        records = senml.decode(batch.pack)
        _check(records, batch.sent_at)
        now = int(self._clock())
        digest = hashlib.sha256(batch.pack).digest()
        async with self._database.transaction() as connection:
            record = _current(await registry.find(connection, device_id, lock=True), epoch)
            key, account_id = record.registry_key, record.account_id
            if account_id is None:
                raise NotAllowed(_NO_CONSENT)
            stored = await store.batch_digest(connection, key, epoch, batch.sequence)
            if stored not in (None, digest):
                raise Conflict("Another batch of this sequence number is stored already.")
            names = await store.consents(connection, key, account_id)
            agreed = [(index, each) for index, each in enumerate(records) if each.name in names]
            if not agreed:
                raise NotAllowed(_NO_CONSENT)
            if stored is None:
                rows = [
                    {
                        **_columns(index, each, batch.sent_at),
                        "account_id": account_id,
                        "received_at": now,
                        "skew_s": batch.sent_at - now,
                        "assurance": record.assurance,
                    }
                    for index, each in agreed
                ]
                await store.add_batch(connection, key, epoch, batch.sequence, digest, rows)
        return ReadingsAccepted(batch.sequence, now)

    async def highest(self, device_id: str, epoch: int) -> ReadingsAccepted:
        """The highest sequence number that is stored of this epoch; 0 without any. Raises `NotAllowed`."""
        async with self._database.read() as connection:
            record = _current(await registry.find(connection, device_id), epoch)
            highest = await store.highest_sequence(connection, record.registry_key, epoch)
        return ReadingsAccepted(highest, int(self._clock()))

    async def wants_readings(self, device_id: str) -> bool:
        """Whether the device's owner agreed to any."""
        async with self._database.read() as connection:
            return await store.is_consented(connection, device_id)

    async def page(self, account: AuthenticatedAccount, device_id: str, before: Place | None, limit: int) -> Page:
        """The owner's readings of a device, newest first. Raises `NotFound` for others, operators too."""
        async with self._database.read() as connection:
            found = await registry.find(connection, check_device_id(device_id))
            key = _owned(found, account, self._clock()).registry_key
            rows = await store.newest(connection, key, account.account_id, before, limit)
        return Page(tuple(rows), rows[-1].place if len(rows) == limit else None)

    async def of_device(self, account: AuthenticatedAccount, device_id: str) -> AsyncIterator[Sequence[Reading]]:
        """All of the owner's readings of a device, oldest first, page by page. Raises `NotFound` at once."""
        async with self._database.read() as connection:
            found = await registry.find(connection, check_device_id(device_id))
            key = _owned(found, account, self._clock()).registry_key
        return self._pages_of(key, account.account_id)

    async def of_everybody(self, operator: AuthenticatedAccount) -> AsyncIterator[Sequence[Reading]]:
        """The readings of all devices to which consent stands, page by page; recorded in the audit log.

        A consent that is withdrawn meanwhile is heeded from the next page on. Raises `NotAllowed` at once.
        """
        if not operator.operator:
            raise NotAllowed("Only an operator may do this.")
        async with self._database.transaction() as connection:
            await self._audit.append(
                connection,
                event="readings.exported",
                actor=f"account:{operator.account_id}",
                subject="readings",
                now=self._clock(),
            )
        return self._consented_pages()

    async def _pages_of(self, registry_key: bytes, account_id: str) -> AsyncIterator[Sequence[Reading]]:
        after = None
        while True:
            async with self._database.read() as connection:
                rows = await store.oldest(connection, registry_key, account_id, after, PAGE_ROWS)
            if rows:
                yield rows
            if len(rows) < PAGE_ROWS:
                return
            after = rows[-1].place

    async def _consented_pages(self) -> AsyncIterator[Sequence[Reading]]:
        key = b""
        while True:
            async with self._database.read() as connection:
                found = await store.next_consenting(connection, key)
            if found is None:
                return
            async for rows in self._consented_pages_of(found):
                yield rows
            key = found.registry_key

    async def _consented_pages_of(self, owner: store.ConsentingOwner) -> AsyncIterator[Sequence[Reading]]:
        after = None
        while True:
            async with self._database.read() as connection:
                names = await store.consents(connection, *owner)
                rows = await store.oldest(connection, *owner, after, PAGE_ROWS, names=names)
            if rows:
                yield rows
            if len(rows) < PAGE_ROWS:
                return
            after = rows[-1].place

    async def _view(
        self, connection: AsyncConnection, record: DeviceRecord, account: AuthenticatedAccount
    ) -> ConsentView:
        given = await store.consents(connection, record.registry_key, account.account_id)
        counts = await store.counts(connection, record.registry_key, account.account_id)
        return ConsentView(
            device_id=record.device_id,
            readings=tuple(sorted(given)),
            given_at=max(given.values(), default=None),
            stored=sum(counts.values()),
            stored_withdrawn=sum(count for name, count in counts.items() if name not in given),
        )

    async def _append(
        self,
        connection: AsyncConnection,
        event: str,
        account: AuthenticatedAccount,
        record: DeviceRecord,
        details: dict[str, str] | dict[str, int],
        now: float,
    ) -> None:
        await self._audit.append(
            connection,
            event=event,
            actor=f"account:{account.account_id}",
            subject=f"device:{record.device_id}",
            details={"epoch": record.epoch, **details},
            now=now,
        )


_NO_CONSENT = "The owner of this device has not agreed to these readings."


def _owned(record: DeviceRecord | None, account: AuthenticatedAccount, now: float) -> DeviceRecord:
    shown = visible(record, account, now)
    if shown.account_id != account.account_id:
        raise NotFound(NOT_FOUND)
    return shown


def _current(record: DeviceRecord | None, epoch: int) -> DeviceRecord:
    """The device, if it is enrolled in this epoch and in its owner's hands."""
    if record is None or record.epoch != epoch or record.state != "active" or record.reported == "stolen":
        raise NotAllowed(_NO_CONSENT)
    return record


def _check(records: Sequence[Record], sent_at: int) -> None:
    for record in records:
        if record.value is None or record.sum is not None or isinstance(record.value, bytes):
            raise Malformed("A reading is a number, a text or a boolean.")
        if isinstance(record.value, str) and not record.value.isprintable():
            raise Malformed("A reading's text is printable.")
        if not 0 <= record.taken_at(sent_at) <= LATEST_TIME:
            raise Malformed("A reading of a time that no calendar has.")


def _columns(position: int, record: Record, sent_at: int) -> dict[str, object]:
    word = record.value if isinstance(record.value, str) else None
    return {
        "position": position,
        "name": record.name,
        "unit": record.unit,
        "value": None if word is not None else float(record.value or 0),
        "word": word,
        "measured_at": record.taken_at(sent_at),
    }
