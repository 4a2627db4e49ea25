"""A phone with one network at a time, before the real machine of a device and a server that really seals."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.client.channel.app_keys import AppKeys
from admittance.client.channel.cards import AppCard
from admittance.client.channel.known_devices import KnownDevices
from admittance.client.provisioning import Provisioning
from admittance.client.provisioning_events import DeviceMet, Event, SeenNetwork
from admittance.client.provisioning_ports import (
    AccessPoint,
    Activation,
    Challenge,
    Link,
    PossessionCode,
    Setup,
)
from admittance.client.provisioning_state import RunningProvisioning, StateFile
from admittance.errors import DeviceRefused, Unreachable, WrongCode
from admittance.protocol.provisioning.evidence import read_evidence
from admittance.protocol.provisioning.network_secret import Network
from admittance.protocol.provisioning.transaction import Transaction
from admittance.protocol.provisioning.transaction_events import (
    AttemptFailed,
    AttemptSucceeded,
    EnrolmentFinished,
    FactorWanted,
    TryNetwork,
    UseCode,
)
from admittance.protocol.provisioning.transaction_state import (
    DeviceFacts,
    DeviceKeys,
    Standing,
)
from admittance.protocol.sealing import ClassicSealKey
from admittance.protocol.signing import SoftwareSigner, spki_of
from admittance.wire import crockford, device_id, message
from admittance.wire import provisioning_messages as wire
from admittance.wire.evidence import PresenceMethod
from tests.unit.protocol.provisioning.sealing_server import SealingServer, server_managed

ORIGIN = "https://localhost:8443"
HOME = Network("home", "correct horse")
WRONG = Network("home", "wrong horse!")
WINDOW = b"w" * 16
ACCESS_POINT = AccessPoint("PROV_ABCDEF", "access point")
CODE = PossessionCode("CODEID", "SECRET")


@dataclass
class OneNetwork:
    """Remembers every switch; a call through the wrong network fails."""

    visited: list[str] = field(default_factory=list)

    async def use_access_point(self, ssid: str, passphrase: str) -> None:
        assert (ssid, passphrase) == (ACCESS_POINT.ssid, ACCESS_POINT.passphrase)
        self._go("device")

    async def use_internet(self) -> None:
        self._go("internet")

    async def open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raise Unreachable(f"{host}:{port}")

    def require(self, place: str) -> None:
        assert self.visited[-1] == place, f"called while on {self.visited[-1]}, needs {place}"

    def _go(self, place: str) -> None:
        if self.visited[-1:] != [place]:
            self.visited.append(place)


@dataclass(frozen=True)
class Session:
    method: PresenceMethod
    binding: bytes = field(default_factory=lambda: os.urandom(32))
    code_age_s: int = 1


class Device:
    """The device's machine, with a radio that only knows `HOME`."""

    def __init__(self, network: OneNetwork, server: SealingServer) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        other = spki_of(ec.generate_private_key(ec.SECP256R1()).public_key())
        identity = SoftwareSigner(key)
        self.network = network
        self.device_id = device_id.device_id(identity.spki)
        self.origin = ORIGIN
        self.open_window: bytes | None = None
        self.tried: list[Network] = []
        self.machine = Transaction(
            DeviceFacts(self.device_id, "lamp-1", "0.1.0", "display", ORIGIN, server.root_spki_sha256),
            DeviceKeys(identity, (), ClassicSealKey.generate(), other, other),
            Standing(epoch=0, last_sequence=0, resets=0, owned=False),
            os.urandom,
        )
        self.resume: PossessionCode | None = None
        self.entered: list[PossessionCode] = []
        self.lose_answers = 0
        self.good_code = ""
        self.codes: list[str] = []
        self.apps: list[AppCard] = []
        self.lie: Callable[[wire.Hello], wire.Hello] = lambda hello: hello

    async def window(self) -> bytes | None:
        self.network.require("device")
        return self.open_window

    async def enter(self, code: PossessionCode) -> Link:
        self.network.require("device")
        self.entered.append(code)
        if code not in (CODE, self.resume):
            raise WrongCode("no")
        return DeviceLink(self, Session("resume" if code == self.resume else "display"))

    def run(self, session: Session, endpoint: str, request: message.Message) -> bytes:
        self.network.require("device")
        answer = self.machine.endpoints()[endpoint](session, message.encode(request), 10.0)
        for command in self.machine.drain():
            if isinstance(command, UseCode):
                self.codes.append(command.code)
                good = command.code == self.good_code
                self.machine.notify(EnrolmentFinished(1) if good else FactorWanted("factor_refused"))
            if isinstance(command, TryNetwork):
                self.tried.append(command.network)
                good = command.network == HOME
                self.machine.notify(
                    AttemptSucceeded(command.attempt) if good else AttemptFailed(command.attempt, "wrong_password")
                )
                if good and self.good_code:
                    self.machine.notify(FactorWanted("factor_required"))
        if self.lose_answers:
            self.lose_answers -= 1
            raise Unreachable("The answer was lost.")
        return answer


