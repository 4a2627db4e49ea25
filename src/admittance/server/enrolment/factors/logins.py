"""Login, password and second factor on a device that has a keyboard.

A login binds nothing yet. It gives a ticket that only this device can use, within ten minutes, and only together with
a second factor, which in the usual case is sent to the account's phone. Right or wrong, known account or not, the
answer is the same.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import AlreadyUsed, AuthenticationFailed, Expired
from admittance.protocol.enrolment.login import read_login
from admittance.server.accounts.password_check import PasswordCheck
from admittance.server.activation import store as activations
from admittance.server.activation.tickets import TicketCodes
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.devices import store as registry
from admittance.server.devices.catalogue import Catalogue
from admittance.server.devices.model import DeviceRecord, is_at_least
from admittance.server.enrolment import store as enrolments
from admittance.server.enrolment.factors import store
from admittance.server.enrolment.factors.model import LOGIN_TTL_S
from admittance.server.enrolment.factors.policy import kinds_for
from admittance.server.enrolment.factors.sms_codes import SmsCodes
from admittance.server.enrolment.model import UNIFORM
from admittance.server.enrolment.nonces import Nonces
from admittance.wire.device_id import check_device_id
from admittance.wire.factors import LoginStarted
from admittance.wire.sealed import TICKET_BYTES


@dataclass(frozen=True)
class DeviceLogins:
    """`nobody` is a public key (SPKI) that verifies nothing; `random` gives n random bytes."""

    database: Database
    audit: AuditLog
    catalogue: Catalogue
    passwords: PasswordCheck
    nonces: Nonces
    tickets: TicketCodes
    sms: SmsCodes
    clock: Clock
    random: Callable[[int], bytes]
    nobody: bytes

    async def start(self, data: bytes, source: str) -> LoginStarted:
        """The answer to a signed login from the network `source`.

        Raises `Malformed`, `Throttled`, `Unavailable`; `Expired` or `AlreadyUsed` about the nonce;
        `AuthenticationFailed` if no genuine device signed it.
        """
        unverified = read_login(data)
        device_id = check_device_id(unverified.login.device_id)
        nonce = unverified.login.nonce
        expires_at = self.nonces.expiry(nonce, device_id)
        async with self.database.read() as connection:
            found = await registry.find(connection, device_id)
        login = unverified.verify(self.nobody if found is None else found.identity_spki, nonce)
        await self._spend(nonce, expires_at)
        account_id = await self.passwords.account_id(email=login.email, password=login.password, source=source)
        ticket, now = self.random(TICKET_BYTES), self.clock()
        async with self.database.transaction() as connection:
            record = await registry.find(connection, device_id, lock=True)
            if record is None:
                raise AuthenticationFailed(UNIFORM)
            epoch = record.epoch if record.owner(now) is not None else max(record.epoch, login.epoch) + 1
            refusal = self._refusal(record, account_id, now)
            if refusal is None and account_id is not None:
                await self._begin(connection, record, account_id, ticket, epoch, now)
                await self.passwords.forgive(connection, email=login.email, source=source)
            await self._record(connection, record, account_id, refusal, now)
        return LoginStarted(ticket, epoch, int(now))

    async def _spend(self, nonce: bytes, expires_at: int) -> None:
        if expires_at <= self.clock():
            raise Expired("The nonce is older than 5 minutes: ask for a new one.")
        async with self.database.transaction() as connection:
            if not await enrolments.spend_nonce(connection, nonce, expires_at):
                raise AlreadyUsed("The nonce was used before: ask for a new one.")

    def _refusal(self, record: DeviceRecord, account_id: str | None, now: float) -> str | None:
        """Why this login leads to nothing, for the audit log."""
        model = self.catalogue.find(record.model)
        if account_id is None:
            return "password"
        if model is None or not model.keyboard:
            return "no_keyboard"
        if record.barred(account_id):
            return record.barred(account_id)
        if record.owner(now) not in (None, account_id):
            return f"state_{record.state}"
        before_tpm = model.minimum_assurance == "tpm" and is_at_least(record.assurance, "listed")
        if not before_tpm and not is_at_least(record.assurance, model.minimum_assurance):
            return "assurance"
        return None

    async def _begin(
        self,
        connection: AsyncConnection,
        record: DeviceRecord,
        account_id: str,
        ticket: bytes,
        epoch: int,
        now: float,
    ) -> None:
        mac, expires_at = self.tickets.mac(ticket), int(now) + LOGIN_TTL_S
        await activations.add_ticket(connection, mac, record.registry_key, account_id, epoch, expires_at)
        await store.add_login(connection, mac, record.registry_key, account_id, epoch, expires_at)
        model = self.catalogue.find(record.model)
        of_account = await store.account_kinds(connection, account_id)
        if "sms" in kinds_for(() if model is None else model.second_factor, of_account, after_login=True):
            purpose = f"enrol the device {record.device_id}"
            await self.sms.send(connection, account_id, f"device:{record.device_id}", purpose, now)

    async def _record(
        self,
        connection: AsyncConnection,
        record: DeviceRecord,
        account_id: str | None,
        refusal: str | None,
        now: float,
    ) -> None:
        await self.audit.append(
            connection,
            event="device_login.started" if refusal is None else "device_login.refused",
            actor=f"device:{record.device_id}",
            subject="account:unknown" if account_id is None else f"account:{account_id}",
            details={} if refusal is None else {"reason": refusal},
            now=now,
        )
