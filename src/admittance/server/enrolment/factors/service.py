"""Second factors in the transaction that issues a certificate.

`claim` and `require` are what enrolment calls. What they refuse is returned, not raised, so that the try that it cost
and its reason in the audit log are committed. Outside, all factors that do not hold look alike.
"""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import ApprovalPending, FactorRequired
from admittance.server.accounts.store import accounts as accounts_table
from admittance.server.activation import store as activations
from admittance.server.audit.store import AuditLog
from admittance.server.devices import store as registry
from admittance.server.devices.catalogue import DeviceModel
from admittance.server.devices.model import DeviceRecord
from admittance.server.enrolment import store as enrolments
from admittance.server.enrolment.factors import store
from admittance.server.enrolment.factors.codes import EnrolmentCodes
from admittance.server.enrolment.factors.model import (
    ACCOUNT_TRIES,
    ACCOUNT_TRIES_WINDOW_S,
    APPROVAL_TTL_S,
    LOGIN_TTL_S,
    TRIES,
    TRIES_WINDOW_S,
    refused,
)
from admittance.server.enrolment.factors.policy import kinds_for
from admittance.server.enrolment.factors.sms_codes import SmsCodes
from admittance.server.enrolment.factors.totp import Totp
from admittance.server.enrolment.mails import OwnerMails
from admittance.server.enrolment.model import Refusal, uniform
from admittance.wire.enrolment import Factor, FactorKind


