"""A server of two relay nodes on PostgreSQL and NATS, whose devices are in the attacker's hands, or real programs.

The first node is in the server's own process, the second beside it. What the second sees in clear is captured.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from admittance.errors import AdmittanceError, UpgradeRefused, WebSocketClosed
from admittance.transport.websocket import WebSocket
from admittance.wire import base64url, message
from admittance.wire.relay import APP_PATH, TICKET_PATH, RelayTicket
from tests.attack.site import Login, Site, database_of_its_own
from tests.attack.world import LAMP, World
from tests.device_world import FakeDevice
from tests.nats import NatsServer, nats_server
from tests.relay_ends import AppStream, EchoDevice, open_socket
from tests.relay_nodes import RelayNode

PANEL = "panel-1"
KEYBOARD = f"""
[models."{PANEL}"]
display_name = "{PANEL}"
presence = "display"
keyboard = true
"""

WITHIN_S = 20.0
ENDS_WITHIN_S = 5.0


@dataclass(frozen=True)
class NodePorts:
    """Where one node listens for apps and for devices."""

    app: int
    device: int


@dataclass
class RelaySite:
    """See the module."""

    site: Site
    nats: NatsServer
    second: RelayNode
    world: World

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, postgres_url: str, *, lamps: int) -> AsyncIterator["RelaySite"]:
        """`lamps` devices are there to be real programs; they run in the network of this machine."""
        async with AsyncExitStack() as stack:
            nats = stack.enter_context(nats_server())
            url = await stack.enter_async_context(database_of_its_own(postgres_url))
            policy = f'[bus]\nurl = "{nats.url}"\n{KEYBOARD}'
            opening = Site.open(folder, database_url=url, policy=policy, lamps=lamps, locks=0)
            site = await stack.enter_async_context(opening)
            (folder / "second").mkdir()
            second = await RelayNode.beside(site, folder / "second", nats.port)
            stack.push_async_callback(second.unplug)
            site.stage.isolated = ()
            await asyncio.gather(second.run(site, "--capture", second.capture), site.stage.open_premises())
            world = World(site.stage, site.folders(LAMP))
            stack.push_async_callback(world.power_cut)
            yield cls(site, nats, second, world)

    @property
    def nodes(self) -> tuple[NodePorts, NodePorts]:
        """The server's own node, and the second."""
        first, second = (
            NodePorts(each.app_relay, each.device_relay) for each in (self.site.stage.ports, self.second.ports)
        )
        return first, second


@dataclass(frozen=True)
class Relayed:
    """A device in the attacker's hands that is connected to a relay node."""

    fake: FakeDevice
    echo: EchoDevice

    @property
    def device_id(self) -> str:
        return self.fake.device_id


@dataclass
class Talking:
    """Devices and apps at the relay nodes of a site, all of them in the hands of a test; they end with it."""

    site: Site
    devices: list[EchoDevice] = field(default_factory=list)
    sockets: list[WebSocket] = field(default_factory=list)

    async def device(self, owner: Login, *ports: int, channel: bytes = b"") -> Relayed:
        """A new device of that account, which is connected to the first of `ports`, and later to any in turn.

        `channel` is the channel key that its evidence tells.
        """
        fake = self.site.certified()
        fake.channel = channel
        enrolment = await self.site.onboard(owner, fake)
        trust = device_trust(self.site)
        echo = EchoDevice(fake.device_id, fake.epoch, enrolment.key, enrolment.chain, trust, [ports[0]])
        echo.start()
        self.devices.append(echo)
        await until(lambda: echo.port == ports[0])
        echo.ports = list(ports)
        return Relayed(fake, echo)

    async def app(self, login: Login, device_id: str, port: int) -> AppStream:
        """A stream, which carried a message and its answer. Raises what the node refuses with."""
        path = f"{APP_PATH}{device_id}"
        while True:
            try:
                socket = await self.upgraded(port, path, login.headers("GET", path))
            except UpgradeRefused as refused:
                if refused.headers.get("dpop-nonce", login.nonce) == login.nonce:
                    raise
                login.nonce = refused.headers["dpop-nonce"]
                continue
            return await _opened(socket)

    async def app_with(self, ticket: bytes, device_id: str, port: int) -> AppStream:
        """The same with a ticket in place of the token."""
        socket = await self.upgraded(port, f"{APP_PATH}{device_id}", {})
        await socket.send(message.encode(RelayTicket(ticket)))
        return await _opened(socket)

    async def app_within(self, login: Login, device_id: str, port: int) -> AppStream:
        """As `app`, tried again until it works."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                try:
                    return await self.app(login, device_id, port)
                except AdmittanceError:
                    await asyncio.sleep(0.1)

    async def upgraded(self, port: int, path: str, headers: dict[str, str]) -> WebSocket:
        """A WebSocket on an app listener, which has proved nothing beyond its headers."""
        socket, _ = await open_socket(port, app_trust(self.site), path, tuple(headers.items()))
        self.sockets.append(socket)
        return socket

    async def end(self) -> None:
        for socket in self.sockets:
            socket.abort()
        await asyncio.gather(*(device.stop() for device in self.devices))


async def ticket_of(login: Login, device_id: str) -> bytes:
    """A relay ticket of that account for that device."""
    answer: dict[str, Any] = await login.ask("POST", TICKET_PATH, {"device_id": device_id})
    return base64url.decode(answer["ticket"])


async def ended(*streams: AppStream) -> set[int]:
    """Wait until all of these streams ended; the codes that they ended with."""
    async with asyncio.timeout(ENDS_WITHIN_S):
        return set(await asyncio.gather(*(stream.closed() for stream in streams)))


async def refused(opening: Any) -> int:
    """The close code, or the status of HTTP, with which a node refuses what is awaited here."""
    try:
        async with asyncio.timeout(WITHIN_S):
            await opening
    except WebSocketClosed as closed:
        return closed.close_code
    except UpgradeRefused as answer:
        return answer.status
    raise AssertionError("The node let this in.")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.01)


def device_trust(site: Site) -> ssl.SSLContext:
    """What devices trust."""
    return ssl.create_default_context(cadata=site.keystore.tls_anchor.certificate_pem.decode())


def app_trust(site: Site) -> ssl.SSLContext:
    """What apps trust."""
    return ssl.create_default_context(cadata=site.keystore.people_ca.certificate_pem.decode())


async def _opened(socket: WebSocket) -> AppStream:
    stream = AppStream(socket)
    await stream.exchange(b"hello")
    return stream
