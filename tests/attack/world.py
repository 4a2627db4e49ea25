"""One server, one premises and as many devices and accounts as the attacks need, all of them the real programs.

Server and premises run once for the folder. Each device is a process of its own in an empty network namespace;
phones and attackers are stations of the premises.
"""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.client import scan
from admittance.client.api import ApiClient
from admittance.client.api_types import decode_bytes
from admittance.client.channel.cards import AppCard
from admittance.client.device_link import DeviceLink, HttpDoor
from admittance.client.network import ACCESS_POINT, SimulatedNetwork, transport
from admittance.client.provisioning import Provisioning
from admittance.client.provisioning_events import DeviceMet, Event, SeenNetwork
from admittance.client.provisioning_ports import Door
from admittance.client.provisioning_server import ApiServer
from admittance.client.provisioning_state import StateFile
from admittance.client.session_store import Session, SessionStore, trust_context
from admittance.demo.processes import ADMIT, Program, Programs
from admittance.demo.stage import HOME, Ports, Stage, device_model
from admittance.device import control
from admittance.errors import Malformed
from admittance.maker.authority import init_maker
from admittance.maker.making import MANIFEST, BatchPlan, make_batch
from admittance.premises.station import Observer, Station
from admittance.protocol.provisioning.client import Call, ProvisioningClient, Request, Response, run
from admittance.protocol.provisioning.evidence import read_evidence
from admittance.protocol.provisioning.network_secret import Network
from admittance.protocol.signing import spki_of
from admittance.server.keystore import Keystore, open_keystore
from admittance.wire import possession_qr
from admittance.wire.birth import Birth, decode_birth
from admittance.wire.evidence import Evidence
from admittance.wire.possession_qr import PossessionQr
from admittance.wire.provisioning_messages import EvidenceAnswer

LAMP = "lamp-1"
PLAN = BatchPlan(model=LAMP, presence="display", seal="hybrid", certified=False, algorithm="p256")
LAMPS = 50
QUOTA = 100
WAIT_S = 20.0
POLL_S = 0.02

Result = TypeVar("Result")


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(POLL_S)


@dataclass
class Device:
    """A made device. Each start of its agent has a log of its own."""

    birth: Birth
    folder: Path
    state: Path
    program: Program | None = None

    @property
    def device_id(self) -> str:
        return self.birth.device_id

    @property
    def display(self) -> Path:
        return self.state.with_suffix(".png")

    def code(self) -> PossessionQr | None:
        """What a camera sees on the display now."""
        try:
            return possession_qr.decode(scan.read_picture(self.display))
        except Malformed:
            return None

    async def next_code(self, *seen: PossessionQr) -> PossessionQr:
        """Wait for a code on the display that is none of `seen`."""
        await until(lambda: self.code() not in (None, *seen), "A code is shown.")
        code = self.code()
        return code if code is not None else await self.next_code(*seen)

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the agent told under this name since its start."""
        assert self.program is not None
        lines = self.program.log.read_bytes().splitlines(keepends=True)
        told = [msgspec.json.decode(line) for line in lines if line.startswith(b"{") and line.endswith(b"\n")]
        return [event for event in told if event["event"] == name]

    async def told(self, name: str, times: int = 1) -> None:
        await until(lambda: len(self.events(name)) >= times, f"The device tells of {name}.")

    async def status(self) -> dict[str, Any]:
        return await control.ask(self.state, "status")

    async def press(self) -> None:
        """Press the button."""
        await control.ask(self.state, "press")


@dataclass
class Person:
    """Who holds the phone: agrees to everything, and gives the passphrases in order."""

    networks: list[Network] = field(default_factory=list)
    met: list[DeviceMet] = field(default_factory=list)

    def told(self, event: Event) -> None:
        return None

    async def confirm(self, met: DeviceMet) -> bool:
        self.met.append(met)
        return True

    async def choose_network(self, seen: Sequence[SeenNetwork]) -> Network:
        return self.networks.pop(0)

    async def mend_network(self, tried: Network | None, cause: str) -> Network | None:
        return self.networks.pop(0) if self.networks else None


class Guest:
    """A station on a device's access point that sends whatever it likes."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self.network = network
        host, port = ACCESS_POINT
        self._http = httpx.AsyncClient(
            transport=transport(network, trust_context(None)),
            base_url=f"http://{host}:{port}",
            timeout=15.0,
            trust_env=False,
        )

    async def send(self, request: Request) -> httpx.Response:
        """Send one request and return the whole answer of HTTP."""
        headers = {} if request.cookie is None else {"Cookie": f"session={request.cookie}"}
        answer = await self._http.post(f"/{request.endpoint}", content=request.body, headers=headers)
        self._http.cookies.clear()
        return answer

    async def exchange(self, request: Request) -> Response:
        answer = await self.send(request)
        cookie = answer.headers.get("set-cookie", "").removeprefix("session=") or None
        return Response(answer.status_code, answer.content, cookie)

    async def enter(self, username: str, code: str) -> "Visit":
        """Open a session. Raises what the client's machine raises."""
        client = ProvisioningClient(username, code, os.urandom)
        await run(client.open(), self.exchange)
        return Visit(client, self.exchange)

    async def close(self) -> None:
        await self._http.aclose()
        await self.network.close()


