"""A household behind a relay that is an attacker's: two devices that note all they do, and their owner's app.

Server, premises and devices are real programs, and so is the app's library. What the app was shown is compared with
what the devices noted.
"""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from admittance.client.api import ApiClient
from admittance.client.channel.connecting import connect, connect_as
from admittance.client.channel.content import Content
from admittance.client.channel.device_channel import DeviceChannel
from admittance.client.network import connect_from_host
from admittance.client.session_store import SessionStore
from admittance.demo.ports import free_ports
from admittance.demo.processes import Programs
from admittance.demo.stage import device_model
from admittance.errors import AdmittanceError, UpgradeRefused
from admittance.maker.authority import init_maker
from admittance.maker.making import MANIFEST, make_batch
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.protocol.signing import spki_of
from admittance.transport.websocket import WebSocket
from admittance.wire.channel import Credential
from admittance.wire.relay import APP_PATH
from tests.attack import actuator
from tests.attack.relay_in_the_middle import Meddle, RelayInTheMiddle, Side, Stream, pass_on
from tests.attack.site import command
from tests.attack.world import LAMP, PLAN, POLL_S, Device, Neighbourhood, World

ACTUATOR = Path(actuator.__file__)
PATIENCE_S = 40.0
"""A device that failed often waits for up to 30 s."""

ANSWER_S = 1.0
"""How long an app waits for an answer that the attacker may have spoilt."""


class Phone:
    """The network of a phone whose streams through the relay are meddled with; it comes from the ports `sources`."""

    def __init__(self, relay: RelayInTheMiddle, meddle: Meddle) -> None:
        self._relay = relay
        self._meddle = meddle
        self.sources: set[int] = set()

    async def use_access_point(self, ssid: str, passphrase: str) -> None:
        raise NotImplementedError

    async def use_internet(self) -> None:
        return None

    async def open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await connect_from_host(host, port)
        source = writer.get_extra_info("sockname")[1]
        self._relay.meddle[source] = self._meddle
        self.sources.add(source)
        return reader, writer


@dataclass
class Talk:
    """What one app did on a channel, and what it was shown."""

    site: "ChannelSite"
    channel: DeviceChannel
    device: Device
    phone: Phone

    @property
    def stream(self) -> Stream:
        """The app's latest stream, in the attacker's hands."""
        return next(each for each in reversed(self.site.relay.streams) if each.source in self.phone.sources)

    async def order(self, timeout_s: float = ANSWER_S, order: str = "") -> bool:
        """Give an order, by itself one that nobody gave before; whether the app was told that it was carried out."""
        order = order or self.site.new_order(self.device)
        try:
            answer = await self.channel.post("/orders", Content.of_text(order), timeout_s=timeout_s)
        except AdmittanceError:
            return False
        words, _ = self.site.shown(self.device, answer)
        assert words == order, "The answer is that of another order."
        return True

    async def look(self, timeout_s: float = ANSWER_S) -> str | None:
        """The latest order, if an answer came."""
        try:
            answer = await self.channel.get("/orders", timeout_s=timeout_s)
        except AdmittanceError:
            return None
        words, _ = self.site.shown(self.device, answer)
        return words

    async def hand_over(self, size: int, timeout_s: float = ANSWER_S) -> bool:
        """Send a document that takes many blocks; whether its answer came."""
        document = os.urandom(size)
        self.site.documents.add(document.hex())
        try:
            answer = await self.channel.post("/documents", Content(document), timeout_s=timeout_s)
        except AdmittanceError:
            return False
        assert answer.payload == document[::-1], "The answer is that of another document."
        return True

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[list[int]]:
        """Observe the orders while this is entered; the numbers of what the app was shown."""
        shown: list[int] = []

        async def observe() -> None:
            async with aclosing(self.channel.observe("/orders", timeout_s=ANSWER_S)) as states:
                async for state in states:
                    shown.append(self.site.shown(self.device, state)[1])

        observing = asyncio.create_task(observe())
        try:
            yield shown
        finally:
            observing.cancel()
            await asyncio.gather(observing, return_exceptions=True)


@dataclass
class StolenLogin:
    """The token of an account with its key, but no key that a device lists. It goes to the real node at `port`."""

    api: ApiClient
    trust: ssl.SSLContext
    port: int

    async def stream(self, device: Device) -> tuple[WebSocket, Side]:
        """A stream to a device, if the node grants one: as a WebSocket, and as what may break its rules."""
        target = APP_PATH + device.device_id
        while True:
            reader, writer = await asyncio.open_connection("localhost", self.port, ssl=self.trust)
            headers = list(self.api.proof_headers("GET", target).items())
            host = f"localhost:{self.port}"
            try:
                socket = await WebSocket.connect(reader, writer, host=host, target=target, headers=headers)
                return socket, Side(reader, writer, client=True)
            except UpgradeRefused as refused:
                self.api.take_nonce(refused.headers["dpop-nonce"])


