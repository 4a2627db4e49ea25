"""Provisioning as the person in front of the device meets it: access point, display, button, and their times.

The shell of the provisioning machines: it gives them requests and carries out their commands. The access point opens
by `open` alone, which the agent calls at power-up while unowned and when the button is pressed; a failing network
never opens it. It closes when its time is over and no transaction is open, or shortly after the device is enrolled.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from admittance.device.access_point import AccessPointServer
from admittance.device.display.port import Display
from admittance.device.log import Log
from admittance.device.radio.port import Radio
from admittance.errors import AdmittanceError
from admittance.protocol.provisioning import stock
from admittance.protocol.provisioning.codes import ButtonWindow, CodeBook, RotatingCodes
from admittance.protocol.provisioning.device import (
    Capabilities,
    ProvenSession,
    ProvisioningDevice,
    RenewCode,
    Reply,
    SecureEndpoint,
)
from admittance.protocol.provisioning.transaction import Random, Transaction
from admittance.protocol.provisioning.transaction_events import (
    AllowResume,
    Event,
    ForgetResume,
    PersistConfiguration,
    TryNetwork,
    UseCode,
)
from admittance.wire import cbor, possession_qr
from admittance.wire.birth import Birth
from admittance.wire.possession_qr import PossessionQr
from admittance.wire.protocomm.scan import ScannedNetwork

BOOT_KEY_BYTES: Final = 32
TICK_S: Final = 0.25

QrForm = Literal["stock", "url"]


@dataclass(frozen=True)
class Times:
    """Seconds: how long a code is shown and good afterwards, how long the access point stays open after a physical
    act, and how long after the end of a provisioning, so that the phone can read how it ended."""

    rotation_s: float = 60.0
    grace_s: float = 90.0
    open_s: float = 300.0
    linger_s: float = 30.0


class Owner(Protocol):
    """The agent, as provisioning needs it."""

    def persist(self, command: PersistConfiguration) -> None:
        """Save a configuration; when this returns it survives a power cut."""

    def try_network(self, command: TryNetwork) -> None:
        """Begin to try a network, in place of the attempt under way."""

    def use_code(self, command: UseCode) -> None:
        """Use a code as the second factor of the enrolment under way."""

    def try_stock_network(self, command: stock.JoinNetwork) -> None:
        """The same for a network set by a stock app."""

    def forget_tried_network(self) -> None:
        """End the attempt under way; an unowned device forgets the network that it kept, too."""


class Onboarding:
    """See the module."""

    def __init__(
        self,
        *,
        birth: Birth,
        radio: Radio,
        display: Display,
        transaction: Transaction,
        owner: Owner,
        log: Log,
        monotonic: Callable[[], float],
        random: Random,
        times: Times,
        qr_form: QrForm,
    ) -> None:
        self._birth = birth
        self._radio = radio
        self._display = display
        self._transaction = transaction
        self._owner = owner
        self._log = log
        self._monotonic = monotonic
        self._random = random
        self._times = times
        self._qr_form = qr_form
        self._rotating = (
            RotatingCodes(rotation_s=times.rotation_s, grace_s=times.grace_s) if birth.presence == "display" else None
        )
        self._codes = CodeBook(rotating=self._rotating)
        self._machine = ProvisioningDevice(
            codes=self._codes,
            capabilities=Capabilities(presence=birth.presence),
            application={name: self._logged(name, endpoint) for name, endpoint in transaction.endpoints().items()},
            stock_endpoints=stock.StockEndpoints(self._permitted),
            boot_key=random(BOOT_KEY_BYTES),
        )
        self._server = AccessPointServer(self._receive)
        self._closes_at: float | None = None
        self._finished = False
        self._shown: str | None = None
        self._scan: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        return self._closes_at is not None

    async def open(self, cause: str) -> None:
        """Open the access point, or keep it open for longer, after a physical act."""
        async with self._changing:
            now = self._monotonic()
            if self._birth.presence_key is not None:
                window = ButtonWindow(self._birth.presence_key, now, self._random, window_s=self._times.open_s)
                self._codes.open_window(window)
            if not self.is_open:
                await self._radio.open_access_point(
                    self._birth.access_point_ssid, self._birth.access_point_passphrase, self._server.serve
                )
                self._log("access_point_opened", ssid=self._birth.access_point_ssid, cause=cause)
            self._closes_at = now + self._times.open_s
            self._finished = False
            self._refresh_display(now)

    async def close(self) -> None:
        """Close the access point, forget possession codes and sessions, clear the display."""
        async with self._changing:
            if not self.is_open:
                return
            self._closes_at = None
            self._hide_code()
            self._codes.close()
            self._machine.end_sessions()
            if self._scan is not None:
                self._scan.cancel()
            await self._radio.close_access_point()
            self._log("access_point_closed")

    async def run(self) -> None:
        """Rotate codes and close the access point in time, until cancelled."""
        while True:
            now = self._monotonic()
            self._transaction.expire(now)
            self._carry_out()
            if self._over(now):
                await self.close()
            self._refresh_display(now)
            await asyncio.sleep(TICK_S)

    def notify(self, event: Event) -> None:
        """Tell the transaction what became of its network; with its end, provisioning ends soon."""
        before = self._transaction.complete
        self._transaction.notify(event)
        if self._transaction.complete and not before:
            self._finish()

    def notify_stock(self, event: stock.StockEvent) -> None:
        """Tell the stock endpoints how a scan or an attempt ended."""
        self._machine.notify(event)

    def _finish(self) -> None:
        """Show no more codes, and stay open just long enough for the phone to see the end."""
        if self._closes_at is not None:
            self._finished = True
            self._closes_at = self._monotonic() + self._times.linger_s

    async def _receive(self, endpoint: str, cookie: str | None, body: bytes) -> Reply:
        now = self._monotonic()
        before = self._machine.session
        reply = self._machine.receive(endpoint, cookie, body, now, self._random)
        self._carry_out()
        session = self._machine.session
        if session is not None and session is not before:
            self._log("session_proven", by=session.method, code_age_s=session.code_age_s)
        self._refresh_display(now)
        if reply.after_scan and self._scan is not None:
            await asyncio.wait({self._scan})
        return reply

    def _carry_out(self) -> None:
        for command in self._transaction.drain():
            match command:
                case PersistConfiguration():
                    self._owner.persist(command)
                case TryNetwork():
                    self._owner.try_network(command)
                case UseCode():
                    self._owner.use_code(command)
                case AllowResume(transaction_id, resume_code, until):
                    self._codes.allow_resume(transaction_id, resume_code, until, self._monotonic())
                case ForgetResume(transaction_id):
                    self._codes.forget_resume(transaction_id)
        for machine_command in self._machine.drain():
            match machine_command:
                case stock.StartScan():
                    self._scan = asyncio.create_task(self._scan_networks())
                case stock.JoinNetwork():
                    self._owner.try_stock_network(machine_command)
                case stock.ResetRequested() | stock.ReprovisionRequested():
                    self._owner.forget_tried_network()
                case RenewCode():
                    self._log("code_spent")

    async def _scan_networks(self) -> None:
        try:
            seen = await self._radio.scan()
        except AdmittanceError as error:
            self._log("scan_failed", cause=error.code)
            seen = ()
        networks = tuple(ScannedNetwork(n.ssid, n.bssid, n.channel, n.signal_dbm, n.auth) for n in seen)
        self._machine.notify(stock.ScanFinished(networks))

    def _permitted(self, endpoint: str, now: float) -> bool:
        return self._transaction.permits(endpoint, self._machine.session, now)

    def _logged(self, name: str, endpoint: SecureEndpoint) -> SecureEndpoint:
        """`endpoint`, with its refusals logged by their code."""

        def run(session: ProvenSession, request: bytes, now: float) -> bytes:
            answer = endpoint(session, request, now)
            match cbor.decode(answer):
                case [1, str() as code, _]:
                    self._log("request_refused", endpoint=name, cause=code)
            return answer

        return run

    def _over(self, now: float) -> bool:
        if self._closes_at is None or now < self._closes_at:
            return False
        return self._finished or self._transaction.deadline(now) is None

    def _refresh_display(self, now: float) -> None:
        if self._rotating is None:
            return
        if self._closes_at is None or self._finished or now >= self._closes_at:
            self._hide_code()
            return
        code = self._rotating.shown(now, self._random)
        if code.code_id == self._shown:
            return
        self._shown = code.code_id
        qr = PossessionQr(
            name=self._birth.access_point_ssid,
            username=code.code_id,
            pop=code.code,
            password=self._birth.access_point_passphrase,
            origin=self._birth.server_origin if self._qr_form == "url" else None,
        )
        self._display.show(possession_qr.encode(qr))
        self._log("code_shown")

    def _hide_code(self) -> None:
        if self._shown is not None:
            self._shown = None
            self._codes.close()
            self._display.clear()
            self._log("code_hidden")