def stranger() -> AppCard:
    """The card of an app that nobody let in."""
    channel, signing = (spki_of(ec.generate_private_key(ec.SECP256R1()).public_key()) for _ in range(2))
    return AppCard(channel, signing, "stranger")


class Visit(DeviceLink):
    """A proven session, with its machine for the stock endpoints."""

    def __init__(self, client: ProvisioningClient, exchange: Callable[[Request], Awaitable[Response]]) -> None:
        super().__init__(client, exchange)
        self.client = client
        self._over = exchange
        self._app = stranger()

    async def configure(self, sealed: bytes, app_key: bytes, app: AppCard | None = None) -> None:
        await super().configure(sealed, app_key, app or self._app)

    async def run(self, call: Call[Result]) -> Result:
        """Drive a call of the client's machine."""
        return await run(call, self._over)


@dataclass(frozen=True)
class Met:
    """A transaction of a device, and the server's answer for it."""

    evidence: Evidence
    answer: EvidenceAnswer
    sealed: bytes


@dataclass
class Neighbourhood(Stage):
    """A stage whose networks lead to another server, too: the one at the ports `foreign`."""

    foreign: Ports = field(default_factory=Ports.free)

    def write_premises(self) -> Path:
        path = super().write_premises()
        others = f'"localhost:{self.foreign.people}", "localhost:{self.foreign.first_contact}"'
        path.write_text(path.read_text().replace("hosts = [", f"hosts = [{others}, "))
        return path


