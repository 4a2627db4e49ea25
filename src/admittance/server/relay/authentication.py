"""Who connects to the relay: devices by a signed first message, apps by a token with its proof, or by a ticket."""

import hashlib
import hmac
from dataclasses import dataclass, replace
from typing import Any, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Row

from admittance.errors import (
    AuthenticationFailed,
    IntegrityRequired,
    KeyRefused,
    Malformed,
    NotFound,
    OutsideWindow,
    SignatureInvalid,
)
from admittance.protocol.signing import load_public_key, verify_raw
from admittance.server.accounts.authenticate import LivingSessions
from admittance.server.accounts.dpop import ProofVerifier, VerifiedProof
from admittance.server.accounts.replays import ReplayCache
from admittance.server.audit.seldom import Seldom
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.devices import store as registry
from admittance.server.devices.model import DeviceRecord
from admittance.server.devices.sightings import Sightings
from admittance.server.enrolment import store as enrolments
from admittance.server.enrolment.devices import SEEN_EVERY_S
from admittance.server.enrolment.tpm.store import find_attestation
from admittance.server.grants.reach import LATEST, reach
from admittance.server.grants.store import of_guest
from admittance.server.relay.tickets import AppIdentity, Tickets
from admittance.server.revocations.store import last_ending
from admittance.wire.device_id import check_device_id
from admittance.wire.relay import RelayProof, RelayTicket, proof_input

RELAY_SCOPE = "devices"
_UNIFORM = "The connection is not authenticated."
_NO_DEVICE = "There is no such device of yours."


@dataclass(frozen=True, slots=True)
class ProvenDevice:
    """A device that holds the key of its certificate. `is_ended`: its access of that epoch is over.

    `last_ending` is the number of the newest ending that its certificate came after; that expires at `expires_at`.
    """

    device_id: str
    registry_key: bytes
    epoch: int
    is_ended: bool
    last_ending: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """An access token whose proof holds; neither is looked up yet."""

    access_token: str
    proof: VerifiedProof

    def __repr__(self) -> str:
        return "PresentedToken(…)"


class Access(Protocol):
    """Which account may talk with which device."""

    async def may_connect(self, account_id: str, device_id: str, attested_until: int | None) -> int | None:
        """Until when (Unix time) it may; None for as long as its token lasts. The app is attested until
        `attested_until`, None if it is not.

        Raises `NotFound`, also where there is no such device, and `NotAllowed` for a guest that may not do so now.
        """


