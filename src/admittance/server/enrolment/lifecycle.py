"""What becomes of a device after its enrolment: reported lost or stolen, assigned, released by the operator, ended.

An operator's release takes effect only after notice to the owner, who may object until then.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import Conflict, NotAllowed, NotFound
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.accounts.store import find_by_email
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.devices import store as registry
from admittance.server.devices.model import ENDED, DeviceRecord, Reported
from admittance.server.devices.sightings import forget_sightings
from admittance.server.enrolment.endings import Endings
from admittance.server.enrolment.factors import store as factors
from admittance.server.enrolment.fleet import NOT_FOUND, checked_reason, visible
from admittance.server.enrolment.mails import OwnerMails
from admittance.wire.device_id import check_device_id

Work = Callable[[AsyncConnection, DeviceRecord, float], Awaitable[None]]


class Lifecycle:
    """`release_notice_s` is the time between an operator's notice and the release."""

    def __init__(
        self,
        *,
        database: Database,
        audit: AuditLog,
        endings: Endings,
        mails: OwnerMails,
        clock: Clock,
        release_notice_s: int,
    ) -> None:
        self._database = database
        self._audit = audit
        self._endings = endings
        self._mails = mails
        self._clock = clock
        self._release_notice_s = release_notice_s

    async def report(self, account: AuthenticatedAccount, device_id: str, reported: Reported) -> None:
        """The owner says that the device is lost or stolen. `stolen` ends its access and blocks claims; of a
        lost one, the enrolment codes that it made.

        Raises `NotFound`, or `Conflict` if it is not enrolled.
        """

        async def work(connection: AsyncConnection, record: DeviceRecord, now: float) -> None:
            _require_owner(record, account, now)
            if record.state != "active":
                raise Conflict("This device is not enrolled yet: revoke it, or its activation lapses by itself.")
            if record.reported == reported:
                return
            await forget_sightings(connection, record.registry_key)
            changed = replace(record, reported=reported)
            if reported == "stolen":
                await self._endings.end(
                    connection,
                    replace(changed, needs_ticket=True),
                    event="device.stolen",
                    actor=_actor(account),
                    reason="privilege_withdrawn",
                    details={},
                    now=now,
                )
                return
            await registry.change(connection, changed)
            await factors.end_codes(connection, record.device_id)
            await self._append(connection, "device.lost", account, record, now)

        await self._on_locked(account, device_id, work)

    async def found(self, account: AuthenticatedAccount, device_id: str) -> None:
        """The owner has the device again. One that was stolen enrols once it is provisioned again.

        Raises `NotFound`.
        """

        async def work(connection: AsyncConnection, record: DeviceRecord, now: float) -> None:
            _require_owner(record, account, now)
            if record.reported is None:
                return
            await registry.change(connection, replace(record, reported=None))
            await forget_sightings(connection, record.registry_key)
            await self._append(connection, "device.found", account, record, now)

        await self._on_locked(account, device_id, work)

    async def decommission(self, account: AuthenticatedAccount, device_id: str, reason: str) -> None:
        """End a device for good: nobody's, its secrets destroyed, and its identity and TPM never to return.

        Raises `NotFound` or `Malformed`.
        """
        checked_reason(reason)

        async def work(connection: AsyncConnection, record: DeviceRecord, now: float) -> None:
            if record.state == "decommissioned":
                return
            owner = record.owner(now)
            await self._endings.end(
                connection,
                record.without_owner("decommissioned"),
                event="device.decommissioned",
                actor=_actor(account),
                reason="cessation_of_operation",
                details={"reason": reason},
                now=now,
            )
            await registry.forget_secrets(connection, record.registry_key)
            if owner not in (None, account.account_id):
                await self._mails.decommissioned(connection, record, reason, now)

        await self._on_locked(account, device_id, work)

    async def assign(self, operator: AuthenticatedAccount, device_id: str, email: str | None) -> None:
        """Only the account of that address may claim the device from now on; None: anybody who stands before it.

        Raises `NotAllowed` to others than operators, `NotFound`, and `Conflict` if the device is another's or ended.
        """
        _require_operator(operator)

        async def work(connection: AsyncConnection, record: DeviceRecord, now: float) -> None:
            found = None if email is None else await find_by_email(connection, email)
            if email is not None and found is None:
                raise NotFound("There is no account of that address.")
            assignee = None if found is None else str(found.account_id)
            if record.state in ENDED:
                raise Conflict("This device has ended: nobody can claim it.")
            if assignee is not None and record.owner(now) not in (None, assignee):
                raise Conflict("This device is another account's: it must be released first.")
            await registry.change(connection, replace(record, assigned_account_id=assignee))
            await self._append(connection, "device.assigned", operator, record, now, assignee=assignee)

        await self._on_locked(operator, device_id, work)

    async def announce_release(self, operator: AuthenticatedAccount, device_id: str) -> None:
        """Tell the owner that the device will be released; the release follows after the notice, unless refused.

        Raises `NotAllowed` to others than operators, `NotFound`, and `Conflict` if the device is nobody's or stolen.
        """
        _require_operator(operator)

        async def work(connection: AsyncConnection, record: DeviceRecord, now: float) -> None:
            if record.owner(now) is None:
                raise Conflict("This device has no owner.")
            if record.reported == "stolen":
                raise Conflict("A stolen device can't be released.")
            if record.release_at is not None:
                return
            changed = replace(record, release_at=int(now) + self._release_notice_s)
            await registry.change(connection, changed)
            await self._mails.release_announced(connection, changed, now)
            await self._append(connection, "device.release_announced", operator, record, now)

        await self._on_locked(operator, device_id, work)

    async def keep(self, account: AuthenticatedAccount, device_id: str) -> None:
        """The owner objects to the operator's release. Raises `NotFound`."""

        async def work(connection: AsyncConnection, record: DeviceRecord, now: float) -> None:
            _require_owner(record, account, now)
            if record.release_at is not None:
                await registry.change(connection, replace(record, release_at=None))
                await self._append(connection, "device.kept", account, record, now)

        await self._on_locked(account, device_id, work)

    async def release_due(self) -> int:
        """Carry out the releases whose notice is over; returns how many."""
        now = self._clock()
        async with self._database.read() as connection:
            due = await registry.due_releases(connection, now)
        return sum([await self._release_if_due(device_id, now) for device_id in due])

    async def _release_if_due(self, device_id: str, now: float) -> bool:
        async with self._database.transaction() as connection:
            record = await registry.find(connection, device_id, lock=True)
            if record is None or record.release_at is None or record.release_at > now:
                return False
            if record.owner(now) is None or record.reported == "stolen":
                await registry.change(connection, replace(record, release_at=None))
                return False
            await self._mails.released(connection, record, now)
            await self._endings.end(
                connection,
                record.without_owner("released"),
                event="device.released",
                actor="server",
                reason="cessation_of_operation",
                details={"by": "operator"},
                now=now,
            )
        return True

    async def _on_locked(self, account: AuthenticatedAccount, device_id: str, work: Work) -> None:
        now = self._clock()
        async with self._database.transaction() as connection:
            found = await registry.find(connection, check_device_id(device_id), lock=True)
            await work(connection, visible(found, account, now), now)

    async def _append(
        self,
        connection: AsyncConnection,
        event: str,
        account: AuthenticatedAccount,
        record: DeviceRecord,
        now: float,
        **details: str | None,
    ) -> None:
        await self._audit.append(
            connection,
            event=event,
            actor=_actor(account),
            subject=f"device:{record.device_id}",
            details={"epoch": record.epoch, **details},
            now=now,
        )


def _require_owner(record: DeviceRecord, account: AuthenticatedAccount, now: float) -> None:
    if record.owner(now) != account.account_id:
        raise NotFound(NOT_FOUND)


def _require_operator(account: AuthenticatedAccount) -> None:
    if not account.operator:
        raise NotAllowed("Only an operator may do this.")


def _actor(account: AuthenticatedAccount) -> str:
    return f"account:{account.account_id}"
