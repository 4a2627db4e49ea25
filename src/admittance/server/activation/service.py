"""Activation: binding a genuine device to an account, in one transaction.

Within it: the challenge is used up, account and device are locked, the rules are applied, and the answer, the
ticket's HMAC and the audit entry are stored, or the refusal's true reason is. Outside, all refusals over the
identity look alike.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import (
    AlreadyUsed,
    Conflict,
    EvidenceRefused,
    Expired,
    KeyRefused,
    QuotaExceeded,
    Refused,
    WrongChallenge,
)
from admittance.protocol.provisioning.evidence import read_evidence
from admittance.server.accounts.store import lock_account
from admittance.server.activation import store
from admittance.server.activation.identity import IdentityCheck, ProvenIdentity, Unproven
from admittance.server.activation.model import (
    PROVISION,
    TICKET_BYTES,
    Activation,
    ActivationRequest,
    Caller,
)
from admittance.server.activation.sealing import LIFETIME_S, ConfigurationSealer, Grant
from admittance.server.activation.tickets import TicketCodes
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.devices import store as registry
from admittance.server.devices.catalogue import Catalogue
from admittance.server.devices.model import Assurance, DeviceRecord, is_at_least
from admittance.server.devices.sightings import Sightings
from admittance.server.enrolment import store as enrolments
from admittance.server.enrolment.endings import end_credentials
from admittance.wire import cbor
from admittance.wire.device_id import check_device_id, registry_key
from admittance.wire.evidence import Evidence

MAX_CODE_AGE_S = 15 * 60


@dataclass(frozen=True)
class _Refusal:
    """`reason` goes to the audit log, `error` to the caller."""

    reason: str
    error: Refused


@dataclass(frozen=True)
class _Claim:
    """What the rules allow: the device as it will be, and what it is given."""

    record: DeviceRecord
    grant: Grant
    is_reset: bool


class ActivationService:
    """`default_quota` counts devices of accounts without a quota of their own."""

    def __init__(
        self,
        *,
        database: Database,
        audit: AuditLog,
        catalogue: Catalogue,
        identities: IdentityCheck,
        sealer: ConfigurationSealer,
        sightings: Sightings,
        codes: TicketCodes,
        clock: Clock,
        random: Callable[[int], bytes],
        default_quota: int,
        ticket_ttl_s: int,
    ) -> None:
        self._database = database
        self._audit = audit
        self._catalogue = catalogue
        self._identities = identities
        self._sealer = sealer
        self._sightings = sightings
        self._codes = codes
        self._clock = clock
        self._random = random
        self._default_quota = default_quota
        self._ticket_ttl_s = ticket_ttl_s

    async def activate(self, caller: Caller, request: ActivationRequest) -> Activation:
        """Activate the device behind the evidence for the caller, or provision the caller's own device again.

        The same request again gets the same answer. Raises `Malformed` if the evidence does not decode;
        `WrongChallenge`, `AlreadyUsed` or `Expired` about the challenge; `EvidenceRefused` if the device cannot
        be activated, whatever the reason; `Conflict` if it is another account's; `QuotaExceeded`.
        """
        unverified = read_evidence(request.evidence)
        device_id = check_device_id(unverified.evidence.device_id)
        now = self._clock()
        async with self._database.read() as connection:
            record = await registry.find(connection, device_id)
        identity = self._identities.check(unverified, record, request, now)
        request_mac = self._codes.request_mac(_canonical(request))
        async with self._database.transaction() as connection:
            if not await store.consume_challenge(
                connection, request.challenge, caller, PROVISION, device_id, int(now)
            ):
                return await self._answer_again(connection, caller, request.challenge, request_mac, now)
            outcome = await self._decide(connection, caller, request, request_mac, identity, now)
            if isinstance(outcome, _Refusal):
                await self._audit.append(
                    connection,
                    event="activation.refused",
                    actor=f"account:{caller.account_id}",
                    subject=f"device:{device_id}",
                    details={"reason": outcome.reason},
                    now=now,
                )
        if isinstance(outcome, _Refusal):
            raise outcome.error
        return outcome

    async def _answer_again(
        self, connection: AsyncConnection, caller: Caller, challenge: bytes, request_mac: bytes, now: float
    ) -> Activation:
        row = await store.find_challenge(connection, challenge)
        if row is None or (row.account_id, row.jkt) != (caller.account_id, caller.jkt):
            raise WrongChallenge("There is no such challenge: start again.")
        if row.used_at is None:
            if row.expires_at <= now:
                raise Expired("This challenge is older than 15 minutes: start again.")
            raise WrongChallenge("This challenge was made for another device: start again.")
        answer = await store.find_activation(connection, challenge)
        if answer is None or answer.request_mac != request_mac or answer.cancelled_at is not None:
            raise AlreadyUsed("This challenge was used before: start again.")
        return Activation(
            device_id=answer.device_id,
            purpose=answer.purpose,
            epoch=answer.epoch,
            sequence=answer.sequence,
            sealed=answer.sealed,
            expires_at=answer.expires_at,
            is_new=False,
        )

    async def _decide(
        self,
        connection: AsyncConnection,
        caller: Caller,
        request: ActivationRequest,
        request_mac: bytes,
        identity: ProvenIdentity | Unproven,
        now: float,
    ) -> Activation | _Refusal:
        account = await lock_account(connection, caller.account_id)
        if isinstance(identity, Unproven):
            return _uniform(identity.reason)
        evidence = identity.evidence.evidence
        record = await self._locked_record(connection, identity)
        if record.account_id != caller.account_id:
            await self._sightings.note(connection, record, "activation", "another account", now)
        quota = self._default_quota if account is None or account.quota is None else account.quota
        claim = await self._claim(connection, caller, record, identity, quota, now)
        if isinstance(claim, _Refusal):
            return claim
        try:
            sealed = self._sealer.seal(
                claim.record, evidence, claim.grant, request.transaction_id, request.network, now
            )
        except KeyRefused:
            return _uniform("seal_key")
        activation = Activation(
            device_id=record.device_id,
            purpose=claim.grant.purpose,
            epoch=claim.grant.epoch,
            sequence=claim.grant.sequence,
            sealed=sealed,
            expires_at=int(now) + LIFETIME_S,
            is_new=True,
        )
        await self._store(connection, caller, request, request_mac, claim, activation, now)
        return activation

    async def _locked_record(self, connection: AsyncConnection, identity: ProvenIdentity) -> DeviceRecord:
        """The device's row, locked; a certified device that no manifest named is taken up."""
        device_id = identity.evidence.evidence.device_id
        record = await registry.find(connection, device_id, lock=True)
        if record is None:
            await registry.add_if_absent(connection, _newcomer(identity, self._catalogue))
            record = await registry.find(connection, device_id, lock=True)
        if record is None:
            raise EvidenceRefused(_UNIFORM)
        return record

    async def _claim(
        self,
        connection: AsyncConnection,
        caller: Caller,
        record: DeviceRecord,
        identity: ProvenIdentity,
        quota: int,
        now: float,
    ) -> _Claim | _Refusal:
        evidence = identity.evidence.evidence
        model = self._catalogue.find(record.model)
        if record.identity_spki != identity.evidence.identity_spki:
            return _uniform("another_identity")
        barred = record.barred(caller.account_id)
        if barred:
            return _uniform(barred)
        if model is None or not is_at_least(identity.assurance, _needed_to_claim(model.minimum_assurance)):
            return _uniform("assurance")
        if evidence.code_age_s > MAX_CODE_AGE_S:
            return _uniform("code_age")
        owner = record.owner(now)
        if owner not in (None, caller.account_id):
            return _Refusal("owned", Conflict("This device belongs to another account; its owner can release it."))
        if owner is None:
            if await registry.owned_count(connection, caller.account_id, now) >= quota:
                return _Refusal("quota", QuotaExceeded(f"Your account has all of its {quota} devices already."))
            claim = self._first_claim(caller, record, evidence, identity, now)
        else:
            claim = await self._repeated_claim(connection, record, evidence, identity, now)
        return _without_enrolment(claim, now) if model.offline else claim

    def _first_claim(
        self, caller: Caller, record: DeviceRecord, evidence: Evidence, identity: ProvenIdentity, now: float
    ) -> _Claim:
        epoch = max(record.epoch, evidence.epoch) + 1
        sequence = max(record.last_sequence, evidence.last_sequence) + 1
        changed = replace(
            record,
            assurance=_before_enrolment(identity),
            identity_certificate=identity.certificate,
            state="pending",
            account_id=caller.account_id,
            epoch=epoch,
            last_sequence=sequence,
            resets=max(record.resets, evidence.claims.resets),
            needs_ticket=True,
            pending_until=int(now) + self._ticket_ttl_s,
            activated_at=None,
            channel_spki=evidence.public_keys.channel or None,
            access_spki=evidence.public_keys.access or None,
        )
        return _Claim(changed, Grant("activate", epoch, sequence, self._random(TICKET_BYTES)), is_reset=True)

    async def _repeated_claim(
        self,
        connection: AsyncConnection,
        record: DeviceRecord,
        evidence: Evidence,
        identity: ProvenIdentity,
        now: float,
    ) -> _Claim:
        """The owner again: identity, owner and epoch stay; a ticket is given only where a certificate is missing."""
        epoch = max(record.epoch, evidence.epoch)
        sequence = max(record.last_sequence, evidence.last_sequence) + 1
        is_reset = evidence.claims.resets > record.resets
        is_pending = record.state == "pending"
        live = await enrolments.live_certificate(connection, record.registry_key, epoch, int(now))
        needs_ticket = is_reset or is_pending or record.needs_ticket or live is None
        changed = replace(
            record,
            assurance=record.assurance if record.assurance == "tpm" else identity.assurance,
            identity_certificate=identity.certificate,
            epoch=epoch,
            last_sequence=sequence,
            resets=max(record.resets, evidence.claims.resets),
            needs_ticket=record.needs_ticket or is_reset,
            pending_until=int(now) + self._ticket_ttl_s if is_pending else None,
            channel_spki=evidence.public_keys.channel or None,
            access_spki=evidence.public_keys.access or None,
        )
        is_unclaimed = is_pending and evidence.epoch < epoch
        ticket = self._random(TICKET_BYTES) if needs_ticket else b""
        grant = Grant("activate" if is_unclaimed else "reprovision", epoch, sequence, ticket)
        return _Claim(changed, grant, is_reset)

    async def _store(
        self,
        connection: AsyncConnection,
        caller: Caller,
        request: ActivationRequest,
        request_mac: bytes,
        claim: _Claim,
        activation: Activation,
        now: float,
    ) -> None:
        at, record, grant = int(now), claim.record, claim.grant
        if claim.is_reset:
            await end_credentials(connection, record, "superseded", now)
        else:
            await store.cancel_activations(connection, record.registry_key, at)
            await store.cancel_tickets(connection, record.registry_key, at)
        await registry.change(connection, record)
        await store.add_activation(
            connection,
            challenge=request.challenge,
            request_mac=request_mac,
            account_id=caller.account_id,
            registry_key=record.registry_key,
            device_id=record.device_id,
            purpose=grant.purpose,
            epoch=grant.epoch,
            sequence=grant.sequence,
            evidence=request.evidence,
            sealed=activation.sealed,
            created_at=at,
            expires_at=activation.expires_at,
        )
        if grant.ticket:
            await store.add_ticket(
                connection,
                self._codes.mac(grant.ticket),
                record.registry_key,
                caller.account_id,
                grant.epoch,
                at + self._ticket_ttl_s,
            )
        await self._audit.append(
            connection,
            event="device.activated" if grant.purpose == "activate" else "device.reprovisioned",
            actor=f"account:{caller.account_id}",
            subject=f"device:{record.device_id}",
            details={
                "epoch": grant.epoch,
                "sequence": grant.sequence,
                "assurance": record.assurance,
                "model": record.model,
                "ticket": bool(grant.ticket),
            },
            now=now,
        )


