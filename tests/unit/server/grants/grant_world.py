"""A server's grants, on one or more nodes, and a device with a real channel that does what it is told."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from admittance.errors import AdmittanceError, Conflict, WrongEpoch
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.server.access.ports import DeviceToken, DeviceTokenRequest
from admittance.server.access.tables import oauth_sessions
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.bus.local import LocalBus
from admittance.server.conversation.service import ConversationService
from admittance.server.database import Database
from admittance.server.grants import assembly
from admittance.server.grants.actions import permissions_of
from admittance.server.grants.assembly import GrantServices
from admittance.server.grants.model import Allowed, Grant, Terms
from admittance.server.relay.presence import arrive
from admittance.wire import message
from admittance.wire.access import PUSH_PATH, AccessPush, AccessState, GrantedKey, GrantUse
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage
from admittance.wire.relay import CloseReason
from tests.device_world import FakeDevice, World
from tests.unit.server.conversation.device_end import DeviceEnd, new_key

HOUR_S = 3600


@dataclass
class Lock:
    """What a device keeps of access, by the rules of `docs/protocol/grants.md`. `silent` answers nothing."""

    epoch: int
    sequence: int = 0
    keys: dict[bytes, GrantedKey] = field(default_factory=dict)
    used: dict[bytes, int] = field(default_factory=dict)
    pushes: list[AccessPush] = field(default_factory=list)
    asked: int = 0
    silent: bool = False
    deaf: bool = False

    def handle(self, request: CoapMessage) -> CoapMessage | None:
        """Answer a request of the server. A `deaf` device takes none; a `silent` one does, and says nothing."""
        if request.path != PUSH_PATH:
            return CoapMessage(codes.NOT_FOUND)
        if self.deaf:
            return None
        if request.code == codes.GET:
            self.asked += 1
            return None if self.silent else CoapMessage(codes.CONTENT, payload=message.encode(self.state))
        push = message.decode(request.payload, AccessPush, max_bytes=65536)
        self.pushes.append(push)
        try:
            self.take(push)
        except Conflict:
            return CoapMessage(codes.CONFLICT)
        except AdmittanceError:
            return CoapMessage(codes.FORBIDDEN)
        return None if self.silent else CoapMessage(codes.CHANGED, payload=message.encode(self.state))

    def take(self, push: AccessPush) -> None:
        if push.epoch != self.epoch:
            raise WrongEpoch("another epoch")
        if push.sequence <= self.sequence:
            return
        if push.base not in (0, self.sequence):
            raise Conflict("another base")
        kept = {} if push.base == 0 else self.keys
        new = {key.token: key for key in push.keys}
        self.keys = {
            token: key
            for token, key in {**kept, **new}.items()
            if token not in push.ended and key.grant not in push.ended
        }
        self.sequence = push.sequence

    def use(self, token: bytes) -> bool:
        """Whether the holder of a key may open it once more."""
        key = self.keys.get(token)
        if key is None or 0 < key.uses <= self.used.get(key.grant, 0):
            return False
        self.used[key.grant] = self.used.get(key.grant, 0) + 1
        return True

    @property
    def state(self) -> AccessState:
        used = tuple(GrantUse(grant, count) for grant, count in self.used.items())
        return AccessState(self.epoch, self.sequence, used)


@dataclass
class Node:
    """One process of the server."""

    conversations: ConversationService
    services: GrantServices


@dataclass
class Household:
    """An owner with a lock that is connected, and a guest."""

    world: World
    owner: AuthenticatedAccount
    guest: AuthenticatedAccount
    device: FakeDevice
    key: ChannelKey
    lock: Lock
    bus: LocalBus = field(default_factory=LocalBus)
    nodes: list[Node] = field(default_factory=list)
    end: DeviceEnd | None = None
    sink: Any = None

    @property
    def now(self) -> int:
        return int(self.world.clock())

    @property
    def device_id(self) -> str:
        return self.device.device_id

    @property
    def services(self) -> GrantServices:
        return self.nodes[0].services

    async def node(self, name: str) -> Node:
        conversations = ConversationService(
            node_id=name,
            database=self.world.database,
            bus=self.bus,
            key=ChannelKey(self.world.keystore.channel_key),
            resources={},
            wants_readings=_never,
            randomness=os.urandom,
        )
        await conversations.start()
        made = Node(conversations, assembly.build(self.world.foundation, self.world.accounts, conversations))
        self.nodes.append(made)
        return made

    async def connect(self, node: Node, lock: Lock | None = None) -> None:
        """The device connects to a node, and leaves where it was before."""
        self.disconnect()
        self.lock = lock or self.lock
        names = [f"node-{index}" for index in range(len(self.nodes))]
        name = names[self.nodes.index(node)]
        async with self.world.database.transaction() as connection:
            await arrive(connection, name, [self.device_id], self.now)
        self.end = DeviceEnd(self.key, self.world.keystore.channel_spki, self.lock.handle)
        self.sink = node.conversations.attach(
            self.device_id, self.device.epoch, self.end, need="none", settled=lambda _: None
        )
        self.end.sink = self.sink

    def disconnect(self) -> None:
        if self.sink is not None:
            self.sink.closed(CloseReason.OFFLINE)
            self.sink = None

    async def log_in(self, session_id: str, account: AuthenticatedAccount | None = None) -> None:
        """A login of the guest, or another account."""
        async with self.world.database.transaction() as connection:
            await connection.execute(
                insert(oauth_sessions).values(
                    session_id=session_id,
                    account_id=(account or self.guest).account_id,
                    client_id="app",
                    jkt=self.guest.jkt,
                    scope="devices",
                    audience="",
                    rotation=0,
                    began_at=self.now,
                    expires_at=self.now + 86_400,
                )
            )

    def terms(self, **changes: Any) -> Terms:
        """This evening, as often as one likes."""
        plain = Terms("Gast", self.now - 60, self.now + 5 * HOUR_S, None, 0, False)
        return replace(plain, **changes)

    async def give(self, *actions: str, to: AuthenticatedAccount | None = None, **terms: Any) -> Grant:
        allowed = [Allowed(self.device_id, permissions_of(actions or ("PUT /lock", "GET /lock")))]
        email = (to or self.guest).email
        given = await self.services.grants.give(self.owner, self.terms(**terms), allowed, email=email)
        return given.grant

    def request(self, *actions: str, **changes: Any) -> DeviceTokenRequest:
        plain = DeviceTokenRequest(
            account_id=self.guest.account_id,
            client_id="app",
            jkt=self.guest.jkt,
            device_id=self.device_id,
            actions=actions,
            client_share=b"c" * 32,
            attested_until=None,
            session_id="session-1",
        )
        return replace(plain, **changes)

    async def token(self, *actions: str, node: Node | None = None, **changes: Any) -> DeviceToken:
        return await (node or self.nodes[0]).services.device_tokens.issue(self.request(*actions, **changes))

    async def close(self) -> None:
        self.disconnect()
        for node in self.nodes:
            await node.services.stop()
            await node.services.pushes.close()
            await node.conversations.close()
        await self.bus.close()


async def household(database: Database, folder: Path, *, nodes: int = 1) -> Household:
    """The device is connected to the first node."""
    world, key = World(database, folder), new_key()
    owner, guest = await world.account("ann"), await world.account("gil")
    device = world.device()
    device.channel = key.credential.spki
    await world.take(device)
    await world.onboard(owner, device)
    made = Household(world, owner, guest, device, key, Lock(device.epoch))
    for number in (1, 2):
        await made.log_in(f"session-{number}")
    await made.bus.start()
    for index in range(nodes):
        await made.node(f"node-{index}")
    await made.connect(made.nodes[0])
    return made


async def _never(_device_id: str) -> bool:
    return False
