"""Everything by which the device talks end to end: its resources, the relay, the local network, its readings."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from admittance.device.access.access import Access
from admittance.device.access.enforcement import Enforcement
from admittance.device.access.hints import Hints
from admittance.device.access.offline import OfflineTokens
from admittance.device.access.resource import access_resource, epoch_list_resource
from admittance.device.applications import Application
from admittance.device.channel.conversations import Conversations, Identity
from admittance.device.clock import TrustedClock
from admittance.device.files import Files
from admittance.device.keys import Made, load_private_key
from admittance.device.log import Log
from admittance.device.radio.port import Radio
from admittance.device.readings.sending import ReadingsOutbox
from admittance.device.readings.spool import Spool
from admittance.device.relay.link import RelayLink
from admittance.device.relay.proof import prove
from admittance.device.resources.built_in import BuiltIn, Facts
from admittance.device.resources.dispatch import Dispatcher
from admittance.device.resources.tree import Tree
from admittance.device.state import FOLDER_MODE, Memory
from admittance.errors import Unavailable
from admittance.protocol.access.authz_info import Possessors
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.wire.relay import RelayProof
from admittance.wire.senml import Value

if TYPE_CHECKING:
    from admittance.device.local.network import LocalNetwork

APPLICATION_FOLDER: Final = "application"
READINGS_FOLDER: Final = "readings"


class Ports(Protocol):
    """What of the device's ports is needed here."""

    @property
    def radio(self) -> Radio: ...
    @property
    def log(self) -> Log: ...
    @property
    def random(self) -> Callable[[int], bytes]: ...
    @property
    def jitter(self) -> Callable[[], float]: ...
    @property
    def folder(self) -> Path: ...


@dataclass(frozen=True)
class TalkSettings:
    """`local` is the ``ADDRESS:PORT`` to talk at on the local network, or empty; `batch_s` how long readings are
    collected before they are sent; `relay_plain` makes a device that can't do TLS; `ble` names the Bluetooth
    controller to be in range by, or is empty."""

    application: Application | None = None
    local: str = ""
    batch_s: float = 60.0
    relay_plain: bool = False
    ble: str = ""


class Talking:
    """For one life of the device. It is the application's `Host`."""

    def __init__(
        self,
        made: Made,
        firmware: str,
        memory: Memory,
        clock: TrustedClock,
        ports: Ports,
        settings: TalkSettings,
        open_access_point: Callable[[], Awaitable[None]],
    ) -> None:
        self._made = made
        self._memory = memory
        self._clock = clock
        self._ports = ports
        self._settings = settings
        self._application = settings.application
        self._local: LocalNetwork | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._outbox: ReadingsOutbox | None = None
        birth = made.birth
        built_in = BuiltIn(Facts(birth.device_id, birth.model, firmware), memory, clock, ports.log, open_access_point)
        enforcement = Enforcement(memory, clock, ports.log)
        offline = OfflineTokens(birth.server_origin, birth.device_id, memory, clock, ports.random, ports.log)
        access = Access(enforcement, offline)
        resources = (*built_in.resources(), access_resource(enforcement), epoch_list_resource(offline))
        own = () if self._application is None else self._application.resources.values()
        self._conversations = Conversations(
            Identity(birth.device_id, ChannelKey(load_private_key(memory.record.keys.channel))),
            memory,
            clock,
            Dispatcher(Tree([*resources, *own]), access, ports.log),
            Possessors(access.find, access.standing, Hints(birth.server_origin, birth.device_id, offline.nonce)),
            ports.random,
            ports.log,
        )
        self._relay = RelayLink(
            memory,
            ports.radio,
            clock,
            self._conversations,
            self._prove,
            ports.log,
            ports.jitter,
            plain=settings.relay_plain,
        )

    @property
    def relay(self) -> str:
        """The URL of the relay node that the device is connected to, or empty."""
        return self._relay.connected_to

    @property
    def channels(self) -> int:
        """How many conversations are open, the server's included."""
        return len(self._conversations)

    @property
    def folder(self) -> Path:
        folder = self._ports.folder / APPLICATION_FOLDER
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        return folder

    def changed(self, path: str) -> None:
        self._conversations.changed(path)

    def record(self, name: str, value: Value, unit: str) -> None:
        if self._memory.record.consent:
            self._readings().record(name, value, unit)

    async def open(self) -> None:
        """Begin. Raises `ConfigurationError` for a local address that can't be used, or from the application."""
        if self._settings.local:
            await self._open_local(self._settings.local)
        if self._settings.ble:
            self._open_ble(self._settings.ble)
        self._spawn(self._relay.run())
        if self._memory.record.consent:
            self._readings()
        if self._application is not None:
            self._application.start(self)
            for task in self._application.tasks:
                self._spawn(self._run(task(self)))

    async def close(self) -> None:
        """End every conversation."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._conversations.end_all()
        if self._local is not None:
            await self._local.close()

    def wake(self) -> None:
        """The device has a new certificate or network."""
        self._relay.wake()

    def configured(self, *, new_owner: bool) -> None:
        """The list of credentials was saved anew."""
        if new_owner:
            self._conversations.end_all()
            self._forget_readings()
        self._conversations.settled()

    async def _open_local(self, address: str) -> None:
        from admittance.device.local.network import LocalAddress, LocalNetwork

        ports = self._ports
        self._local = LocalNetwork(
            LocalAddress.parse(address), self._made.birth.device_id, self._conversations, ports.random, ports.log
        )
        await self._local.open()

    def _open_ble(self, controller: str) -> None:
        from admittance.device.ble.peripheral import BlePeripheral

        device_id = self._made.birth.device_id
        self._spawn(BlePeripheral(controller, device_id, self._conversations, self._ports.log).run())

    async def _prove(self, nonce: bytes, certificate_sha256: bytes) -> RelayProof:
        record = self._memory.record
        if record.operational is None:
            raise Unavailable("This device is not enrolled.")
        return await prove(self._made, record.operational, record.epoch, nonce, certificate_sha256)

    def _readings(self) -> ReadingsOutbox:
        """The outbox, made when there is something to send for the first time."""
        if self._outbox is None:
            spool = Spool(self._ports.folder / READINGS_FOLDER, self._memory.record.epoch)
            self._outbox = ReadingsOutbox(
                spool,
                self._memory,
                self._clock,
                self._conversations.ask_server,
                self._ports.log,
                batch_s=self._settings.batch_s,
            )
            self._spawn(self._outbox.run())
        return self._outbox

    def _forget_readings(self) -> None:
        """The readings of one owner are nothing to the next."""
        self._outbox = None
        Files().remove_folder(self._ports.folder / READINGS_FOLDER)

    async def _run(self, work: Awaitable[None]) -> None:
        """A task of the application; one that fails leaves the rest of the device alone."""
        try:
            await work
        except Exception as error:
            self._ports.log("application_failed", cause=type(error).__name__)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))


def forget(folder: Path) -> None:
    """Remove what applications and readings left in the state folder: a factory reset."""
    for name in (APPLICATION_FOLDER, READINGS_FOLDER):
        Files().remove_folder(folder / name)
