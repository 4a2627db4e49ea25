"""A device's conversations without a network: apps and the server talk to them through pairs of lists."""

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from admittance.device.access.access import Access
from admittance.device.access.enforcement import Enforcement
from admittance.device.access.hints import Hints
from admittance.device.access.offline import OfflineTokens
from admittance.device.access.resource import access_resource, epoch_list_resource
from admittance.device.applications import Application, Content, Request
from admittance.device.channel.conversation import Conversation
from admittance.device.channel.conversations import Conversations, Identity
from admittance.device.clock import TrustedClock
from admittance.device.keys import make_private_key
from admittance.device.resources.built_in import BuiltIn, Facts
from admittance.device.resources.dispatch import Dispatcher
from admittance.device.resources.tree import Tree
from admittance.device.state import KeyMaterial, Memory, ServerContact, StateFile, first_record
from admittance.errors import AdmittanceError
from admittance.protocol.access.authz_info import PossessionKey, Possessors
from admittance.protocol.channel.channel import Channel
from admittance.protocol.channel.credentials import CredentialList
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.protocol.channel.events import (
    Ended,
    Established,
    RequestFailed,
    RequestReceived,
    ResponseReceived,
)
from admittance.protocol.channel.scope import SERVER_PATH
from admittance.protocol.signing import SoftwareSigner
from admittance.wire.channel import GET, POST, Entry, Permission, Role
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import OBSERVE, encode_uint, path_options
from admittance.wire.relay import CloseReason

DEVICE = "ADJBSWY3DPEHPK3PXPJBSW"
ORIGIN = "https://localhost"
EPOCH = 3
NOW = 1_800_000_000


@dataclass
class App:
    """A key that may be listed; `signing` countersigns admissions."""

    name: str
    role: Role = "owner"
    scope: tuple[Permission, ...] = ()
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    signing: SoftwareSigner = field(default_factory=lambda: SoftwareSigner(ec.generate_private_key(ec.SECP256R1())))

    @property
    def channel_key(self) -> ChannelKey:
        return ChannelKey(self.key)

    @property
    def kid(self) -> bytes:
        return self.channel_key.credential.kid

    def entry(self, epoch: int = EPOCH) -> Entry:
        signing = self.signing.spki if self.role == "owner" else b""
        return Entry(self.channel_key.credential.spki, signing, self.role, epoch, self.name, 0, self.scope)


def server() -> App:
    return App("server", "server", (Permission(f"{SERVER_PATH}/*", GET | POST),))


class Line:
    """One end of a channel to the device, and the carrier on the device's side."""

    def __init__(self, house: "House", app: App | PossessionKey, admission: bytes = b"") -> None:
        if isinstance(app, PossessionKey):
            self.channel = Channel.possessor(app, random=os.urandom)
        else:
            self.channel = Channel.initiator(
                app.channel_key, house.credential, random=os.urandom, admission=admission
            )
        self.closed: CloseReason | None = None
        self.is_open = False
        self.answers: dict[int, list[CoapMessage]] = {}
        self.failed: dict[int, AdmittanceError] = {}
        self.served: list[CoapMessage] = []
        self.reply = CoapMessage(codes.CHANGED)
        self.conversation: Conversation | None = None

    def send(self, message: CoapMessage) -> None:
        self.channel.receive(message, time.monotonic())

    def close(self, reason: CloseReason) -> None:
        self.closed = reason
        self.channel.lost(AdmittanceError(f"closed: {reason.name}"))

    async def settle(self, turns: int = 20) -> None:
        """Let both ends work until they have nothing to say."""
        for _ in range(turns):
            await asyncio.sleep(0)
            self.channel.handle_timeout(time.monotonic())
            for message in self.channel.drain():
                assert self.conversation is not None
                self.conversation.receive(message)
            for event in self.channel.events():
                match event:
                    case Established():
                        self.is_open = True
                    case ResponseReceived(handle=handle, message=message):
                        self.answers.setdefault(handle, []).append(message)
                    case RequestFailed(handle=handle, error=error):
                        self.failed[handle] = error
                    case RequestReceived(handle=handle, message=message):
                        self.served.append(message)
                        self.channel.respond(handle, self.reply)
                    case Ended():
                        self.is_open = False

    def ask(self, code: int, path: str, payload: bytes = b"", *, observe: bool = False) -> int:
        options = path_options(path)
        message = CoapMessage(code, options=options, payload=payload)
        if observe:
            message = message.with_options((OBSERVE, encode_uint(0)))
        return self.channel.request(message, time.monotonic())

    async def answer(self, code: int, path: str, payload: bytes = b"") -> CoapMessage:
        handle = self.ask(code, path, payload)
        await self.settle()
        return self.answers[handle][0]


class House:
    """A device with a lamp, its memory on disk, and its conversations."""

    def __init__(self, folder: Path, *apps: App) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self.credential = ChannelKey(key).credential
        listed = CredentialList(EPOCH)
        for app in apps:
            listed = listed.add(app.entry(), now=NOW)
        record = first_record(KeyMaterial(b"", b"", make_private_key()))
        file = StateFile(folder)
        file.save(record)
        self.memory = Memory(file, record)
        self.token_key = SoftwareSigner(ec.generate_private_key(ec.SECP256R1()))
        contact = ServerContact("https://a", "https://b", [b"anchor"], token_keys=(self.token_key.spki,))
        self.memory.change(epoch=EPOCH, owned=True, credentials=listed, server=contact)
        self.clock = TrustedClock(time.monotonic, NOW)
        self.logged: list[str] = []
        self.causes: list[str] = []
        self.openings = 0
        self.level = 1
        self.release = asyncio.Event()
        self.release.set()
        self.enforcement = Enforcement(self.memory, self.clock, self.log)
        self.offline = OfflineTokens(ORIGIN, DEVICE, self.memory, self.clock, os.urandom, self.log)
        access = Access(self.enforcement, self.offline)
        built_in = BuiltIn(Facts(DEVICE, "lamp-1", "0.1"), self.memory, self.clock, self.log, self.open)
        resources = [
            *built_in.resources(),
            access_resource(self.enforcement),
            epoch_list_resource(self.offline),
            *self.application().resources.values(),
        ]
        self.conversations = Conversations(
            Identity(DEVICE, ChannelKey(key)),
            self.memory,
            self.clock,
            Dispatcher(Tree(resources), access, self.log),
            Possessors(access.find, access.standing, Hints(ORIGIN, DEVICE, self.offline.nonce)),
            os.urandom,
            self.log,
        )

    def application(self) -> Application:
        app = Application("lamp")

        @app.resource("/lamp", methods=("GET", "PUT"), observable=True, title="lamp")
        async def lamp(request: Request) -> Content:
            await self.release.wait()
            if request.method == "PUT":
                self.level = int(request.field("level"))
            return Content.cbor({"level": self.level})

        @app.resource("/echo", methods=("PUT",))
        async def echo(request: Request) -> Content:
            return Content(request.payload)

        @app.resource("/broken")
        async def broken(_request: Request) -> Content:
            raise ZeroDivisionError

        return app

    async def open(self) -> None:
        self.openings += 1

    def log(self, event: str, **fields: object) -> None:
        self.logged.append(event)
        self.causes += [str(fields["cause"])] if "cause" in fields else []

    async def call(self, app: App | PossessionKey, admission: bytes = b"") -> Line:
        """A conversation in which the handshake was tried."""
        line = Line(self, app, admission)
        line.conversation = (
            self.conversations.with_server(line)
            if isinstance(app, App) and app.role == "server"
            else self.conversations.with_app(line, id(line))
        )
        await line.settle()
        return line