@dataclass
class World:
    """See the module."""

    stage: Neighbourhood
    unused: list[Path] = field(default_factory=list)
    running: list[Program] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> AsyncIterator["World"]:
        """A running server that knows the devices of a maker, and premises to meet them in."""
        async with AsyncExitStack() as stack:
            stage = Neighbourhood(folder, await stack.enter_async_context(Programs(folder / "logs")))
            stage.write_config(device_model(LAMP, "display", "listed", ()))
            await stage.open_premises()
            await stage.serve()
            world = cls(stage)
            world.unused = world.make()
            manifest = world.batch / MANIFEST
            await stage.admit("import", "devices", "import", manifest, "--config", stage.config)
            yield world

    @property
    def batch(self) -> Path:
        return self.stage.folder / "made"

    def make(self) -> list[Path]:
        """Make devices for this server, and return their folders."""
        now = datetime.now(UTC).replace(microsecond=0)
        bundle = (self.stage.data / "maker-bundle.json").read_bytes()
        maker = init_maker(self.stage.folder / "factory", "ACME", bundle, now)
        return [made.directory for made in make_batch(maker, PLAN, LAMPS, self.batch, now)]

    def take(self) -> Device:
        """A device that no test used yet, switched off."""
        folder = self.unused.pop()
        birth = decode_birth((folder / "birth.json").read_bytes())
        return Device(birth, folder, self.stage.folder / "states" / birth.device_id)

    async def power_up(self, device: Device, **options: float | str) -> Device:
        """Start a device's agent; `options` are those of `admit device run`."""
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        device.state.parent.mkdir(exist_ok=True)
        device.display.unlink(missing_ok=True)
        device.program = await self.stage.start_device(
            *(f"{device.device_id}-{secrets.token_hex(2)}", "--birth", device.folder, "--state", device.state),
            *(
                "--premises",
                self.stage.premises_socket,
                f"--display=png:{device.display}",
                "--poll-s=0.2",
                "--json",
                *arguments,
            ),
        )
        self.running.append(device.program)
        await device.told("started")
        return device

    async def power_cut(self) -> None:
        """Switch all devices off."""
        while self.running:
            await self.running.pop().kill()

    async def unowned(self, **options: float | str) -> Device:
        """A fresh lamp that waits to be set up."""
        device = await self.power_up(self.take(), **options)
        await device.told("access_point_opened")
        return device

    async def owned(self, profile: Path, **options: float | str) -> Device:
        """A lamp that the account of `profile` owns, on the Wi-Fi, its access point closed again."""
        device = await self.unowned(linger_s=1, **options)
        await self.set_up(profile, await device.next_code())
        await device.told("access_point_closed")
        return device

    async def set_up(self, profile: Path, scanned: PossessionQr, **options: Any) -> None:
        """Provision the device behind a code, as its owner."""
        async with self.phone(profile, **options) as phone:
            await phone.run(scanned)

    @property
    def home(self) -> Network:
        return Network(HOME, self.stage.wifi_password)

    async def account(self, name: str) -> Path:
        """The profile of a new account that is logged in."""
        email, password = f"{name}-{secrets.token_hex(3)}@example.org", secrets.token_urlsafe(18)
        quota = f"--quota={QUOTA}"
        invited = await self.stage.admit("invite", "account", "invite", email, quota, "--config", self.stage.config)
        ca_pem = self.stage.people_ca.read_text()
        store = SessionStore(self.stage.folder / "profiles" / email)
        store.directory.mkdir(parents=True)
        async with ApiClient(self.stage.origin, key=store.key(), trust=trust_context(ca_pem)) as api:
            secret = str(invited.last["link"]).partition("#")[2]
            made = await api.accept_invite(secret, email=email, password=password, display_name=name)
            token = await api.login(email, password)
        store.save(
            Session(
                origin=self.stage.origin,
                ca_pem=ca_pem,
                email=email,
                account_id=made.account_id,
                access_token=token.access_token,
                refresh_token=token.refresh_token,
                expires_at=int(time.time()) + token.expires_in,
            )
        )
        return store.directory

    def api(self, profile: Path) -> ApiClient:
        """A client of the account, to enter."""
        return ApiClient.of_store(SessionStore(profile))

    @asynccontextmanager
    async def phone(
        self,
        profile: Path,
        *,
        socket: Path | None = None,
        networks: Sequence[Network] | None = None,
        server_network: str | None = None,
        around: Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport] = lambda inner: inner,
        door: Callable[[SimulatedNetwork], Door] | None = None,
        random: Callable[[int], bytes] = os.urandom,
    ) -> AsyncIterator[Provisioning]:
        """The phone's program of an account; `socket` is where it believes the premises to be.

        `around` sees what the phone says to the server, `door` replaces how it talks to a device.
        """
        store = SessionStore(profile)
        network = await SimulatedNetwork.attach(socket or self.stage.premises_socket, f"phone-{secrets.token_hex(4)}")
        async with AsyncExitStack() as stack:
            stack.push_async_callback(network.close)
            way = around(transport(network, store.load().trust()))
            api = await stack.enter_async_context(ApiClient.of_store(store, transport=way))
            if door is None:
                entrance = HttpDoor(network, random)
                stack.push_async_callback(entrance.close)
            yield Provisioning(
                network=network,
                server=ApiServer(api),
                door=entrance if door is None else door(network),
                person=Person(list(networks or [self.home])),
                state=StateFile(profile),
                app=store.app_keys().card(profile.name),
                devices=store.devices,
                random=random,
                server_network=server_network,
            )

    @asynccontextmanager
    async def guest(self, device: Device, socket: Path | None = None) -> AsyncIterator[Guest]:
        """A stranger who read the access point's passphrase off the display and joined."""
        name = f"guest-{secrets.token_hex(4)}"
        guest = Guest(await SimulatedNetwork.attach(socket or self.stage.premises_socket, name))
        try:
            await guest.network.use_access_point(device.birth.access_point_ssid, device.birth.access_point_passphrase)
            yield guest
        finally:
            await guest.close()

    @asynccontextmanager
    async def bystander(self) -> AsyncIterator[Station]:
        """A station that is on no network."""
        station = await Station.attach(self.stage.premises_socket, f"bystander-{secrets.token_hex(4)}")
        try:
            yield station
        finally:
            await station.close()

    @asynccontextmanager
    async def observer(self) -> AsyncIterator[Observer]:
        """The owner of the premises, who sees all stations and can change the networks."""
        observer = await Observer.attach(self.stage.premises_socket)
        try:
            yield observer
        finally:
            await observer.aclose()

    async def audited(self, subject: str) -> list[tuple[str, dict[str, Any]]]:
        """Event and details of the audit log's rows about `subject`."""
        command = [*ADMIT, "audit", "export", "--config", self.stage.config]
        exported = await self.stage.programs.run("audit", command)
        return [(row["event"], row["details"]) for row in exported.objects if row["subject"] == subject]

    def keystore(self) -> Keystore:
        """The server's own keys: what only the server can sign, tests make with them."""
        return open_keystore(self.stage.data / "keys", now=time.time(), create=False)


async def activate(visit: Visit, api: ApiClient) -> Met:
    """Hand a device's evidence to the server, as the account of `api`. Raises what the server refuses with."""
    challenge = decode_bytes((await api.challenge()).challenge)
    answer = await visit.evidence(challenge)
    activation = await api.activate(
        challenge=challenge,
        evidence=answer.evidence,
        binding=visit.binding,
        transaction_id=answer.transaction_id,
    )
    return Met(read_evidence(answer.evidence).evidence, answer, decode_bytes(activation.sealed))
