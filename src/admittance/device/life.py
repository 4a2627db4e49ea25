"""A device's life between two resets: provisioning, the premises network, the certificate."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast, get_args

from admittance.device.clock import TrustedClock
from admittance.device.contact import (
    CertifiedListener,
    DeviceContact,
    DeviceListener,
    FirstContact,
    TpmSessionListener,
    https_client,
    open_first_contact,
)
from admittance.device.display.port import Display
from admittance.device.enrolment import Enrolment
from admittance.device.http import ClientCertificate
from admittance.device.joining import Joining
from admittance.device.keyboard import Keyboard
from admittance.device.keys import Made, device_keys, private_key_pem
from admittance.device.log import Log
from admittance.device.onboarding import Onboarding, QrForm, Times
from admittance.device.radio.port import Radio
from admittance.device.second_factor import SecondFactor
from admittance.device.state import Memory, Operational, PremisesNetwork, ServerContact
from admittance.device.talking import Talking, TalkSettings
from admittance.device.tpm.session import TpmProver
from admittance.device.upkeep import Doors, Upkeep
from admittance.errors import Conflict, NetworkFailure
from admittance.protocol.access.granted import GrantedAccess
from admittance.protocol.provisioning import stock
from admittance.protocol.provisioning.transaction import Random, Transaction
from admittance.protocol.provisioning.transaction_events import (
    AttemptFailed,
    AttemptJoined,
    AttemptSucceeded,
    EnrolmentFinished,
    FactorWanted,
    PersistConfiguration,
    TryNetwork,
    UseCode,
)
from admittance.protocol.provisioning.transaction_state import DeviceFacts, Standing
from admittance.wire.enrolment import Factor
from admittance.wire.factors import MadeCode
from admittance.wire.provisioning_messages import Cause

FIRMWARE: Final = "admittance-0.1.0"
CAUSES: Final[frozenset[str]] = frozenset(get_args(Cause))


@dataclass(frozen=True)
class Settings:
    """How a device behaves. `poll_s` is the period of its status requests."""

    times: Times = field(default_factory=Times)
    qr_form: QrForm = "stock"
    poll_s: float = 60.0
    talk: TalkSettings = field(default_factory=TalkSettings)


@dataclass(frozen=True)
class Ports:
    """What the device stands on. `jitter` gives numbers from 0 to 1, `random` bytes; `folder` is its disk."""

    radio: Radio
    display: Display
    log: Log
    monotonic: Callable[[], float]
    random: Random
    jitter: Callable[[], float]
    folder: Path


class Life:
    """See the module. It implements what provisioning needs of its owner."""

    def __init__(self, made: Made, memory: Memory, ports: Ports, settings: Settings) -> None:
        record = memory.record
        self._made = made
        self._memory = memory
        self._radio = ports.radio
        self._log = ports.log
        self._clock = TrustedClock(ports.monotonic, record.time_floor)
        self._onboarding = Onboarding(
            birth=made.birth,
            radio=ports.radio,
            display=ports.display,
            transaction=Transaction(
                _facts(made),
                device_keys(made, record.keys),
                Standing(record.epoch, record.last_sequence, record.resets, record.owned),
                ports.random,
                lambda: memory.record.credentials,
            ),
            owner=self,
            log=ports.log,
            monotonic=ports.monotonic,
            random=ports.random,
            times=settings.times,
            qr_form=settings.qr_form,
        )
        self._joining = Joining(ports.radio, memory, self._reach, ports.log)
        self.factor = SecondFactor()
        self._enrolment = Enrolment(made, memory, self._clock, ports.log, self.factor)
        self.keyboard = Keyboard(
            made,
            memory,
            ports.radio,
            self._clock,
            self._enrolment,
            self.factor,
            self._first_contact,
            ports.random,
            ports.log,
        )
        self._upkeep = Upkeep(
            memory,
            self._joining,
            self._enrolment,
            Doors(self._first_contact, self._device),
            self._clock,
            ports.log,
            jitter=ports.jitter,
            poll_s=settings.poll_s,
            on_enrolled=self._enrolled,
            factor=self.factor,
            on_factor=self._wants_factor,
        )
        self.talking = Talking(
            made, FIRMWARE, memory, self._clock, ports, settings.talk, lambda: self._onboarding.open("command")
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._upkeep_task: asyncio.Task[None] | None = None
        self._attempt_task: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def access_point_open(self) -> bool:
        return self._onboarding.is_open

    async def live(self) -> None:
        """Live until `end` is called. Raises what a fault of the machine itself raises, such as a full disk."""
        try:
            if not self._memory.record.owned:
                await self._onboarding.open("power_up")
            self._spawn(self._onboarding.run())
            self._start_upkeep()
            await self.talking.open()
            await self._ended
        finally:
            await self.talking.close()
            await self._stop(*self._tasks)
            await self._onboarding.close()

    def end(self) -> None:
        """Let `live` return."""
        if not self._ended.done():
            self._ended.set_result(None)

    async def press(self) -> None:
        """The button was pressed."""
        await self._onboarding.open("press")

    def persist(self, command: PersistConfiguration) -> None:
        """Save a configuration in one step; a disk that fails ends the life, with nothing changed."""
        configuration = command.configuration
        self._clock.set_server_time(configuration.server_time)
        changes: dict[str, object] = {
            "epoch": command.header.epoch,
            "last_sequence": command.header.sequence,
            "server": ServerContact(
                configuration.first_contact_url,
                configuration.device_url,
                list(configuration.anchors),
                tuple(configuration.relay_urls),
                tuple(configuration.token_keys),
            ),
            "credentials": command.credentials,
            "time_floor": self._clock.floor(),
        }
        if configuration.ticket:
            changes |= {"ticket": configuration.ticket, "pending": None}
        if command.new_owner:
            changes |= {
                "owned": False,
                "operational": None,
                "network": None,
                "consent": (),
                "access": GrantedAccess(),
            }
            if not configuration.ticket:
                changes |= {"ticket": None, "pending": None}
        try:
            self._memory.change(**changes)
        except OSError as error:
            self._fail(error)
            raise
        self.talking.configured(new_owner=command.new_owner)
        self._log("configured", epoch=command.header.epoch, sequence=command.header.sequence)
        if self._attempt_task is None or self._attempt_task.done():
            self._replace_attempt(self._restart_upkeep)

    def try_network(self, command: TryNetwork) -> None:
        """Begin to try a network, in place of the attempt under way."""
        network = PremisesNetwork(command.network.ssid, command.network.passphrase)
        self._replace_attempt(lambda: self._try(network, command.attempt))

    def use_code(self, command: UseCode) -> None:
        """A code came from the phone."""
        self.factor.give(Factor("code", command.code))

    async def use_network(self, ssid: str, passphrase: str) -> None:
        """Join and keep a network that a person named at the device. Raises `NetworkFailure`, or `Conflict`."""
        if self._memory.record.owned:
            raise Conflict("This device has an owner, who chooses its network.")
        await self._stop_upkeep()
        try:
            await self._joining.try_network(PremisesNetwork(ssid, passphrase), lambda: None)
        finally:
            self._start_upkeep()

    async def log_in(self, email: str, password: str) -> None:
        """A person logged in at the device. Raises what `Keyboard.log_in` raises."""
        await self.keyboard.log_in(email, password)
        await self._restart_upkeep()

    async def enrolment_code(self) -> MadeCode:
        """A code for one more device of the owner. Raises `Conflict`, `ServerRefused`, `NetworkFailure`."""
        record = self._memory.record
        if record.server is None or record.operational is None:
            raise Conflict("This device is not enrolled itself.")
        return await self._device(record.server, record.operational).enrolment_code()

    def try_stock_network(self, command: stock.JoinNetwork) -> None:
        """The same for a network set by a stock app."""
        network = PremisesNetwork(command.ssid, command.passphrase)
        self._replace_attempt(lambda: self._try_stock(network, command.attempt))

    def forget_tried_network(self) -> None:
        """End the attempt under way; an unowned device forgets the network that it kept, too."""
        if not self._memory.record.owned:
            self._memory.change(network=None)
        self._replace_attempt(self._restart_upkeep)

    async def _try(self, network: PremisesNetwork, attempt: int) -> None:
        cause = await self._attempt(network, attempt, lambda: self._onboarding.notify(AttemptJoined(attempt)))
        if cause:
            self._onboarding.notify(AttemptFailed(attempt, cause))
        else:
            self._onboarding.notify(AttemptSucceeded(attempt))
        self._start_upkeep()

    async def _try_stock(self, network: PremisesNetwork, attempt: int) -> None:
        cause = await self._attempt(network, attempt, lambda: None)
        self._onboarding.notify_stock(stock.JoinFinished(attempt, cause))
        self._start_upkeep()

    async def _attempt(self, network: PremisesNetwork, attempt: int, on_joined: Callable[[], None]) -> Cause:
        """Try `network`; the cause of the failure, or empty."""
        await self._stop_upkeep()
        self._log("network_tried", ssid=network.ssid, attempt=attempt)
        try:
            await self._joining.try_network(network, on_joined)
        except NetworkFailure as error:
            cause = known_cause(error.cause)
            self._log("network_failed", ssid=network.ssid, attempt=attempt, cause=cause)
            return cause
        return ""

    async def _reach(self, server: ServerContact) -> None:
        await self._first_contact(server).reach()

    def _first_contact(self, server: ServerContact) -> FirstContact:
        return open_first_contact(self._radio, server, self._clock)

    def _device(self, server: ServerContact, operational: Operational) -> DeviceContact:
        return DeviceContact(self._listener(server, operational), self._clock)

    def _listener(self, server: ServerContact, operational: Operational) -> DeviceListener:
        if self._made.tpm is None:
            certificate = ClientCertificate(tuple(operational.chain), private_key_pem(operational.key))
            client = https_client(self._radio, server.anchors, self._clock, certificate)
            return CertifiedListener(client, server.device_url)
        record = self._memory.record
        prover = TpmProver(
            self._made.tpm,
            device_id=self._made.birth.device_id,
            epoch=record.epoch,
            label=record.keys.attestation,
            kept=operational.key,
        )
        client = https_client(self._radio, server.anchors, self._clock)
        return TpmSessionListener(client, server.first_contact_url, prover)

    def _enrolled(self) -> None:
        self.talking.wake()
        self._onboarding.notify(EnrolmentFinished(self._memory.record.epoch))

    def _wants_factor(self, cause: str) -> None:
        self._log("factor_wanted", cause=cause, kinds=",".join(self.factor.kinds))
        self._onboarding.notify(FactorWanted(known_cause(cause)))

    def _start_upkeep(self) -> None:
        self._upkeep_task = self._spawn(self._upkeep.run())

    async def _stop_upkeep(self) -> None:
        if self._upkeep_task is not None:
            task, self._upkeep_task = self._upkeep_task, None
            await self._stop(task)

    async def _restart_upkeep(self) -> None:
        await self._stop_upkeep()
        if self._memory.record.network is None:
            await self._radio.leave()
        self._start_upkeep()

    def _replace_attempt(self, attempt: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Whatever is replaced half-way leaves upkeep stopped, and the last attempt starts it again at its end."""
        self._attempt_task = self._spawn(self._after(self._attempt_task, attempt))

    async def _after(
        self, before: asyncio.Task[None] | None, attempt: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        if before is not None:
            await self._stop(before)
        await attempt()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)

    async def _stop(self, *tasks: asyncio.Task[None]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def known_cause(cause: str) -> Cause:
    """The cause as the status message knows it; a word that it doesn't know becomes ``no_server``."""
    return cast(Cause, cause) if cause in CAUSES else "no_server"


def _facts(made: Made) -> DeviceFacts:
    birth = made.birth
    return DeviceFacts(
        device_id=birth.device_id,
        model=birth.model,
        firmware=FIRMWARE,
        presence=birth.presence,
        server_origin=birth.server_origin,
        root_spki_sha256=birth.configuration_root_sha256,
    )