class DeviceAccess:
    """An owner talks with the devices that are active and its own, a guest with those that it was let in to, when."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def may_connect(self, account_id: str, device_id: str, attested_until: int | None) -> int | None:
        """See `Access.may_connect`."""
        now = self._clock()
        async with self._database.read() as connection:
            record = await registry.find(connection, device_id)
            if record is None or record.state != "active" or record.owner(now) is None:
                raise NotFound(_NO_DEVICE)
            if record.owner(now) == account_id:
                return None
            grants = await of_guest(connection, device_id, account_id, now)
        if not grants:
            raise NotFound(_NO_DEVICE)
        until = reach(grants, now, attested_until)
        if until > now:
            return until
        if reach(grants, now, attested_until=LATEST) > now:
            raise IntegrityRequired("What you were granted here is for apps whose integrity is proven.")
        raise OutsideWindow("This is not within the hours that you were granted.")


class DeviceProofs:
    """Checks what devices answer to a node's hello. Nothing is cached, as in `server.enrolment.devices`.

    Without a certificate of `issuer` and its key nobody reaches the database or the audit log. Refusals of genuine
    certificates are audited, each device's for one reason seldom (`audit.seldom`).
    """

    def __init__(
        self, *, database: Database, audit: AuditLog, sightings: Sightings, issuer: x509.Certificate, clock: Clock
    ) -> None:
        self._database = database
        self._audit = audit
        self._sightings = sightings
        self._issuer = issuer
        self._clock = clock
        self._refusals = Seldom()

    async def check(self, proof: RelayProof, nonce: bytes, certificate_sha256: bytes, source: str) -> ProvenDevice:
        """The device that proved itself on this connection. Raises `AuthenticationFailed`, whatever the reason."""
        leaf = proof.chain[0]
        signed = proof_input(nonce, certificate_sha256, proof.device_id, proof.epoch)
        _verify(leaf, self._issuer, proof.signature, signed)
        now = int(self._clock())
        async with self._database.read() as connection:
            row = await enrolments.find_with_device(connection, hashlib.sha256(leaf).digest())
            if row is None:
                raise AuthenticationFailed(_UNIFORM)
            record = registry.record(row)
            attested = record.assurance == "tpm" and await find_attestation(connection, row.serial) is not None
            last = await last_ending(connection, "device", record.device_id)
        if record.reported is not None:
            async with self._database.transaction() as connection:
                await self._sightings.note(connection, record, "relay", source, now)
        is_ended = not _is_current(row, record)
        refusal = _refusal(row, record, proof, now, is_ended=is_ended, attested=attested)
        if refusal:
            await self._refuse(record, refusal, source, now)
        if not is_ended and (record.last_seen_at is None or now - record.last_seen_at >= SEEN_EVERY_S):
            async with self._database.transaction() as connection:
                await registry.saw(connection, record.registry_key, now)
        return ProvenDevice(
            record.device_id, record.registry_key, row.certificate_epoch, is_ended, last, row.not_after
        )

    async def _refuse(self, record: DeviceRecord, reason: str, source: str, now: int) -> None:
        if self._refusals.is_due((record.device_id, reason), now):
            subject = f"device:{record.device_id}"
            async with self._database.transaction() as connection:
                await self._audit.append(
                    connection,
                    event="relay.refused",
                    actor="anonymous",
                    subject=subject,
                    details={"reason": reason, "source": source},
                    now=now,
                )
        raise AuthenticationFailed(_UNIFORM)


class AppProofs:
    """Checks tokens and tickets of apps."""

    def __init__(
        self,
        *,
        database: Database,
        verifier: ProofVerifier,
        replays: ReplayCache,
        sessions: LivingSessions,
        tickets: Tickets,
        access: Access,
        clock: Clock,
    ) -> None:
        self._database = database
        self._verifier = verifier
        self._replays = replays
        self._sessions = sessions
        self._tickets = tickets
        self._access = access
        self._clock = clock

    def nonce(self) -> str:
        """What proofs must carry now."""
        return self._verifier.nonces.current(self._clock())

    def present(self, authorization: str, proof: str, path: str) -> PresentedToken:
        """Check the proof of an upgrade of `path`, without spending it.

        Raises `NonceRequired`, or `AuthenticationFailed` for anything else.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "dpop" or not token:
            raise AuthenticationFailed(_UNIFORM)
        verified = self._verifier.verify(proof, method="GET", path=path, access_token=token, now=self._clock())
        return PresentedToken(token, verified)

    async def identify(self, shown: PresentedToken | RelayTicket, device_id: str) -> AppIdentity:
        """Whose app it is, which may talk with that device.

        Raises `AuthenticationFailed`, `NotFound`, `NotAllowed` or `Unavailable`.
        """
        if isinstance(shown, RelayTicket):
            identity = await self._tickets.redeem(shown.ticket, device_id)
        else:
            identity = await self._redeem(shown)
        try:
            check_device_id(device_id)
        except Malformed:
            raise NotFound(_NO_DEVICE) from None
        until = await self._access.may_connect(identity.account_id, device_id, identity.attested_until)
        return replace(identity, access_until=until)

    async def _redeem(self, shown: PresentedToken) -> AppIdentity:
        now = self._clock()
        async with self._database.transaction() as connection:
            session = await self._sessions.living(connection, shown.access_token, now=now)
            if not hmac.compare_digest(session.jkt, shown.proof.jkt) or RELAY_SCOPE not in session.scope:
                raise AuthenticationFailed(_UNIFORM)
            await self._replays.spend(connection, shown.proof, now)
        return AppIdentity(session.account_id, session.session_id, session.expires_at, session.attested_until)


def _verify(leaf: bytes, issuer: x509.Certificate, signature: bytes, signed: bytes) -> None:
    """That `issuer` certified the key that signed. Raises `AuthenticationFailed`."""
    try:
        certificate = x509.load_der_x509_certificate(leaf)
        certificate.verify_directly_issued_by(issuer)
        spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        verify_raw(load_public_key(spki), signature, signed)
    except (ValueError, TypeError, InvalidSignature, Malformed, KeyRefused, SignatureInvalid):
        raise AuthenticationFailed(_UNIFORM) from None


def _refusal(
    row: Row[Any], record: DeviceRecord, proof: RelayProof, now: int, *, is_ended: bool, attested: bool
) -> str:
    """Why a genuine certificate proves nothing here, in one word; empty if it does.

    A device whose access ended hears of it by an expired certificate, too: it may have been off for long.
    """
    if record.device_id != proof.device_id:
        return "another_device"
    if row.certificate_epoch != proof.epoch:
        return "another_epoch"
    if row.not_after <= now and not is_ended:
        return "certificate_expired"
    if record.assurance == "tpm" and not attested:
        return "key_not_in_tpm"
    return ""


def _is_current(row: Row[Any], record: DeviceRecord) -> bool:
    is_of_owner = (row.certificate_epoch, row.certificate_account_id) == (record.epoch, record.account_id)
    return (
        row.certificate_revoked_at is None
        and is_of_owner
        and record.state == "active"
        and record.account_id is not None
    )
