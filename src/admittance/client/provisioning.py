"""Setting up the device in front of a person, by a phone that is on one network at a time.

Online it gets a challenge; at the device's access point it proves the possession code and takes the evidence; online
it hands that in and gets the sealed configuration; back at the access point it delivers it and watches the device
join the premises network. What it learns is on disk before it matters, so `Provisioning.resume` can go on later.
"""

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import msgspec

from admittance.client.channel.cards import AppCard
from admittance.client.channel.known_devices import KnownDevice, KnownDevices
from admittance.client.network import PhoneNetwork
from admittance.client.provisioning_events import (
    DEADLINES_S,
    AttemptFailed,
    DeviceMet,
    FactorAwaited,
    Person,
    Provisioned,
    StepFinished,
    StepName,
    StepStarted,
)
from admittance.client.provisioning_ports import (
    AccessPoint,
    Challenge,
    Door,
    Link,
    PossessionCode,
    Server,
    Setup,
)
from admittance.client.provisioning_state import RunningProvisioning, StateFile
from admittance.errors import (
    Expired,
    Malformed,
    NetworkFailure,
    NotAllowed,
    Throttled,
    Unavailable,
    WrongBinding,
    WrongChallenge,
    WrongCode,
    WrongDevice,
    WrongOrigin,
)
from admittance.protocol.provisioning.evidence import read_evidence
from admittance.protocol.provisioning.network_secret import (
    APP_KEY_BYTES,
    SALT_BYTES,
    Network,
    encrypt_network,
)
from admittance.wire import crockford
from admittance.wire.evidence import Evidence
from admittance.wire.possession_qr import PossessionQr
from admittance.wire.provisioning_messages import Hello, Status
from admittance.wire.setup_code import SetupCode

POLL_INTERVAL_S: Final = 0.5
RECONNECTS: Final = 3


Answer = TypeVar("Answer")

Random: TypeAlias = Callable[[int], bytes]
Sleep: TypeAlias = Callable[[float], Awaitable[None]]