class Factors:
    """Decides whether an enrolment has the second factor that it needs. `default_quota` as in activation."""

    def __init__(
        self,
        *,
        audit: AuditLog,
        codes: EnrolmentCodes,
        totp: Totp,
        sms: SmsCodes,
        mails: OwnerMails,
        default_quota: int,
    ) -> None:
        self._audit = audit
        self._codes = codes
        self._totp = totp
        self._sms = sms
        self._mails = mails
        self._default_quota = default_quota

    async def claim(
        self, connection: AsyncConnection, device: DeviceRecord, ticket_mac: bytes | None, now: float
    ) -> DeviceRecord | Refusal:
        """The device as it will be if this ticket is that of a login on its keyboard, else as it is.

        Nothing is written: the device is the account's only once its certificate is issued.
        """
        if ticket_mac is None or device.owner(now) is not None:
            return device
        login = await store.find_login(connection, ticket_mac, device.registry_key, int(now))
        if login is None or login.epoch <= device.epoch or device.barred(login.account_id):
            return device
        query = accounts_table.select().where(accounts_table.c.account_id == login.account_id)
        account = (await connection.execute(query.with_for_update(skip_locked=True))).first()
        if account is None:
            return uniform("account_busy")
        quota = self._default_quota if account.quota is None else account.quota
        if await registry.owned_count(connection, login.account_id, now) >= quota:
            return uniform("quota")
        return replace(
            device,
            state="pending",
            account_id=login.account_id,
            epoch=login.epoch,
            needs_ticket=True,
            pending_until=int(now) + LOGIN_TTL_S,
            activated_at=None,
        )

    async def require(
        self,
        connection: AsyncConnection,
        device: DeviceRecord,
        model: DeviceModel | None,
        account_id: str,
        factor: Factor | None,
        now: float,
        *,
        ticket_mac: bytes,
        source: str,
    ) -> str | Refusal:
        """Use `factor` up, for the enrolment that this transaction issues. Returns its kind; empty if none is needed.

        Call it last: nothing may refuse afterwards. The caller holds the device's row.
        """
        login = await store.find_login(connection, ticket_mac, device.registry_key, int(now))
        of_account = await store.account_kinds(connection, account_id)
        kinds = kinds_for(() if model is None else model.second_factor, of_account, after_login=login is not None)
        if not kinds:
            return ""
        outcome = await self._decide(connection, device, account_id, kinds, factor, source, now)
        if isinstance(outcome, Refusal):
            hides = login is not None and not isinstance(outcome.error, ApprovalPending)
            return uniform(outcome.reason or "factor_required") if hides else outcome
        if login is not None:
            await self._begin_anew(connection, device, now)
        return outcome

    async def _decide(
        self,
        connection: AsyncConnection,
        device: DeviceRecord,
        account_id: str,
        kinds: tuple[FactorKind, ...],
        factor: Factor | None,
        source: str,
        now: float,
    ) -> FactorKind | Refusal:
        if factor is not None and factor.kind not in kinds:
            return Refusal("factor_kind", FactorRequired(kinds))
        bound_to = f"device:{device.device_id}"
        if factor is None or factor.kind == "approval":
            waits = factor is not None or kinds == ("approval",)
            return await self._approved(connection, device, account_id, kinds, source, now, waits=waits)
        if factor.kind == "sms" and not factor.value:
            await self._sms.send(connection, account_id, bound_to, f"enrol the device {device.device_id}", now)
            return Refusal("", FactorRequired(kinds))
        if await self.use(connection, account_id, bound_to, factor, now):
            await store.end_approvals(connection, device.registry_key)
            return factor.kind
        return Refusal(f"factor_{factor.kind}", refused())

    async def use(
        self, connection: AsyncConnection, account_id: str, bound_to: str, factor: Factor, now: float
    ) -> bool:
        """Use a code, a one-time password or an SMS code up; a wrong one costs a try.

        Tries count for who tries them (`bound_to`), so that nobody can use up another's. Codes short enough to guess
        count for the account, too.
        """
        buckets = [(f"{account_id}:{bound_to}", TRIES, TRIES_WINDOW_S)]
        if factor.kind == "totp":
            buckets.append((f"{account_id}:totp", ACCOUNT_TRIES, ACCOUNT_TRIES_WINDOW_S))
        for bucket, limit, window_s in buckets:
            if not await store.admit_try(connection, bucket, limit, window_s, int(now)):
                return False
        if not await self._holds(connection, account_id, bound_to, factor, now):
            return False
        for bucket, _, _ in buckets:
            await store.give_try_back(connection, bucket)
        return True

    async def _holds(
        self, connection: AsyncConnection, account_id: str, bound_to: str, factor: Factor, now: float
    ) -> bool:
        match factor.kind:
            case "code":
                return await self._codes.use(connection, account_id, bound_to, factor.value, now)
            case "totp":
                return await self._totp.use(connection, account_id, factor.value, now)
            case "sms":
                return await self._sms.use(connection, account_id, bound_to, factor.value, now)
            case "approval":
                return False

    async def _approved(
        self,
        connection: AsyncConnection,
        device: DeviceRecord,
        account_id: str,
        kinds: tuple[FactorKind, ...],
        source: str,
        now: float,
        *,
        waits: bool,
    ) -> FactorKind | Refusal:
        if "approval" not in kinds:
            return Refusal("", FactorRequired(kinds))
        key, at = device.registry_key, int(now)
        if await store.use_approval(connection, key, account_id, device.epoch, at):
            return "approval"
        if await store.is_denied(connection, key, account_id, device.epoch, at):
            return Refusal("factor_denied", refused())
        if await store.ask_approval(connection, key, account_id, device.epoch, source, at + APPROVAL_TTL_S, at):
            await self._mails.approval_asked(connection, account_id, device.device_id, device.model, source, now)
            await self._audit.append(
                connection,
                event="factor.approval_asked",
                actor=f"device:{device.device_id}",
                subject=f"device:{device.device_id}",
                details={"source": source, "epoch": device.epoch},
                now=now,
            )
        if waits:
            return Refusal("", ApprovalPending("The owner was asked to approve this device. Ask again later."))
        return Refusal("", FactorRequired(kinds))

    async def _begin_anew(self, connection: AsyncConnection, device: DeviceRecord, now: float) -> None:
        """A login is an activation: what was issued before it ends."""
        await enrolments.revoke_certificates(connection, device.registry_key, "superseded", int(now))
        await activations.cancel_activations(connection, device.registry_key, int(now))
        await self._audit.append(
            connection,
            event="device.activated",
            actor=f"account:{device.account_id}",
            subject=f"device:{device.device_id}",
            details={"by": "login", "epoch": device.epoch, "assurance": device.assurance, "model": device.model},
            now=now,
        )
