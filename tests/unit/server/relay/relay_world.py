"""A relay node with its real listeners, devices that are enrolled, and apps that are logged in."""

import asyncio
import dataclasses
import hashlib
import os
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.client.dpop import DpopKey
from admittance.demo.ports import free_ports
from admittance.protocol.relay.device_mux import DeviceMux, Event
from admittance.protocol.signing import SoftwareSigner
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.app import relay_secured
from admittance.server.config import DatabaseSection, ListenSection, RelaySection
from admittance.server.database import Database
from admittance.server.relay import assembly
from admittance.server.relay.assembly import RelayServices
from admittance.server.relay.capture import Capture
from admittance.server.relay.node import RelayNode
from admittance.server.server import renew
from admittance.transport.websocket import WebSocket
from admittance.wire import message, relay
from admittance.wire.relay import CloseReason, RelayAccepted, RelayHello, RelayProof
from tests.device_world import ORIGIN, FakeDevice, World
from tests.logins import session_of


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


@dataclass
class Login:
    """An app of an account."""

    account: AuthenticatedAccount
    token: str
    session_id: str
    key: DpopKey


@dataclass
class Enrolled:
    """A device with its operational key and certificate."""

    device: FakeDevice
    key: ec.EllipticCurvePrivateKey
    certificate: bytes
    issuer: bytes

    @property
    def device_id(self) -> str:
        return self.device.device_id

    def proof(self, nonce: bytes, shown: bytes, **changes: object) -> RelayProof:
        """Signed as the device would; `changes` are made to what is signed and sent."""
        said = {"device_id": self.device_id, "epoch": self.device.epoch, **changes}
        signature = SoftwareSigner(self.key).sign(
            relay.proof_input(nonce, shown, str(said["device_id"]), int(str(said["epoch"])))
        )
        return RelayProof([self.certificate, self.issuer], str(said["device_id"]), int(str(said["epoch"])), signature)


@dataclass
class DeviceEnd:
    """A device that is connected and proven; it takes part while something awaits it."""

    socket: WebSocket
    mux: DeviceMux
    accepted: RelayAccepted
    told: list[Event] = field(default_factory=list)

    async def flush(self) -> None:
        for each in self.mux.drain():
            await self.socket.send(each)

    async def event(self) -> Event:
        """The next event, in order."""
        while not self.told:
            self.mux.receive(await self.socket.receive())
            self.told += self.mux.events()
            await self.flush()
        return self.told.pop(0)

    async def send(self, stream: int, data: bytes) -> None:
        self.mux.send(stream, data)
        await self.flush()

    async def close(self, stream: int, reason: CloseReason = CloseReason.NORMAL) -> None:
        self.mux.close(stream, reason)
        await self.flush()


