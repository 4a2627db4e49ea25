"""Keeping in contact: the kept network, the certificate, and what the server says of this device."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from admittance.device.backoff import Backoff
from admittance.device.clock import TrustedClock
from admittance.device.enrolment import Enrolment, Registrar
from admittance.device.joining import Joining
from admittance.device.log import Log
from admittance.device.second_factor import SecondFactor
from admittance.device.state import Memory, Operational, ServerContact
from admittance.errors import AdmittanceError, NetworkFailure, ServerRefused, TpmRefused
from admittance.wire.enrolment import DeviceStatus

FLOOR_STEP_S: Final = 3600
SHORTEST_WAIT_S: Final = 0.2


class StatusSource(Protocol):
    """The device listener, as upkeep needs it."""

    async def status(self) -> DeviceStatus: ...


@dataclass(frozen=True)
class Doors:
    """How to open the server's two doors for a device."""

    first_contact: Callable[[ServerContact], Registrar]
    device: Callable[[ServerContact, Operational], StatusSource]


class Upkeep:
    """Runs for as long as the agent is not trying another network."""

    def __init__(
        self,
        memory: Memory,
        joining: Joining,
        enrolment: Enrolment,
        doors: Doors,
        clock: TrustedClock,
        log: Log,
        *,
        jitter: Callable[[], float],
        poll_s: float,
        on_enrolled: Callable[[], None],
        factor: SecondFactor,
        on_factor: Callable[[str], None],
    ) -> None:
        self._memory = memory
        self._joining = joining
        self._enrolment = enrolment
        self._doors = doors
        self._clock = clock
        self._log = log
        self._jitter = jitter
        self._poll_s = poll_s
        self._on_enrolled = on_enrolled
        self._factor = factor
        self._on_factor = on_factor

    async def run(self) -> None:
        """Keep in contact until cancelled; ends at once if no network is kept or no server known."""
        backoff = Backoff(self._jitter)
        while self._memory.record.network is not None:
            try:
                await self._joining.join_kept()
                server = self._memory.record.server
                if server is None:
                    return
                await self._contact(server)
                backoff.reset()
                delay_s = self._until_next()
            except AdmittanceError as error:
                delay_s = backoff.next()
                self._log("contact_failed", cause=cause_of(error), retry_in_s=round(delay_s, 1))
            self._keep_floor()
            await self._factor.given_within(delay_s)

    async def _contact(self, server: ServerContact) -> None:
        registrar = self._doors.first_contact(server)
        if self._memory.record.reset_unreported:
            await self._report_reset(registrar)
        if self._enrolment.is_due():
            await self._enrol(registrar)
        operational = self._memory.record.operational
        if operational is None:
            return
        try:
            status = await self._doors.device(server, operational).status()
        except (NetworkFailure, TpmRefused) as error:
            if isinstance(error, NetworkFailure) and error.cause != "server_refused":
                raise
            self._log("access_refused", cause=cause_of(error))
            await self._enrol(registrar)
            return
        self._log("status", epoch=status.epoch, renew_after_s=status.renew_after_s)
        if status.renew_after_s == 0:
            await self._enrol(registrar)

    async def _enrol(self, registrar: Registrar) -> None:
        try:
            await self._enrolment.enrol(registrar)
        except ServerRefused:
            if self._factor.cause:
                self._on_factor(self._factor.cause)
            raise
        self._on_enrolled()

    async def _report_reset(self, registrar: Registrar) -> None:
        try:
            await self._enrolment.report_reset(registrar)
        except ServerRefused as refusal:
            self._log("reset_report_refused", cause=refusal.reason)

    def _until_next(self) -> float:
        renew_at = self._enrolment.renew_at()
        if renew_at is None:
            return self._poll_s
        return max(SHORTEST_WAIT_S, min(self._poll_s, renew_at - self._clock.now()))

    def _keep_floor(self) -> None:
        floor = self._clock.floor()
        if floor - self._memory.record.time_floor >= FLOOR_STEP_S:
            self._memory.change(time_floor=floor)


def cause_of(error: AdmittanceError) -> str:
    """The most telling stable word of an error."""
    if isinstance(error, ServerRefused):
        return error.reason
    if isinstance(error, NetworkFailure):
        return error.cause
    return error.code