@dataclass(frozen=True)
class Provisioning:
    """One provisioning. `server_network` names a network that the server stores; None lets the person choose.

    The device learns `app` as its owner's, and its own channel key is pinned in `devices`. `patience_s` is added to
    each deadline, for a person who changes networks by hand.
    """

    network: PhoneNetwork
    server: Server
    door: Door
    person: Person
    state: StateFile
    app: AppCard
    devices: KnownDevices
    random: Random
    sleep: Sleep = asyncio.sleep
    server_network: str | None = None
    patience_s: int = 0

    async def run(self, scanned: PossessionQr | SetupCode) -> Provisioned:
        """Set up the device whose code was scanned.

        Raises an `AdmittanceError` whose message names cause and next step.
        """
        origin = scanned.origin
        if origin is not None and origin != self.server.origin:
            raise WrongOrigin(
                f"This code belongs to the server {origin}, and you are logged in to {self.server.origin}. "
                "Log in to the other server, or scan another device."
            )
        if isinstance(scanned, PossessionQr) and scanned.transport != "softap":
            raise NotAllowed("This device speaks Bluetooth, and this program only Wi-Fi. Use the app.")
        async with self._step("challenge"):
            await self.network.use_internet()
            if isinstance(scanned, SetupCode):
                setup = await self.server.setup(scanned.device_id)
                challenge, access_point = setup.challenge, setup.access_point
                _require_button(setup)
            else:
                challenge = await self.server.challenge()
                access_point = AccessPoint(scanned.name, scanned.password)
        await self._join(access_point)
        if isinstance(scanned, SetupCode):
            code = await self._presence_code(scanned, challenge, access_point)
        else:
            code = PossessionCode(scanned.username, scanned.pop)
        link = await self._enter(code)
        expected = scanned.device_id if isinstance(scanned, SetupCode) else None
        running, hello, network = await self._meet(link, expected, challenge, access_point)
        running = await self._activate(running)
        return await self._deliver(running, network, hello.model)

    async def resume(self, now: float) -> Provisioned:
        """Go on with the provisioning that the state file holds.

        Raises `NotFound` when there is none, `Expired` when its time is over, and what `run` raises.
        """
        running = self.state.load()
        if running.origin != self.server.origin:
            raise WrongOrigin(f"The provisioning under way belongs to {running.origin}. Log in there to go on.")
        if now >= running.expires_at:
            self.state.clear()
            raise Expired("The provisioning under way is too old. Scan the code that the device shows now.")
        if running.sealed is None:
            running = await self._activate(running)
        elif running.purpose == "activate" and await self._enrolled(running):
            self.state.clear()
            return Provisioned(running.device_id, "", running.purpose, max(1, running.attempt))
        return await self._deliver(running, None, "")

    async def _enrolled(self, running: RunningProvisioning) -> bool:
        await self.network.use_internet()
        return await self.server.enrolled(running.device_id)

    async def _join(self, access_point: AccessPoint) -> None:
        async with self._step("access_point", access_point.ssid):
            await self.network.use_access_point(access_point.ssid, access_point.passphrase)

    async def _presence_code(
        self, scanned: SetupCode, challenge: Challenge, access_point: AccessPoint
    ) -> PossessionCode:
        async with self._step("presence_code"):
            window = await self._window()
            await self.network.use_internet()
            code = await self.server.presence_code(challenge.challenge, scanned.device_id, window)
            await self.network.use_access_point(access_point.ssid, access_point.passphrase)
            if await self._window() != window:
                raise Expired("The device's window closed meanwhile. Press its button and scan the label again.")
            return code

    async def _window(self) -> bytes:
        window = await self.door.window()
        if window is None:
            raise NotAllowed("The device's window is closed. Press its button and scan the label again.")
        return window

    async def _enter(self, code: PossessionCode) -> Link:
        async with self._step("session"):
            try:
                return await self.door.enter(code)
            except (WrongCode, Throttled):
                raise WrongCode(
                    "The device does not accept this code: it was used, is outdated, or belongs to another device. "
                    "Scan the code that the device shows now, or press its button and scan the label again."
                ) from None

    async def _meet(
        self, link: Link, expected: str | None, challenge: Challenge, access_point: AccessPoint
    ) -> tuple[RunningProvisioning, Hello, Network | None]:
        async with self._step("evidence"):
            hello = await link.hello()
            self._check_hello(hello, expected)
            answer = await link.evidence(challenge.challenge)
            self._check_evidence(read_evidence(answer.evidence).evidence, hello, challenge, link.binding)
            running = RunningProvisioning(
                origin=self.server.origin,
                device_id=hello.device_id,
                access_point_ssid=access_point.ssid,
                access_point_passphrase=access_point.passphrase,
                challenge=challenge.challenge,
                evidence=answer.evidence,
                binding=link.binding,
                transaction_id=answer.transaction_id,
                resume_code=answer.resume_code,
                app_key=self.random(APP_KEY_BYTES),
                network_name=self.server_network,
                expires_at=challenge.expires_at,
            )
            self.state.save(running)
        if not await self.person.confirm(DeviceMet(hello.device_id, hello.model, hello.owned)):
            self.state.clear()
            raise NotAllowed("Stopped. Nothing has changed, neither at the device nor at the server.")
        network = None if self.server_network is not None else await self._choose(link)
        return running, hello, network

    def _check_hello(self, hello: Hello, expected: str | None) -> None:
        if hello.server_origin != self.server.origin:
            raise WrongOrigin(
                f"This device was made for the server {hello.server_origin}, and you are logged in to "
                f"{self.server.origin}. Log in to the other server."
            )
        if expected is not None and hello.device_id != expected:
            raise WrongDevice(
                f"This is the device {hello.device_id}, and the label that you scanned says {expected}. "
                "Make sure that label and device belong together."
            )

    def _check_evidence(self, evidence: Evidence, hello: Hello, challenge: Challenge, binding: bytes) -> None:
        if evidence.device_id != hello.device_id:
            raise WrongDevice("The device's evidence names another device. Do not go on; report this device.")
        if evidence.server_origin != self.server.origin:
            raise WrongOrigin("The device's evidence is for another server. Do not go on; report this device.")
        if not hmac.compare_digest(evidence.challenge, challenge.challenge):
            raise WrongChallenge("The device's evidence answers another challenge. Scan its code again.")
        if not hmac.compare_digest(evidence.binding, binding):
            raise WrongBinding("Somebody may sit between this phone and the device. Move closer and scan again.")

    async def _choose(self, link: Link) -> Network:
        async with self._step("networks"):
            seen = await link.networks()
        return await self.person.choose_network(seen)

    async def _activate(self, running: RunningProvisioning) -> RunningProvisioning:
        async with self._step("activation"):
            await self.network.use_internet()
            activation = await self.server.activate(running)
            if activation.device_id != running.device_id:
                raise WrongDevice("The server activated another device than the one in front of you.")
            evidence = read_evidence(running.evidence).evidence
            self.devices.keep(KnownDevice.of_evidence(evidence, activation.epoch))
            running = msgspec.structs.replace(
                running,
                sealed=activation.sealed,
                purpose=activation.purpose,
                second_factor=activation.second_factor,
            )
            self.state.save(running)
        return running

    async def _deliver(self, running: RunningProvisioning, network: Network | None, model: str) -> Provisioned:
        visit = _Visit(self, running)
        async with self._step("delivery"):
            await visit.configure()
        chosen = network
        if running.network_name is None and (await visit.status()).state in ("idle", "failed"):
            chosen = chosen or await self._choose(await visit.link())
            await visit.send(chosen)
        while (cause := await self._watch(visit)) is not None:
            self.person.told(AttemptFailed(cause, visit.running.attempt))
            chosen = await self.person.mend_network(chosen, cause)
            if chosen is None:
                raise NetworkFailure(
                    cause,
                    "The device is not on your network. Go on with another password by: admit provision --resume",
                )
            await visit.send(chosen)
        if running.second_factor:
            async with self._step("factor"):
                await self._give_factor(visit)
        async with self._step("enrolment"):
            await self.network.use_internet()
            while not await self.server.enrolled(running.device_id):
                await self.sleep(POLL_INTERVAL_S)
        self.state.clear()
        return Provisioned(running.device_id, model, running.purpose, max(1, visit.running.attempt))

    async def _give_factor(self, visit: "_Visit") -> None:
        """Stay until the device is enrolled, and hand it codes while it asks for one."""
        kinds = visit.running.second_factor
        asks = "code" in kinds
        if not asks:
            self.person.told(FactorAwaited(visit.running.device_id, kinds))
        while (status := await visit.status()).state != "enrolled":
            if status.state == "factor" and asks:
                code = await self.person.enrolment_code(refused=status.cause == "factor_refused")
                if code is not None:
                    await visit.send_code(code)
                else:
                    asks = False
                    self.person.told(FactorAwaited(visit.running.device_id, kinds))
            await self.sleep(POLL_INTERVAL_S)

    async def _watch(self, visit: "_Visit") -> str | None:
        """Wait until the device kept the network, then return None; else return why it could not."""
        async with self._step("network"):
            while True:
                try:
                    status = await visit.status()
                except (NetworkFailure, Unavailable):
                    if visit.joined:
                        return None
                    raise
                if status.state == "failed":
                    return status.cause or "no_server"
                if status.state in ("online", "factor", "enrolled"):
                    return None
                visit.joined = status.state == "joined"
                await self.sleep(POLL_INTERVAL_S)

    @asynccontextmanager
    async def _step(self, step: StepName, detail: str = "") -> AsyncIterator[None]:
        deadline_s = DEADLINES_S[step] + self.patience_s
        self.person.told(StepStarted(step, deadline_s))
        try:
            async with asyncio.timeout(deadline_s):
                yield
        except TimeoutError:
            raise Unavailable(f"{_TOO_SLOW[step]} (waited {deadline_s} s).") from None
        self.person.told(StepFinished(step, detail))