@dataclass
class Site:
    """See the module."""

    world: World
    services: RelayServices
    listen: ListenSection
    stack: AsyncExitStack

    @property
    def node(self) -> RelayNode:
        return self.services.node

    @property
    def certificate_sha256(self) -> bytes:
        """What the device listener shows."""
        pem = self.services.listeners.device_context.leaf_pem
        assert pem is not None
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest()

    async def enrolled(self, owner: AuthenticatedAccount, model: str = "lamp") -> Enrolled:
        """A device of that account."""
        device = self.world.device(model)
        await self.world.take(device)
        activation = await self.world.activate(owner, device)
        ticket = device.open(activation.sealed, self.world.root_spki_sha256).configuration.ticket
        key = ec.generate_private_key(ec.SECP256R1())
        issued = await self.world.enrol(device, ticket, key)
        return Enrolled(device, key, issued.certificate, issued.issuer)

    async def login(self, account: AuthenticatedAccount) -> Login:
        """A token as a login gives it."""
        key, world = DpopKey.generate(), self.world
        session_id, answer = await session_of(world.database, world.logins, account.account_id, key, world.clock())
        return Login(account, answer.access_token, session_id, key)

    async def end(self, login: Login) -> None:
        """End that login."""
        async with self.world.database.transaction() as connection:
            await self.world.logins.sessions.end(connection, login.session_id, why="test", now=self.world.clock())

    def headers(self, login: Login, device_id: str, **changes: object) -> list[tuple[str, str]]:
        """Of an upgrade; `changes` are made to the proof."""
        claims = {
            "method": "GET",
            "uri": f"{ORIGIN}{relay.APP_PATH}{device_id}",
            "now": time.time(),
            "nonce": self.node.app_proofs.nonce(),
            "access_token": login.token,
            **changes,
        }
        proof = login.key.proof(**claims)  # type: ignore[arg-type]
        return [("authorization", f"DPoP {login.token}"), ("dpop", proof)]

    async def raw(self, address: str, tls: bool = True) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to one of the listeners."""
        keys = self.world.keystore
        anchors = keys.people_ca.certificate_pem + keys.tls_anchor.certificate_pem
        context = ssl.create_default_context(cadata=anchors.decode()) if tls else None
        host = "admit.example" if tls else None
        port = int(address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
        self.stack.callback(_hang_up, writer)
        return reader, writer

    async def app_socket(self, device_id: str, headers: list[tuple[str, str]]) -> WebSocket:
        """An open WebSocket on the app listener."""
        reader, writer = await self.raw(self.listen.app_relay)
        return await WebSocket.connect(
            reader, writer, host="localhost", target=relay.APP_PATH + device_id, headers=headers
        )

    async def app(self, login: Login, device_id: str) -> WebSocket:
        """An app that shows its token with the upgrade."""
        return await self.app_socket(device_id, self.headers(login, device_id))

    async def device_socket(self, tls: bool = True) -> tuple[WebSocket, bytes]:
        """An open WebSocket on a device listener, and the nonce of the node's hello."""
        address = self.listen.device_relay if tls else self.listen.device_relay_plain
        reader, writer = await self.raw(address, tls)
        socket = await WebSocket.connect(reader, writer, host="localhost", target=relay.DEVICE_PATH)
        return socket, message.decode(await socket.receive(), RelayHello).nonce

    async def device(self, enrolled: Enrolled) -> DeviceEnd:
        """A device that has proved itself."""
        socket, nonce = await self.device_socket()
        await socket.send(message.encode(enrolled.proof(nonce, self.certificate_sha256)))
        accepted = message.decode(await socket.receive(), RelayAccepted)
        return DeviceEnd(socket, DeviceMux(), accepted)


@asynccontextmanager
async def relay_site(
    database: Database, folder: Path, *, plain: bool = False, capture: Path | None = None, **limits: int
) -> AsyncIterator[Site]:
    """A running node; `limits` are settings of ``[relay]``."""
    app_relay, device_relay, without_tls = (f"127.0.0.1:{port}" for port in free_ports(3))
    listen = ListenSection(
        app_relay=app_relay, device_relay=device_relay, device_relay_plain=without_tls if plain else ""
    )
    url = database.engine.url.render_as_string(hide_password=False).replace("sqlite+inline", "sqlite+aiosqlite")
    world = World(
        database,
        folder,
        now=time.time(),
        listen=listen,
        relay=RelaySection(**limits),
    )
    config = msgspec.structs.replace(world.foundation.config, database=DatabaseSection(url=url))
    world.foundation = dataclasses.replace(world.foundation, config=config)
    (folder / "admittance-data").mkdir(exist_ok=True)
    services = assembly.build(
        world.foundation, world.accounts, Capture(capture, time.time) if capture is not None else None
    )
    services.listeners.bind()
    renew(relay_secured(world.foundation, services), world.clock(), first=True)
    async with AsyncExitStack() as stack:
        await services.start()
        stack.push_async_callback(services.stop)
        yield Site(world, services, listen, stack)


def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def coap(size: int = 20) -> bytes:
    """Something for the relay to carry; it looks into nothing."""
    return os.urandom(max(1, size))


def ticket() -> bytes:
    return secrets.token_bytes(32)