@dataclass
class DeviceLink:
    device: Device
    session: Session

    @property
    def binding(self) -> bytes:
        return self.session.binding

    async def hello(self) -> wire.Hello:
        hello = self._ask(wire.HELLO, wire.HelloRequest(), wire.Hello)
        return self.device.lie(hello)

    async def evidence(self, challenge: bytes) -> wire.EvidenceAnswer:
        answer = self._ask(wire.EVIDENCE, wire.EvidenceRequest(challenge), wire.EvidenceAnswer)
        self.device.resume = PossessionCode(
            crockford.encode(answer.transaction_id), crockford.encode(answer.resume_code)
        )
        return answer

    async def networks(self) -> list[SeenNetwork]:
        return [SeenNetwork("home", -50, False)]

    async def configure(self, sealed: bytes, app_key: bytes, app: AppCard) -> None:
        request = wire.ConfigurationRequest(sealed, app_key, app.channel, app.signing, app.name)
        self.device.apps.append(app)
        self._ask(wire.CONFIG, request, wire.ConfigurationAnswer)

    async def send_network(self, attempt: int, salt: bytes, ciphertext: bytes) -> None:
        self._ask(wire.NETWORK, wire.NetworkRequest(attempt, salt, ciphertext), wire.NetworkAnswer)

    async def send_code(self, code: str) -> None:
        self._ask(wire.CODE, wire.CodeRequest(code), wire.CodeAnswer)

    async def status(self) -> wire.Status:
        return self._ask(wire.STATUS, wire.StatusRequest(), wire.Status)

    def _ask(self, endpoint: str, request: message.Message, kind: type[wire.AnyMessage]) -> wire.AnyMessage:
        answer = wire.decode_answer(self.device.run(self.session, endpoint, request), kind)
        if isinstance(answer, wire.Refusal):
            raise DeviceRefused(answer.code, answer.detail)
        return answer


class Server:
    """Seals for whatever evidence comes in; keeps what the phone handed over."""

    def __init__(self, network: OneNetwork, sealing: SealingServer) -> None:
        self.network = network
        self.sealing = sealing
        self.origin = ORIGIN
        self.presence = "button"
        self.activated: list[RunningProvisioning] = []
        self.stored = HOME
        self.answers_for = ""
        self.second_factor: tuple[str, ...] = ()
        self.device_is_online: Callable[[], bool] = lambda: False

    async def challenge(self) -> Challenge:
        self.network.require("internet")
        return Challenge(b"c" * 32, 1000)

    async def setup(self, device_id: str) -> Setup:
        return Setup(await self.challenge(), self.presence, ACCESS_POINT)

    async def presence_code(self, challenge: bytes, device_id: str, window: bytes) -> PossessionCode:
        self.network.require("internet")
        return CODE if window == WINDOW else PossessionCode("DUMMY", "DUMMY")

    async def activate(self, running: RunningProvisioning) -> Activation:
        self.network.require("internet")
        self.activated.append(running)
        evidence = read_evidence(running.evidence).evidence
        network = b""
        if running.network_name is not None:
            network = server_managed(running.app_key, evidence, running.transaction_id, self.stored)
        sealed = self.sealing.seal(evidence, network=network)
        device_id = self.answers_for or evidence.device_id
        return Activation(device_id, "activate", evidence.epoch + 1, sealed, self.second_factor)

    async def enrolled(self, device_id: str) -> bool:
        self.network.require("internet")
        return self.device_is_online()


@dataclass
class Owner:
    """Answers with the networks in `answers`, one after the other."""

    answers: list[Network]
    agrees: bool = True
    events: list[Event] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)

    def told(self, event: Event) -> None:
        self.events.append(event)

    async def confirm(self, met: DeviceMet) -> bool:
        return self.agrees

    async def choose_network(self, seen: Sequence[SeenNetwork]) -> Network:
        return self.answers.pop(0)

    async def mend_network(self, tried: Network | None, cause: str) -> Network | None:
        self.causes.append(cause)
        return self.answers.pop(0) if self.answers else None

    async def enrolment_code(self, *, refused: bool) -> str | None:
        self.causes.append(f"refused={refused}")
        return self.codes.pop(0) if self.codes else None


async def no_sleep(seconds: float) -> None:
    await asyncio.sleep(0)


class World:
    def __init__(self, folder: Path, *answers: Network) -> None:
        sealing = SealingServer()
        self.network = OneNetwork()
        self.device = Device(self.network, sealing)
        self.server = Server(self.network, sealing)
        self.server.device_is_online = lambda: HOME in self.device.tried
        self.owner = Owner(list(answers or [HOME]))
        self.state = StateFile(folder)
        self.app = AppKeys.of_profile(folder).card("Anna's phone")
        self.devices = KnownDevices(folder)

    def provisioning(self, server_network: str | None = None) -> Provisioning:
        return Provisioning(
            network=self.network,
            server=self.server,
            door=self.device,
            person=self.owner,
            state=self.state,
            app=self.app,
            devices=self.devices,
            random=os.urandom,
            sleep=no_sleep,
            server_network=server_network,
        )

    def change_saved(self, **changes: object) -> None:
        self.state.save(msgspec.structs.replace(self.state.load(), **changes))
