"""Getting, renewing and regaining the operational certificate.

The fresh key is on the disk before it is first sent, so a device that was killed, or lost the answer, asks again with
the same key, and the server answers with the same certificate. A device whose certificate expired enrols again by its
identity key alone, however long it was off.
"""

from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from admittance.device.clock import TrustedClock
from admittance.device.keys import Made
from admittance.device.log import Log
from admittance.device.requests import Challenger, Requests, SoftwareRequests, Wanted
from admittance.device.second_factor import WAITING, SecondFactor
from admittance.device.state import Memory, Operational, PendingEnrolment
from admittance.errors import Malformed, ServerRefused, TpmKeyLost
from admittance.protocol.enrolment.reset import build_reset_report
from admittance.wire.enrolment import Enrolled, Factor
from admittance.wire.factors import LoginStarted

TICKET_USED: Final = "ticket_used"


class Registrar(Challenger, Protocol):
    """The first-contact listener, as enrolment needs it."""

    async def nonce(self, device_id: str) -> bytes: ...
    async def enrol(self, request: bytes) -> Enrolled: ...
    async def report_reset(self, report: bytes) -> None: ...


class Enrolment:
    """Keeps the record's operational certificate alive."""

    def __init__(
        self, made: Made, memory: Memory, clock: TrustedClock, log: Log, factor: SecondFactor | None = None
    ) -> None:
        self._made = made
        self._memory = memory
        self._clock = clock
        self._log = log
        self._requests = _requests(made, memory)
        self._factor = factor or SecondFactor()
        self._awaits_factor = False

    @property
    def is_under_way(self) -> bool:
        """Whether the device waits for its first certificate of an owner."""
        record = self._memory.record
        return record.ticket is not None or (record.pending is not None and bool(record.pending.ticket))

    def begin_after_login(self, started: LoginStarted) -> None:
        """Enrol by the ticket of a login, once a second factor was given."""
        pending = PendingEnrolment(self._requests.make_key(), started.ticket, started.epoch)
        self._memory.change(ticket=None, pending=pending)
        self._awaits_factor = True

    def is_due(self) -> bool:
        """Whether a certificate is missing, expired, or past its time to renew."""
        record = self._memory.record
        if record.server is None:
            return False
        if self._awaits_factor and record.pending is not None and record.pending.epoch is not None:
            return self._factor.given is not None
        if record.ticket is not None or record.pending is not None:
            return True
        if record.operational is None:
            return record.owned
        renew_at = self.renew_at()
        return renew_at is not None and self._clock.now() >= renew_at

    def renew_at(self) -> int | None:
        """When the certificate is to be renewed (Unix seconds), or None without one."""
        operational = self._memory.record.operational
        return None if operational is None else operational.renew_at

    async def enrol(self, registrar: Registrar) -> None:
        """Get a certificate, by the ticket if there is one, else by identity alone.

        Raises `ServerRefused`, `NetworkFailure`, `Unavailable` or `Malformed`, and `TpmRefused` with a TPM; the same
        call later goes on where this one ended. A ticket that was used is forgotten, and so is any refused one of a
        device that has its owner: it enrols by identity from then on.
        """
        pending = self._pending()
        self._log("enrolling", by="ticket" if pending.ticket else "identity")
        device_id = self._made.birth.device_id
        wanted = Wanted(
            key=pending.key,
            nonce=await registrar.nonce(device_id),
            device_id=device_id,
            epoch=self._memory.record.epoch if pending.epoch is None else pending.epoch,
            ticket=pending.ticket,
            factor=self._factor.given if pending.ticket else None,
        )
        try:
            request = await self._requests.build(wanted, registrar)
        except TpmKeyLost:
            self._memory.change(pending=None)
            raise
        try:
            enrolled = await registrar.enrol(request.data)
        except ServerRefused as refusal:
            self._after_refusal(refusal, pending, wanted.factor)
            raise
        self._factor.answered(None, wanted.factor)
        if self._memory.record.pending != pending:
            return
        self._keep(pending, enrolled, request.operational_spki)

    async def report_reset(self, registrar: Registrar) -> None:
        """Tell the server of the latest reset. Raises what `enrol` raises."""
        record = self._memory.record
        device_id = self._made.birth.device_id
        report = build_reset_report(
            self._made.identity,
            nonce=await registrar.nonce(device_id),
            device_id=device_id,
            epoch=record.epoch,
            resets=record.resets,
        )
        await registrar.report_reset(report)
        self._memory.change(reset_unreported=False)
        self._log("reset_reported", resets=record.resets)

    def _pending(self) -> PendingEnrolment:
        record = self._memory.record
        if record.pending is not None:
            return record.pending
        pending = PendingEnrolment(key=self._requests.make_key(), ticket=record.ticket or b"")
        self._memory.change(pending=pending)
        return pending

    def _keep(self, pending: PendingEnrolment, enrolled: Enrolled, spki: bytes) -> None:
        certificate = _certificate(enrolled.chain[0])
        if _spki(certificate) != spki:
            raise Malformed("The certificate is for another key than the one this device asked for.")
        self._memory.change(
            operational=Operational(pending.key, list(enrolled.chain), enrolled.server_time + enrolled.renew_after_s),
            pending=None,
            ticket=None,
            epoch=self._memory.record.epoch if pending.epoch is None else pending.epoch,
            owned=True,
            time_floor=self._clock.floor(),
        )
        self._log(
            "enrolled",
            serial=f"{certificate.serial_number:x}",
            not_after_at=int(certificate.not_valid_after_utc.timestamp()),
        )

    def _after_refusal(self, refusal: ServerRefused, pending: PendingEnrolment, sent: Factor | None) -> None:
        is_login = pending.epoch is not None
        self._factor.answered(refusal, sent, after_login=is_login)
        self._awaits_factor = is_login
        if self._factor.cause or refusal.reason in WAITING:
            return
        if pending.ticket and (refusal.reason == TICKET_USED or self._memory.record.owned):
            self._memory.change(ticket=None, pending=None)
            self._log("ticket_forgotten", cause=refusal.reason)


def _requests(made: Made, memory: Memory) -> Requests:
    if made.tpm is None:
        return SoftwareRequests(made.identity)
    from admittance.device.tpm.requests import TpmRequests

    return TpmRequests(made.tpm, made.identity, lambda: memory.record.keys.attestation)


def _certificate(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError as error:
        raise Malformed("The server answered with something that is not a certificate.") from error


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
