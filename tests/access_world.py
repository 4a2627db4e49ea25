"""A device agent as a process, a server of the test's own that pushes possession keys to it, and guests near it."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import picows
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from admittance.client.channel.device_channel import DeviceChannel
from admittance.client.possession.connecting import connect_with_key
from admittance.client.possession.key_store import HeldKey
from admittance.client.session_store import SessionStore
from admittance.device.keys import load_private_key
from admittance.device.state import Record, StateFile
from admittance.errors import AdmittanceError
from admittance.protocol.channel.channel import Channel
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.protocol.channel.events import Established, RequestFailed, ResponseReceived
from admittance.protocol.signing import spki_of
from admittance.wire import message, relay
from admittance.wire.access import PUSH_PATH, AccessPush, AccessState, GrantedKey
from admittance.wire.channel import GET, POST, PUT, Credential, Permission
from admittance.wire.coap import codes, stream
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import path_options
from admittance.wire.relay import RelayAccepted, RelayHello, RelayProof
from tests.agent_world import HOME, AgentProcess, Server, World, agent_world

PATIENCE_S = 30.0
EPOCH = 1
SCOPE = (Permission("/lock", GET | PUT), Permission("/orders", GET | POST))


class _DeviceEnd(picows.WSListener):
    """The node's end of the device's connection."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._is_accepted = False

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport
        self.send(message.encode(RelayHello(os.urandom(32))))

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type != picows.WSMsgType.BINARY:
            return
        data = frame.get_payload_as_bytes()
        if not self._is_accepted:
            message.decode(data, RelayProof)
            self._is_accepted = True
            self.send(message.encode(RelayAccepted(30, 0)))
            self._node.arrived(self)
            return
        for each in relay.decode_frames(data):
            if each.type == relay.DATA and each.stream == 0:
                self._node.received(stream.decode(each.payload))

    def send(self, data: bytes) -> None:
        self.transport.send(picows.WSMsgType.BINARY, data)