def _without_enrolment(claim: _Claim, now: float) -> _Claim:
    """The claim of a device that never reaches the server: its evidence is all that there will be."""
    record = replace(
        claim.record,
        state="active",
        needs_ticket=False,
        pending_until=None,
        activated_at=claim.record.activated_at or int(now),
    )
    return replace(claim, record=record, grant=replace(claim.grant, ticket=b""))


_UNIFORM = "This device cannot be activated."


def _needed_to_claim(minimum: Assurance) -> Assurance:
    """The proof of a TPM comes with the enrolment; before it, a device is listed or certified at most."""
    return "listed" if minimum == "tpm" else minimum


def _before_enrolment(identity: ProvenIdentity) -> Assurance:
    if identity.assurance != "tpm":
        return identity.assurance
    return "listed" if identity.certificate is None else "certified"


def _uniform(reason: str) -> _Refusal:
    return _Refusal(reason, EvidenceRefused(_UNIFORM))


def _canonical(request: ActivationRequest) -> bytes:
    network = request.network
    return cbor.encode(
        [
            request.challenge,
            request.evidence,
            request.binding,
            request.transaction_id,
            request.network_name,
            b"" if network is None else network.app_key,
        ]
    )


def _newcomer(identity: ProvenIdentity, catalogue: Catalogue) -> DeviceRecord:
    spki = identity.evidence.identity_spki
    model = catalogue.find(identity.model)
    return DeviceRecord(
        registry_key=registry_key(spki),
        device_id=identity.evidence.evidence.device_id,
        identity_spki=spki,
        identity_certificate=identity.certificate,
        model=identity.model,
        presence="display" if model is None else model.presence,
        assurance=identity.assurance,
        secrets=None,
        state="listed",
        account_id=None,
        epoch=0,
        last_sequence=0,
        resets=0,
        needs_ticket=False,
        pending_until=None,
        activated_at=None,
        last_seen_at=None,
    )
