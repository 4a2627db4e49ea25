"""What people do about second factors: make codes, approve devices, set up an authenticator app or a phone.

Whatever could stand in for a second factor, or weaken it, wants a trusted app: a leaked password is not enough.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import Conflict, Malformed, NotAllowed, NotFound
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.accounts.trust import is_trusted, require_trusted, trust
from admittance.server.activation import store as activations
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.devices import store as registry
from admittance.server.devices.catalogue import Catalogue
from admittance.server.enrolment.factors import store
from admittance.server.enrolment.factors.codes import EnrolmentCodes
from admittance.server.enrolment.factors.model import (
    TRIES,
    TRIES_WINDOW_S,
    FactorStatus,
    MadeCode,
    PendingApproval,
    refused,
)
from admittance.server.enrolment.factors.policy import KINDS, kinds_for
from admittance.server.enrolment.factors.service import Factors
from admittance.server.enrolment.factors.sms_codes import PHONE, SmsCodes, normalise_number
from admittance.server.enrolment.factors.totp import Totp
from admittance.server.enrolment.model import AuthenticatedDevice
from admittance.wire.device_id import check_device_id
from admittance.wire.enrolment import Factor, FactorKind

_Check = Callable[[AsyncConnection, float], Awaitable[bool]]

TRUST_TRIES, TRUST_WINDOW_S = 10, 3600


@dataclass(frozen=True)
class FactorSettings:
    """See the module."""

    database: Database
    audit: AuditLog
    catalogue: Catalogue
    factors: Factors
    codes: EnrolmentCodes
    totp: Totp
    sms: SmsCodes
    clock: Clock

    async def code_for_device(self, device: AuthenticatedDevice) -> MadeCode:
        """An enrolment code that an enrolled device of the account asks for.

        Raises `Throttled`; `NotAllowed` if the device is reported lost, or its access ended just now.
        """
        async with self.database.transaction() as connection:
            record = await registry.find(connection, device.device_id, lock=True)
            if record is None or not record.vouches(device.account_id, device.epoch):
                raise NotAllowed("This device makes no enrolment codes now.")
            return await self._code(connection, device.account_id, f"device:{device.device_id}")

    async def code_for_app(self, account: AuthenticatedAccount) -> MadeCode:
        """An enrolment code that the owner's app asks for. Raises `AppNotTrusted` or `Throttled`."""
        async with self.database.transaction() as connection:
            await require_trusted(connection, account)
            return await self._code(connection, account.account_id, f"account:{account.account_id}")

    async def _code(self, connection: AsyncConnection, account_id: str, made_by: str) -> MadeCode:
        now = self.clock()
        made = await self.codes.make(connection, account_id, made_by, now)
        await self.audit.append(
            connection, event="factor.code_made", actor=made_by, subject=f"account:{account_id}", now=now
        )
        return made

    async def kinds_of(self, account_id: str, device_id: str) -> tuple[FactorKind, ...]:
        """The kinds of which an enrolment of that device for the account needs one."""
        async with self.database.read() as connection:
            record = await registry.find(connection, device_id)
            model = None if record is None else self.catalogue.find(record.model)
            of_account = await store.account_kinds(connection, account_id)
        return kinds_for(() if model is None else model.second_factor, of_account)

    async def pending(self, account: AuthenticatedAccount) -> list[PendingApproval]:
        """The devices that wait for the owner's word."""
        async with self.database.read() as connection:
            rows = await store.pending_approvals(connection, account.account_id, int(self.clock()))
        return [
            PendingApproval(
                row.device_id,
                row.model,
                self.catalogue.display_name(row.model),
                row.source,
                row.asked_at,
                row.expires_at,
            )
            for row in rows
        ]

    async def decide(self, account: AuthenticatedAccount, device_id: str, *, approve: bool) -> None:
        """Approve or deny a waiting device; a denied one also loses its tickets.

        Raises `NotFound` when it does not wait, `AppNotTrusted` when this app may not approve.
        """
        now, decision = self.clock(), "approved" if approve else "denied"
        async with self.database.transaction() as connection:
            if approve:
                await require_trusted(connection, account)
            record = await registry.find(connection, check_device_id(device_id), lock=True)
            if record is None or not await store.decide_approval(
                connection, record.registry_key, account.account_id, decision, int(now)
            ):
                raise NotFound("No such device waits for your approval.")
            if not approve and record.owner(now) in (None, account.account_id):
                await activations.cancel_tickets(connection, record.registry_key, int(now))
            await self._record(connection, account, f"factor.{decision}", device_id, now)

    async def status(self, account: AuthenticatedAccount) -> FactorStatus:
        async with self.database.read() as connection:
            number = await self.sms.number(connection, account.account_id)
            seed = await store.find_seed(connection, account.account_id)
            return FactorStatus(
                required=await store.account_kinds(connection, account.account_id),
                totp=seed is not None and seed.confirmed_at is not None,
                phone=None if number is None else f"…{number[-3:]}",
                sms=self.sms.is_possible,
                trusted=await is_trusted(connection, account),
            )

    async def require(self, account: AuthenticatedAccount, kinds: Sequence[FactorKind]) -> None:
        """Ask for a second factor, one of `kinds`, at every enrolment of this account; empty: only where models do.

        Raises `AppNotTrusted`; `Conflict` if the account could then satisfy none of them.
        """
        chosen = tuple(kind for kind in KINDS if kind in kinds)
        has = await self.status(account)
        lacking = {kind for kind, there in (("totp", has.totp), ("sms", has.phone and has.sms)) if not there}
        if chosen and lacking.issuperset(chosen):
            raise Conflict("Set up an authenticator app or a phone number first.")
        async with self.database.transaction() as connection:
            await require_trusted(connection, account)
            await store.set_account_kinds(connection, account.account_id, chosen)
            await self._record(connection, account, "factor.required", " ".join(chosen), self.clock())

    async def begin_totp(self, account: AuthenticatedAccount) -> str:
        """The otpauth URI of a fresh seed. Raises `AppNotTrusted`, or `Conflict` if there is a confirmed one."""
        async with self.database.transaction() as connection:
            await require_trusted(connection, account)
            uri = await self.totp.begin(connection, account.account_id, account.email)
            if uri is None:
                raise Conflict("The account has an authenticator app already. Remove it first.")
            return uri

    async def confirm_totp(self, account: AuthenticatedAccount, code: str) -> None:
        """Raises `AppNotTrusted` or `FactorRefused`."""
        await self._checked(
            account,
            "factor.totp_confirmed",
            lambda connection, now: self.totp.confirm(connection, account.account_id, code, now),
        )

    async def remove_totp(self, account: AuthenticatedAccount) -> None:
        """Raises `AppNotTrusted` or `NotFound`."""
        async with self.database.transaction() as connection:
            await require_trusted(connection, account)
            if not await store.remove_seed(connection, account.account_id):
                raise NotFound("The account has no authenticator app.")
            await self._record(connection, account, "factor.totp_removed", "", self.clock())

    async def set_phone(self, account: AuthenticatedAccount, number: str) -> None:
        """Send a code to a number that is to become the account's.

        Raises `Malformed`, `AppNotTrusted`; `Conflict` if this server sends no SMS, or sent too many lately.
        """
        normalised = normalise_number(number)
        now = self.clock()
        async with self.database.transaction() as connection:
            await require_trusted(connection, account)
            if not self.sms.is_possible:
                raise Conflict("This server sends no SMS. Use an authenticator app or enrolment codes.")
            if not await self.sms.send_to_candidate(connection, account.account_id, normalised, now):
                raise Conflict("Too many messages were sent lately. Try again later.")
            await self._record(connection, account, "factor.phone_set", "", now)

    async def confirm_phone(self, account: AuthenticatedAccount, code: str) -> None:
        """Raises `AppNotTrusted` or `FactorRefused`."""

        async def holds(connection: AsyncConnection, now: float) -> bool:
            if not await self.sms.use(connection, account.account_id, PHONE, code, now):
                return False
            return await store.verify_phone(connection, account.account_id, int(now))

        await self._checked(account, "factor.phone_verified", holds)

    async def remove_phone(self, account: AuthenticatedAccount) -> None:
        """Raises `AppNotTrusted` or `NotFound`."""
        async with self.database.transaction() as connection:
            await require_trusted(connection, account)
            if not await store.remove_phone(connection, account.account_id):
                raise NotFound("The account has no phone number.")
            await self._record(connection, account, "factor.phone_removed", "", self.clock())

    async def trust_app(self, account: AuthenticatedAccount, factor: Factor) -> bool:
        """Trust the app that asks, for a code, a one-time password or an SMS code. With an empty ``sms`` one is sent.

        Returns whether the app is trusted now. Raises `FactorRefused`; tries count for the account.
        """
        if factor.kind == "approval":
            raise Malformed("Confirm an app by a code of an enrolled device, a one-time password or an SMS code.")
        bound_to, now = f"app:{account.jkt}", self.clock()
        async with self.database.transaction() as connection:
            if factor.kind == "sms" and not factor.value:
                await self.sms.send(connection, account.account_id, bound_to, "trust an app that logged in", now)
                return await is_trusted(connection, account)
            bucket = f"{account.account_id}:trust"
            holds = await store.admit_try(connection, bucket, TRUST_TRIES, TRUST_WINDOW_S, int(now))
            holds = holds and await self.factors.use(connection, account.account_id, bound_to, factor, now)
            if holds:
                await store.give_try_back(connection, bucket)
                await trust(connection, account.account_id, account.jkt, factor.kind, int(now))
            await self._record(connection, account, "app.trusted" if holds else "app.refused", factor.kind, now)
        if not holds:
            raise refused()
        return True

    async def _checked(self, account: AuthenticatedAccount, event: str, holds: _Check) -> None:
        now = self.clock()
        async with self.database.transaction() as connection:
            await require_trusted(connection, account)
            bucket = f"{account.account_id}:settings"
            good = await store.admit_try(connection, bucket, TRIES, TRIES_WINDOW_S, int(now))
            good = good and await holds(connection, now)
            if good:
                await store.give_try_back(connection, bucket)
                await self._record(connection, account, event, "", now)
        if not good:
            raise refused()

    async def _record(
        self, connection: AsyncConnection, account: AuthenticatedAccount, event: str, what: str, now: float
    ) -> None:
        subject = f"account:{account.account_id}"
        details = {"what": what} if what else {}
        await self.audit.append(connection, event=event, actor=subject, subject=subject, details=details, now=now)