class Node:
    """A relay node without TLS and its server, for one device: it proves itself on stream 0, and asks there."""

    def __init__(self) -> None:
        self.key = ChannelKey(ec.generate_private_key(ec.SECP256R1()))
        self.device: Credential | None = None
        self._end: _DeviceEnd | None = None
        self._channel: Channel | None = None
        self._established = asyncio.Event()
        self._answers: dict[int, asyncio.Future[CoapMessage]] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        """Listen; the port."""
        server = await picows.ws_create_server(lambda _request: _DeviceEnd(self), "localhost", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await server.wait_closed()

    def arrived(self, end: _DeviceEnd) -> None:
        """The device connected anew."""
        assert self.device is not None
        self._end = end
        self._channel = Channel.initiator(self.key, self.device, random=os.urandom)
        self._established.clear()
        self._channel.handle_timeout(time.monotonic())
        self._settle()

    def received(self, data: CoapMessage) -> None:
        assert self._channel is not None
        self._channel.receive(data, time.monotonic())
        self._settle()

    async def ask(self, code: int, payload: bytes = b"", path: str = PUSH_PATH) -> CoapMessage:
        """The device's answer to the server."""
        async with asyncio.timeout(PATIENCE_S):
            await self._established.wait()
            assert self._channel is not None
            request = CoapMessage(code, options=path_options(path), payload=payload)
            handle = self._channel.request(request, time.monotonic())
            answer = self._answers[handle] = asyncio.get_running_loop().create_future()
            self._settle()
            return await answer

    def lost(self) -> None:
        """The device has no power."""
        self._established.clear()

    def _settle(self) -> None:
        assert self._channel is not None
        assert self._end is not None
        for each in self._channel.drain():
            self._end.send(relay.data_frame(0, stream.encode(each), final=True))
        for event in self._channel.events():
            match event:
                case Established():
                    self._established.set()
                case ResponseReceived(handle, answer):
                    self._answers.pop(handle).set_result(answer)
                case RequestFailed(handle, error):
                    self._answers.pop(handle).set_exception(error)


@dataclass
class ServerClock:
    """What the server takes for the time: the true one, and so many seconds."""

    ahead_s: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@dataclass
class Site:
    """An onboarded device with its server; `sequence` is that of the latest push."""

    world: World
    node: Node
    clock: ServerClock
    options: tuple[str, ...]
    agent: AgentProcess
    sequence: int = 0
    keys: dict[bytes, GrantedKey] = field(default_factory=dict)

    @property
    def record(self) -> Record:
        """What the device has on its disk."""
        record = StateFile(self.world.state).load()
        assert record is not None
        return record

    @property
    def device_id(self) -> str:
        return self.world.made.birth.device_id

    @property
    def address(self) -> tuple[str, int]:
        """Where the device listens on its local network."""
        opened = [event for event in self.agent.events if event["event"] == "local_opened"]
        return "127.0.0.1", int(opened[-1]["port"])

    def told(self, name: str) -> list[dict[str, Any]]:
        """What the agent logged under that name since it was switched on."""
        return [event for event in self.agent.events if event["event"] == name]

    def granted(
        self, uses: int = 0, *, begins_s: int = -60, ends_s: int = 3600, scope: tuple[Permission, ...] = SCOPE
    ) -> GrantedKey:
        """A key that nobody was told of yet; its window is by the server's clock."""
        now = int(self.clock())
        secret, token, grant = os.urandom(32), os.urandom(16), os.urandom(16)
        return GrantedKey(token, secret, grant, "guest", scope, now + begins_s, now + ends_s, uses)

    def another(self, key: GrantedKey, **changes: Any) -> GrantedKey:
        """One more key under the grant of `key`."""
        return replace(key, token=os.urandom(16), master_secret=os.urandom(32), **changes)

    async def push(
        self, *keys: GrantedKey, ended: tuple[bytes, ...] = (), base: int | None = None, epoch: int = EPOCH
    ) -> int:
        """Tell the device; the code of its answer."""
        base = self.sequence if base is None else base
        pushed = AccessPush(epoch, base, self.sequence + 1, keys, ended)
        answer = await self.node.ask(codes.POST, message.encode(pushed))
        self.sequence += answer.code == codes.CHANGED
        return answer.code

    async def state(self) -> AccessState:
        return message.decode((await self.node.ask(codes.GET)).payload, AccessState)

    def near(
        self, key: GrantedKey, folder: Path, address: tuple[str, int] | None = None
    ) -> AbstractAsyncContextManager[DeviceChannel]:
        """A channel of who holds `key`, over the local network; without any login. The guest takes the device to be
        at `address`, if one is given."""

        async def find(_device_id: str) -> tuple[str, int]:
            return address or self.address

        held = HeldKey(
            device_id=self.device_id,
            origin="",
            name="door",
            token=key.token,
            master_secret=key.master_secret,
            grant=key.grant.hex(),
            actions=[],
            expires_at=key.expires_at,
        )
        return connect_with_key(SessionStore(folder), held, local=True, find=find)

    async def refusal(self, key: GrantedKey, folder: Path) -> AdmittanceError:
        """Why `key` opens no channel."""
        try:
            async with self.near(key, folder):
                raise AssertionError("The device let the key in.")
        except AdmittanceError as error:
            return error

    async def power_cut(self) -> None:
        await self.agent.kill()
        self.node.lost()

    async def power_up(self, *, with_time: bool = True) -> None:
        """Switch the device on again; it hears the time from its server unless that is `refuse`."""
        self.agent = await self.world.start(*self.options)
        await self.agent.event("local_opened")
        if with_time:
            await self.agent.event("status")
            await self.agent.event("relay_connected")


@asynccontextmanager
async def access_site(folder: Path, application: str = "lock") -> AsyncIterator[Site]:
    """A device with that application, its owner and its server."""
    node, clock = Node(), ServerClock()
    options = ("--application", application, "--local", "127.0.0.1:0", "--relay-plain")
    async with (
        node.open() as port,
        agent_world(
            folder,
            server=Server(folder, clock=clock),
            relay_urls=[f"ws://localhost:{port}"],
            server_channel=node.key.credential.spki,
        ) as world,
    ):
        agent = await world.start(*options)
        await agent.event("code_shown")
        site = Site(world, node, clock, options, agent)
        node.device = Credential.from_spki(spki_of(load_private_key(site.record.keys.channel).public_key()))
        phone = await world.meet()
        await phone.configure()
        await phone.send_network(1, HOME)
        for event in ("enrolled", "status", "relay_connected", "local_opened"):
            await agent.event(event)
        yield site
