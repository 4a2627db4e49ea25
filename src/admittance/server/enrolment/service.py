"""Enrolment: from a request that identity and operational key signed to a certificate.

1. Decode the request; recognise its nonce.
2. Verify both signatures with the identity that the registry knows, and the key rules.
3. Open the transaction and lock the device.
4. Answer again what was answered before: same device, epoch, ticket and key.
5. Decide: the device is its owner's, its epoch is the current one, its ticket is its own and open; without a
   ticket the device enrolled before and was not reset since.
6. Spend the nonce, use up the credential challenge of the TPM and the second factor where one is needed, and consume
   the ticket, each by one conditional statement.
7. Sign the certificate and store it with the request (the evidence) and the decision.
8. Make a pending device active, queue the owner's mail, append to the audit log; commit.
9. Answer. A crash before 8 leaves nothing, a crash after it is answered by 4.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import (
    AlreadyUsed,
    AttestationRefused,
    AuthenticationFailed,
    Expired,
    SignatureInvalid,
    TicketUsed,
)
from admittance.protocol.enrolment.request import VerifiedEnrolment, read_request
from admittance.protocol.enrolment.reset import read_reset_report
from admittance.protocol.signing import spki_of
from admittance.server.activation import store as activations
from admittance.server.activation.tickets import TicketCodes
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.devices import store as registry
from admittance.server.devices.catalogue import Catalogue
from admittance.server.devices.model import DeviceRecord
from admittance.server.devices.sightings import Sightings
from admittance.server.enrolment import store
from admittance.server.enrolment.endings import end_credentials
from admittance.server.enrolment.factors.service import Factors
from admittance.server.enrolment.issuance import CertificateIssuer, OperationalCertificate
from admittance.server.enrolment.mails import OwnerMails
from admittance.server.enrolment.model import UNIFORM, CertificatePolicy, Issued, Refusal, uniform
from admittance.server.enrolment.nonces import Nonces
from admittance.server.enrolment.tpm.attestation import Answered, Attestations
from admittance.wire.device_id import check_device_id, registry_key

NOBODY = spki_of(ec.generate_private_key(ec.SECP256R1()).public_key())
"""Verifies nothing: unknown devices cost the same work as known ones."""

_FORGET_EVERY_S = 60

Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class _Request:
    """A verified request, as the transaction needs it."""

    verified: VerifiedEnrolment
    signed: bytes
    nonce: bytes
    nonce_expires_at: int
    spki_sha256: bytes
    ticket_mac: bytes | None
    source: str
    answered: Answered | None


class EnrolmentService:
    """First enrolment, renewal and enrolling again, and reports of resets."""

    def __init__(
        self,
        *,
        database: Database,
        audit: AuditLog,
        catalogue: Catalogue,
        codes: TicketCodes,
        nonces: Nonces,
        issuer: CertificateIssuer,
        policy: CertificatePolicy,
        mails: OwnerMails,
        factors: Factors,
        attestations: Attestations,
        sightings: Sightings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._audit = audit
        self._factors = factors
        self._attestations = attestations
        self._sightings = sightings
        self._catalogue = catalogue
        self._codes = codes
        self._nonces = nonces
        self._issuer = issuer
        self._policy = policy
        self._mails = mails
        self._clock = clock
        self._forgot_at = 0.0

    def nonce(self, device_id: str) -> tuple[bytes, int]:
        """A nonce (32 bytes) for that device, known or not, and the server's time."""
        now = self._clock()
        return self._nonces.issue(check_device_id(device_id), now), int(now)

    async def enrol(self, data: bytes, source: str) -> Issued:
        """The certificate for a signed request; `source` is the address it came from.

        Raises `Malformed`, `KeyRefused`; `Expired` or `AlreadyUsed` about nonce and credential challenge; subclasses
        of `AttestationRefused`; `TicketUsed` if another key used the ticket; `AuthenticationFailed` for everything
        else, whatever the reason.
        """
        unverified = read_request(data)
        device_id = check_device_id(unverified.request.device_id)
        nonce = unverified.request.nonce
        expires_at = self._nonces.expiry(nonce, device_id)
        identity_spki, model = await self._known(device_id)
        try:
            with _alike():
                verified, answered = await self._attestations.verify(unverified, identity_spki, model, nonce)
        except AttestationRefused as error:
            return await self._refuse(device_id, nonce, expires_at, Refusal(error.code, error), source)
        request = _Request(
            verified=verified,
            signed=data,
            nonce=nonce,
            nonce_expires_at=expires_at,
            spki_sha256=registry_key(verified.operational_spki),
            ticket_mac=self._codes.mac(verified.ticket) if verified.ticket else None,
            source=source,
            answered=answered,
        )
        return await self._in_transaction(
            device_id, source, lambda connection, record, now: self._enrol(connection, record, request, now)
        )

    async def report_reset(self, data: bytes, source: str = "") -> None:
        """End the credentials of a device that says, signed, that it was reset; the owner stays its owner.

        The same report again changes nothing. Raises as `enrol`.
        """
        unverified = read_reset_report(data)
        device_id = check_device_id(unverified.report.device_id)
        nonce = unverified.report.nonce
        expires_at = self._nonces.expiry(nonce, device_id)
        identity_spki, _ = await self._known(device_id)
        with _alike():
            report = unverified.verify(identity_spki, nonce)

        async def apply(connection: AsyncConnection, record: DeviceRecord, now: float) -> Refusal | None:
            if report.resets <= record.resets:
                return None
            refusal = await self._spend(connection, nonce, expires_at, now)
            if refusal is not None:
                return refusal
            await self._reset(connection, record, report.resets, now)
            return None

        await self._in_transaction(device_id, source, apply)

    async def _known(self, device_id: str) -> tuple[bytes, str]:
        """Identity (SPKI) and model of that device."""
        async with self._database.read() as connection:
            record = await registry.find(connection, device_id)
        return (NOBODY, "") if record is None else (record.identity_spki, record.model)

    async def _refuse(self, device_id: str, nonce: bytes, expires_at: int, refusal: Refusal, source: str) -> Issued:
        """Spend the nonce and note the refusal of a request that the device's identity signed."""

        async def apply(connection: AsyncConnection, _record: DeviceRecord, now: float) -> Issued | Refusal:
            return await self._spend(connection, nonce, expires_at, now) or refusal

        return await self._in_transaction(device_id, source, apply)

    async def _in_transaction(
        self,
        device_id: str,
        source: str,
        work: Callable[[AsyncConnection, DeviceRecord, float], Awaitable[Outcome | Refusal]],
    ) -> Outcome:
        """Do `work` on the locked device; a refusal is committed with its reason in the audit log, and raised."""
        now = self._clock()
        async with self._database.transaction() as connection:
            record = await registry.find(connection, device_id, lock=True)
            if record is None:
                raise AuthenticationFailed(UNIFORM)
            await self._sightings.note(connection, record, "enrolment", source, now)
            outcome = await work(connection, record, now)
            if isinstance(outcome, Refusal) and outcome.reason:
                await self._audit.append(
                    connection,
                    event="enrolment.refused",
                    actor=f"device:{device_id}",
                    subject=f"device:{device_id}",
                    details={"reason": outcome.reason},
                    now=now,
                )
        if isinstance(outcome, Refusal):
            raise outcome.error
        return outcome

    async def _enrol(
        self, connection: AsyncConnection, record: DeviceRecord, request: _Request, now: float
    ) -> Issued | Refusal:
        if record.reported == "stolen":
            return uniform("stolen")
        claimed = await self._factors.claim(connection, record, request.ticket_mac, now)
        if isinstance(claimed, Refusal):
            return claimed
        record = claimed
        owner = record.account_id
        if record.owner(now) is None or owner is None:
            return uniform(f"state_{record.state}")
        if request.verified.epoch != record.epoch:
            return uniform("epoch")
        issued = await store.find_issued(
            connection, record.registry_key, request.spki_sha256, request.ticket_mac, record.epoch, int(now)
        )
        if issued is not None:
            return self._issued(issued.certificate, now, is_new=False)
        refusal = await self._check_right(connection, record, request, now)
        if refusal is None:
            refusal = await self._spend(connection, request.nonce, request.nonce_expires_at, now)
        if refusal is None:
            refusal = await self._attestations.admit(connection, record, request.answered, now)
        if refusal is not None:
            return refusal
        if request.answered is not None:
            record = replace(record, assurance="tpm")
        factor = ""
        if request.ticket_mac is not None:
            outcome = await self._factors.require(
                connection,
                record,
                self._catalogue.find(record.model),
                owner,
                request.verified.factor,
                now,
                ticket_mac=request.ticket_mac,
                source=request.source,
            )
            if isinstance(outcome, Refusal):
                return outcome
            factor = outcome
            refusal = await self._consume(connection, request.ticket_mac, request.spki_sha256, now)
            if refusal is not None:
                return refusal
        certificate = self._issuer.issue(record.device_id, request.verified.operational_spki, self._policy.ttl_s, now)
        await self._store(connection, record, request, certificate, factor, now)
        return self._issued(certificate.der, now, is_new=True)

    async def _check_right(
        self, connection: AsyncConnection, record: DeviceRecord, request: _Request, now: float
    ) -> Refusal | None:
        if request.ticket_mac is None:
            return uniform("needs_ticket") if record.state == "pending" or record.needs_ticket else None
        ticket = await activations.find_ticket(connection, request.ticket_mac)
        return _ticket_refusal(ticket, record, now)

    async def _spend(self, connection: AsyncConnection, nonce: bytes, expires_at: int, now: float) -> Refusal | None:
        if expires_at <= now:
            return Refusal("nonce_expired", Expired("The nonce is older than 5 minutes: ask for a new one."))
        if now - self._forgot_at >= _FORGET_EVERY_S:
            self._forgot_at = now
            await store.forget_nonces(connection, int(now))
        if not await store.spend_nonce(connection, nonce, expires_at):
            return Refusal("nonce_used", AlreadyUsed("The nonce was used before: ask for a new one."))
        return None

    async def _consume(
        self, connection: AsyncConnection, ticket_mac: bytes, spki_sha256: bytes, now: float
    ) -> Refusal | None:
        if await activations.consume_ticket(connection, ticket_mac, spki_sha256, int(now)):
            return None
        return _TICKET_USED

    async def _store(
        self,
        connection: AsyncConnection,
        record: DeviceRecord,
        request: _Request,
        certificate: OperationalCertificate,
        factor: str,
        now: float,
    ) -> None:
        with_ticket = request.ticket_mac is not None
        reason = "ticket"
        if not with_ticket:
            previous = await store.live_certificate(connection, record.registry_key, record.epoch, int(now))
            reason = "enrolled_again" if previous is None else "renewal"
        await store.add_certificate(
            connection,
            serial=certificate.serial,
            fingerprint=certificate.fingerprint,
            registry_key=record.registry_key,
            account_id=record.account_id,
            epoch=record.epoch,
            spki_sha256=request.spki_sha256,
            ticket_mac=request.ticket_mac,
            certificate=certificate.der,
            request=request.signed,
            decision=_decision(record, request, reason, factor),
            issued_at=int(now),
            not_after=certificate.not_after,
        )
        if request.answered is not None and request.verified.attestation is not None:
            await self._attestations.keep(
                connection, certificate.serial, request.answered, request.nonce, request.verified.attestation
            )
        if with_ticket or request.answered is not None:
            await registry.change(connection, _enrolled(record, now))
        if reason != "renewal" and record.account_id is not None:
            name = self._catalogue.display_name(record.model)
            await self._mails.enrolled(
                connection, record.account_id, record.device_id, name, request.source, factor, now
            )
        await self._audit.append(
            connection,
            event="device.enrolled",
            actor=f"device:{record.device_id}",
            subject=f"device:{record.device_id}",
            details={
                "by": reason,
                "epoch": record.epoch,
                "serial": certificate.serial,
                "source": request.source,
                "factor": factor,
            },
            now=now,
        )

    async def _reset(self, connection: AsyncConnection, record: DeviceRecord, resets: int, now: float) -> None:
        ended = await end_credentials(connection, record, "superseded", now)
        await registry.change(connection, replace(record, resets=resets, needs_ticket=True))
        await self._audit.append(
            connection,
            event="device.reset",
            actor=f"device:{record.device_id}",
            subject=f"device:{record.device_id}",
            details={"resets": resets, "certificates_ended": ended},
            now=now,
        )

    def _issued(self, certificate: bytes, now: float, *, is_new: bool) -> Issued:
        renew_after_s = self._policy.renew_after(registry_key(certificate))
        return Issued(certificate, self._issuer.certificate, int(now), renew_after_s, is_new)