@dataclass
class ChannelSite:
    """`first` is the device under attack, `second` another one of the same owner, which also talks on its local
    network. One more lamp was not set up yet."""

    world: World
    relay: RelayInTheMiddle
    profile: Path
    first: Device
    second: Device
    documents: set[str] = field(default_factory=set)
    _orders: dict[str, list[str]] = field(default_factory=dict)
    _shown: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    _numbers: "count[int]" = field(default_factory=count)

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> AsyncIterator["ChannelSite"]:
        async with AsyncExitStack() as stack:
            programs = await stack.enter_async_context(Programs(folder / "logs"))
            app_port, device_port = free_ports(2)
            stage = Neighbourhood(folder, programs, relay_ports=(device_port,))
            stage.write_config(
                device_model(LAMP, "display", "listed", ()),
                server=f'app_relay_urls = ["wss://localhost:{app_port}"]\n'
                f'device_relay_urls = ["wss://localhost:{device_port}"]',
            )
            stage.isolated = ()
            await asyncio.gather(stage.open_premises(), stage.serve())
            world = World(stage)
            world.unused = _made(world, 3)
            _, profile = await asyncio.gather(
                command("devices", "import", world.batch / MANIFEST, "--config", stage.config),
                world.account("owner"),
            )
            keys = world.keystore()
            trust = keys.people_ca.certificate_pem + keys.tls_anchor.certificate_pem
            relay = RelayInTheMiddle(stage.data, (stage.ports.app_relay, stage.ports.device_relay), trust)
            await stack.enter_async_context(relay.opened(app_port, device_port))
            first, second = await asyncio.gather(
                world.owned(profile, application=str(ACTUATOR)),
                world.owned(profile, application=str(ACTUATOR), local="127.0.0.1:0"),
            )
            for device in (first, second):
                await device.told("relay_connected")
            stack.push_async_callback(world.power_cut)
            yield cls(world, relay, profile, first, second)

    @property
    def store(self) -> SessionStore:
        return SessionStore(self.profile)

    @property
    def owner_credential(self) -> Credential:
        """Of the owner's app."""
        return Credential.from_spki(spki_of(self.store.app_keys().channel.public_key()))

    @property
    def first_credential(self) -> Credential:
        """Of the first device: not secret, and all who saw its evidence know it."""
        return self._credential_of(self.first)

    @property
    def second_credential(self) -> Credential:
        return self._credential_of(self.second)

    async def connected(self) -> None:
        """Wait until both devices are connected: an attack before may have broken a connection."""
        async with asyncio.timeout(PATIENCE_S):
            for device in (self.first, self.second):
                while not (await device.status())["relay"]:
                    await asyncio.sleep(POLL_S)

    @asynccontextmanager
    async def talk(self, meddle: Meddle = pass_on, device: Device | None = None) -> AsyncIterator[Talk]:
        """The owner's app on a channel to a device; its streams are meddled with."""
        device = device or self.first
        phone = Phone(self.relay, meddle)
        async with connect(self.store, device.device_id, network=phone) as channel:
            yield Talk(self, channel, device, phone)

    @asynccontextmanager
    async def near(self) -> AsyncIterator[Talk]:
        """The owner's app on a channel to the second device over the local network."""

        async def find(_device_id: str) -> tuple[str, int]:
            return self.local_address

        device = self.store.devices.find(self.second.device_id)
        key = ChannelKey(self.store.app_keys().channel)
        async with connect_as(self.store, device, key, local=True, find=find) as channel:
            yield Talk(self, channel, self.second, Phone(self.relay, pass_on))

    @property
    def local_address(self) -> tuple[str, int]:
        """Where the second device listens on its local network."""
        return "127.0.0.1", int(self.second.events("local_opened")[-1]["port"])

    @asynccontextmanager
    async def stolen_login(self) -> AsyncIterator["StolenLogin"]:
        """What somebody can do with the owner's login."""
        async with ApiClient.of_store(self.store) as api:
            yield StolenLogin(api, self.store.load().trust(), self.world.stage.ports.app_relay)

    def new_order(self, device: Device) -> str:
        """An order of the owner's."""
        order = f"order {next(self._numbers):06} {os.urandom(8).hex()}"
        self._orders.setdefault(device.device_id, []).append(order)
        return order

    def shown(self, device: Device, content: Content) -> tuple[str, int]:
        """Note what an app was shown of a device's orders."""
        words, number = content.plain()
        self._shown.setdefault(device.device_id, []).append((words, number))
        return words, number

    def carried_out(self, device: Device) -> list[str]:
        """The orders that a device carried out."""
        return [note["order"] for note in self._notes(device) if "order" in note]

    def assert_nothing_happened_but_what_was_ordered(self) -> None:
        """Each order once at most and by the device that it was for; nothing shown twice, or that was not said."""
        for device in (self.first, self.second):
            notes = self._notes(device)
            carried_out = self.carried_out(device)
            assert len(set(carried_out)) == len(carried_out)
            assert set(carried_out) <= set(self._orders.get(device.device_id, ()))
            shown = self._shown.get(device.device_id, [])
            assert len(set(shown)) == len(shown)
            assert set(shown) <= {tuple(note["said"]) for note in notes if "said" in note}
            taken = [note["document"] for note in notes if "document" in note]
            assert set(taken) <= self.documents
            assert len(set(taken)) == len(taken)

    async def assert_holds(self) -> None:
        """The attack changed nothing, and an honest relay would be of use at once."""
        self.assert_nothing_happened_but_what_was_ordered()
        async with self.talk() as talk:
            assert await talk.order(timeout_s=10)
        self.assert_nothing_happened_but_what_was_ordered()

    def _credential_of(self, device: Device) -> Credential:
        return Credential.from_spki(self.store.devices.find(device.device_id).channel)

    def _notes(self, device: Device) -> list[dict[str, Any]]:
        path = device.state / "application" / actuator.NOTES
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _made(world: World, amount: int) -> list[Path]:
    """The folders of new devices, in the manifest at the usual place."""
    now = datetime.now(UTC).replace(microsecond=0)
    bundle = (world.stage.data / "maker-bundle.json").read_bytes()
    maker = init_maker(world.stage.folder / "factory", "ACME", bundle, now)
    return [made.directory for made in make_batch(maker, PLAN, amount, world.batch, now)]
