"""Giving, changing and ending grants: an owner lets guests do something on its devices.

Locks are taken in one order everywhere: the owner's account, devices by id, what they were told by id, the grant.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import Conflict, Malformed, NotFound, QuotaExceeded, Throttled
from admittance.server.accounts.invites import Accepted, Invites
from admittance.server.accounts.model import AuthenticatedAccount, Invite, normalise_email
from admittance.server.accounts.store import lock_account
from admittance.server.audit.model import Detail
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.devices import store as registry
from admittance.server.devices.model import DeviceRecord
from admittance.server.grants import key_store, store
from admittance.server.grants.actions import actions_of
from admittance.server.grants.endings import Reaches, end_keys
from admittance.server.grants.mails import GuestMails
from admittance.server.grants.model import (
    GRANT_BYTES,
    MAX_DEVICES,
    MAX_NEW_A_DAY,
    MAX_OF_DEVICE,
    MAX_OF_OWNER,
    MAX_OPEN_INVITATIONS,
    Allowed,
    Grant,
    Terms,
)
from admittance.wire import base64url

NOT_FOUND = "You have no such grant."
_NO_DEVICE = "You have no such device."
_DAY_S = 86_400


@dataclass(frozen=True)
class Given:
    """A new grant, and the invitation that brings it to whoever accepts that."""

    grant: Grant
    invitation: Invite | None


@dataclass(frozen=True)
class Change:
    """What an owner changes of a grant: fields of `Terms` by name, and what is allowed, unless that is None."""

    terms: Mapping[str, Any]
    allowed: tuple[Allowed, ...] | None = None


class Grants:
    """Owners give, change and revoke; guests see what they were given, and accept invitations."""

    def __init__(
        self,
        *,
        database: Database,
        audit: AuditLog,
        invites: Invites,
        mails: GuestMails,
        clock: Clock,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._database = database
        self._audit = audit
        self._invites = invites
        self._mails = mails
        self._clock = clock
        self._random = random

    async def give(
        self, owner: AuthenticatedAccount, terms: Terms, allowed: Sequence[Allowed], *, email: str | None
    ) -> Given:
        """Let the account of `email` in, or with None whoever accepts an invitation.

        An address without account looks like any other; its grant waits for one that the operator or this owner
        invites. Raises `NotFound` for a device that is not this owner's, `Malformed`, `Conflict` for the owner's
        own address, `QuotaExceeded` and `Throttled`.
        """
        address = "" if email is None else normalise_email(email)
        now = self._clock()
        _check(terms, allowed, now)
        if address == owner.email:
            raise Conflict("This address is your own: an owner needs no grant.")
        async with self._database.transaction() as connection:
            await self._check_owner(connection, owner.account_id, int(now), invites=email is None)
            await self._lock_devices(connection, owner, [each.device_id for each in allowed], now)
            for each in allowed:
                if await store.count_at_device(connection, each.device_id, int(now)) >= MAX_OF_DEVICE:
                    raise QuotaExceeded(f"A device has at most {MAX_OF_DEVICE} grants at once: revoke some.")
            guest_id = await store.guest_by_email(connection, address, owner.account_id) if address else None
            grant = Grant(
                grant_id=self._random(GRANT_BYTES),
                owner_id=owner.account_id,
                guest_id=guest_id,
                email=address,
                terms=terms,
                allowed=tuple(sorted(allowed, key=lambda each: each.device_id)),
                created_at=int(now),
                ended_at=None,
            )
            await store.add(connection, grant)
            invitation = None
            if email is None:
                invitation, mac = await self._invites.add_open(connection, now)
                await store.add_invitation(connection, mac, grant.grant_id, invitation.expires_at)
            else:
                await self._mails.given(connection, address, owner.email, now)
            await self._append(connection, "grant.given", _actor(owner.account_id), grant, _details(grant), now)
        return Given(grant, invitation)

    async def given(self, owner: AuthenticatedAccount) -> list[Grant]:
        """What an account gave, oldest first."""
        async with self._database.read() as connection:
            return await store.given(connection, owner.account_id)

    async def received(self, guest: AuthenticatedAccount) -> list[Grant]:
        """What an account was given and nobody has ended, oldest first."""
        async with self._database.read() as connection:
            return await store.received(connection, guest.account_id)

    async def show(self, account: AuthenticatedAccount, grant_id: bytes) -> Grant:
        """To the owner, and to the guest until it ends. Raises `NotFound`."""
        async with self._database.read() as connection:
            grant = await store.find(connection, grant_id)
        is_guests = grant is not None and grant.guest_id == account.account_id and grant.ended_at is None
        if grant is None or not (is_guests or grant.owner_id == account.account_id):
            raise NotFound(NOT_FOUND)
        return grant

    async def change(self, owner: AuthenticatedAccount, grant_id: bytes, change: Change) -> Grant:
        """New terms hold at once: keys that were given under the old ones end, and streams beyond the new ones.

        The devices stay the same. Raises `NotFound`, `Malformed`, and `Conflict` for a grant that has ended.
        """
        now = self._clock()
        async with self._database.transaction() as connection:
            before = await self._locked(connection, owner, grant_id)
            if before.ended_at is not None:
                raise Conflict("This grant has ended: give another.")
            allowed = before.allowed if change.allowed is None else _merged(before.allowed, change.allowed)
            after = replace(before, terms=replace(before.terms, **change.terms), allowed=allowed)
            _check(after.terms, after.allowed, now)
            if after == before:
                return before
            reaches = await Reaches.before(connection, before, now)
            await store.change(connection, after)
            if replace(after.terms, name=before.terms.name) != before.terms or after.allowed != before.allowed:
                for each in after.allowed:
                    await end_keys(connection, each.device_id, key_store.of_grant(grant_id), now)
            if reaches is not None:
                await reaches.narrowed(connection, now)
            await self._append(connection, "grant.changed", _actor(owner.account_id), after, _details(after), now)
        return after

    async def revoke(self, owner: AuthenticatedAccount, grant_id: bytes) -> Grant:
        """End a grant, its invitation, every key and every stream of it; again changes nothing.

        Raises `NotFound`.
        """
        now = self._clock()
        async with self._database.transaction() as connection:
            before = await self._locked(connection, owner, grant_id)
            reaches = await Reaches.before(connection, before, now)
            if not await store.end(connection, grant_id, int(now)):
                return before
            for each in before.allowed:
                await end_keys(connection, each.device_id, key_store.of_grant(grant_id), now)
            if reaches is not None:
                await reaches.narrowed(connection, now)
            await self._append(connection, "grant.revoked", _actor(owner.account_id), before, {}, now)
            ended = await store.find(connection, grant_id)
        return before if ended is None else ended

    async def accept(self, guest: AuthenticatedAccount, secret: str) -> Grant:
        """An account that is there already takes an invitation.

        Raises `NotFound`, also for one of the guest's own making, `Expired` and `AlreadyUsed`.
        """
        now = self._clock()
        async with self._database.transaction() as connection:
            accepted = await self._invites.take_open(connection, secret, guest, now)
            await self.accepted(connection, accepted, now)
            if not accepted.brought:
                raise NotFound("This invitation does not exist. Check that the whole link was copied.")
            grant = await store.find(connection, accepted.brought[0])
        if grant is None:
            raise NotFound(NOT_FOUND)
        return grant

    async def accepted(self, connection: AsyncConnection, accepted: Accepted, now: float) -> None:
        """An invite was accepted: bring what waits for the account. In the transaction that accepts."""
        owner_id = await store.invited_by(connection, accepted.secret_mac)
        bound = await store.bind_invited(connection, accepted.secret_mac, accepted.account_id)
        if accepted.is_new:
            if owner_id is not None:
                await store.note_guest(connection, accepted.account_id, owner_id)
            bound += await store.bind_waiting(connection, accepted.email, accepted.account_id, of_owner=owner_id)
        accepted.brought.extend(bound)
        for grant_id in bound:
            grant = await store.find(connection, grant_id)
            if grant is not None:
                await self._append(connection, "grant.accepted", _actor(accepted.account_id), grant, {}, now)

    async def _check_owner(self, connection: AsyncConnection, owner_id: str, now: int, *, invites: bool) -> None:
        """Raises `QuotaExceeded` or `Throttled`. What counts is counted under a lock."""
        await lock_account(connection, owner_id)
        if await store.count_of_owner(connection, owner_id, now) >= MAX_OF_OWNER:
            raise QuotaExceeded(f"An account gives at most {MAX_OF_OWNER} grants at once: revoke some.")
        if await store.count_new(connection, owner_id, now - _DAY_S) >= MAX_NEW_A_DAY:
            raise Throttled(3600)
        if invites and await store.count_invitations(connection, owner_id, now) >= MAX_OPEN_INVITATIONS:
            raise QuotaExceeded(f"At most {MAX_OPEN_INVITATIONS} invitations are open at once: revoke some.")

    async def _lock_devices(
        self, connection: AsyncConnection, owner: AuthenticatedAccount, device_ids: Sequence[str], now: float
    ) -> None:
        records: list[DeviceRecord] = []
        for device_id in sorted(device_ids):
            record = await registry.find(connection, device_id, lock=True)
            if record is None or record.owner(now) != owner.account_id:
                raise NotFound(_NO_DEVICE)
            if record.state != "active" or record.reported == "stolen":
                raise Conflict("This device is not enrolled, or was stolen: nobody can be let in.")
            records.append(record)
        for record in records:
            await key_store.open_access(connection, record.device_id, record.epoch)

    async def _locked(self, connection: AsyncConnection, owner: AuthenticatedAccount, grant_id: bytes) -> Grant:
        """The owner's grant, its devices' rows and its own locked. The devices of a grant never change."""
        found = await store.find(connection, grant_id)
        if found is None or found.owner_id != owner.account_id:
            raise NotFound(NOT_FOUND)
        for each in found.allowed:
            await key_store.find(connection, each.device_id, lock=True)
        locked = await store.find(connection, grant_id, lock=True)
        if locked is None:
            raise NotFound(NOT_FOUND)
        return locked

    async def _append(
        self,
        connection: AsyncConnection,
        event: str,
        actor: str,
        grant: Grant,
        details: dict[str, Detail],
        now: float,
    ) -> None:
        await self._audit.append(
            connection, event=event, actor=actor, subject=subject_of(grant.grant_id), details=details, now=now
        )


def subject_of(grant_id: bytes) -> str:
    """A grant in the audit log."""
    return f"grant:{base64url.encode(grant_id)}"


def _actor(account_id: str) -> str:
    return f"account:{account_id}"


def _check(terms: Terms, allowed: Sequence[Allowed], now: float) -> None:
    """Raises `Malformed`."""
    if terms.ends_at <= now:
        raise Malformed("This grant would be over already: let it end later.")
    if not 1 <= len(allowed) <= MAX_DEVICES or len({each.device_id for each in allowed}) < len(allowed):
        raise Malformed(f"A grant is for 1 to {MAX_DEVICES} devices, each named once.")
    if terms.uses and len(allowed) > 1:
        raise Malformed("Uses are counted by the device: a grant that counts them is for one device.")


def _merged(before: Sequence[Allowed], changed: Sequence[Allowed]) -> tuple[Allowed, ...]:
    """What was allowed, with other permissions. Raises `Malformed`."""
    permissions = {each.device_id: each.permissions for each in changed}
    if permissions.keys() != {each.device_id for each in before}:
        raise Malformed("The devices of a grant stay the same: give another grant for other devices.")
    return tuple(replace(each, permissions=permissions[each.device_id]) for each in before)


def _details(grant: Grant) -> dict[str, Detail]:
    """Without names and addresses: rows of the audit log can't be erased."""
    terms, hours = grant.terms, grant.terms.hours
    said: dict[str, Detail] = {
        "devices": " ".join(each.device_id for each in grant.allowed),
        "actions": "; ".join(", ".join(actions_of(each.permissions)) for each in grant.allowed),
        "begins_at": terms.begins_at,
        "ends_at": terms.ends_at,
        "uses": terms.uses,
        "integrity": terms.integrity,
    }
    if hours is not None:
        weekdays = "".join(map(str, hours.weekdays))
        said["hours"] = f"{weekdays} {hours.from_minute}-{hours.to_minute} {hours.zone}"
    return said