_TICKET_USED = Refusal("ticket_used", TicketUsed("The ticket was used before, with another key."))


@contextmanager
def _alike() -> Iterator[None]:
    """A signature that does not hold is refused in the words of every other reason."""
    try:
        yield
    except SignatureInvalid:
        raise AuthenticationFailed(UNIFORM) from None


def _ticket_refusal(ticket: Row[Any] | None, record: DeviceRecord, now: float) -> Refusal | None:
    if ticket is None:
        return uniform("ticket_unknown")
    bound_to = (ticket.registry_key, ticket.account_id, ticket.epoch)
    if bound_to != (record.registry_key, record.account_id, record.epoch):
        return uniform("ticket_of_another")
    if ticket.cancelled_at is not None:
        return uniform("ticket_cancelled")
    if ticket.used_at is not None:
        return _TICKET_USED
    if ticket.expires_at <= now:
        return uniform("ticket_lapsed")
    return None


def _enrolled(record: DeviceRecord, now: float) -> DeviceRecord:
    activated_at = int(now) if record.activated_at is None else record.activated_at
    return replace(record, state="active", needs_ticket=False, pending_until=None, activated_at=activated_at)


def _decision(record: DeviceRecord, request: _Request, reason: str, factor: str) -> str:
    decision = {
        "by": reason,
        "factor": factor,
        "assurance": record.assurance,
        "model": record.model,
        "epoch": record.epoch,
        "account": record.account_id,
        "source": request.source,
    }
    return msgspec.json.encode(decision, order="deterministic").decode()