class _Visit:
    """The phone at a device that it met before: sessions come and go, the transaction stays."""

    def __init__(self, provisioning: Provisioning, running: RunningProvisioning) -> None:
        self._of = provisioning
        self._link: Link | None = None
        self.running = running
        self.joined = False

    async def link(self) -> Link:
        if self._link is None:
            running = self.running
            await self._of.network.use_access_point(running.access_point_ssid, running.access_point_passphrase)
            code = PossessionCode(crockford.encode(running.transaction_id), crockford.encode(running.resume_code))
            self._link = await self._of.door.enter(code)
        return self._link

    async def configure(self) -> None:
        """Deliver the sealed configuration; a lost answer is no harm, the device knows it by then."""
        sealed = self.running.sealed
        if sealed is None:
            raise Malformed("The server's answer is missing. Scan the device's code again.")
        await self._again(lambda link: link.configure(sealed, self.running.app_key, self._of.app))

    async def send(self, network: Network) -> None:
        """Hand in one more try of a network, for the device alone."""
        running = self.running
        attempt, salt = running.attempt + 1, self._of.random(SALT_BYTES)
        self.running = msgspec.structs.replace(running, attempt=attempt)
        self._of.state.save(self.running)
        ciphertext = encrypt_network(
            running.app_key, salt, running.device_id, running.transaction_id, attempt, network
        )
        self.joined = False
        await self._again(lambda link: link.send_network(attempt, salt, ciphertext))

    async def send_code(self, code: str) -> None:
        await self._again(lambda link: link.send_code(code))

    async def status(self) -> Status:
        return await self._again(lambda link: link.status())

    async def _again(self, ask: Callable[[Link], Awaitable[Answer]]) -> Answer:
        for _ in range(RECONNECTS):
            try:
                return await ask(await self.link())
            except (NetworkFailure, Unavailable):
                self._link = None
                await self._of.sleep(POLL_INTERVAL_S)
        return await ask(await self.link())


def _require_button(setup: Setup) -> None:
    if setup.presence == "display":
        raise NotAllowed("This device shows a code of its own on its display. Scan that one, not the label.")


_TOO_SLOW: Final[dict[StepName, str]] = {
    "challenge": "The server does not answer. Check this phone's internet connection and try again",
    "access_point": "The device's access point does not answer. Move closer, or press the device's button",
    "presence_code": "The way to the server and back took too long. Press the device's button and scan again",
    "session": "The device does not answer. Move closer, and scan the code that it shows now",
    "evidence": "The device does not answer. Move closer, and scan the code that it shows now",
    "networks": "The device finds no networks in time. Scan the code that it shows now",
    "activation": "The server does not answer. Go on by: admit provision --resume",
    "delivery": "The device does not answer. Move closer, and go on by: admit provision --resume",
    "network": "The device does not say how it got on with the network. Go on by: admit provision --resume",
    "factor": "No second factor was given in time. Go on by: admit provision --resume",
    "enrolment": "The device is on the network but has no certificate yet. Look at: admit devices list",
}
