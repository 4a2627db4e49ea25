"""A device's end of the channel behind a relay that speaks real TLS and WebSockets, and can be made to fail."""

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    RejectData,
    Request,
)

from admittance.client.api_types import Discovery
from admittance.client.channel.known_devices import KnownDevice
from admittance.client.dpop import DpopKey
from admittance.client.possession.key_store import HeldKey, KeyStore
from admittance.client.session_store import Session, SessionStore
from admittance.errors import AdmittanceError, NotFound
from admittance.protocol.access.authz_info import Possessors
from admittance.protocol.channel.channel import Channel
from admittance.protocol.channel.credentials import CredentialList
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.protocol.channel.events import ObservationEnded, RequestReceived
from admittance.protocol.coap import observe
from admittance.wire import cbor, message
from admittance.wire.access import GrantedKey, Holder
from admittance.wire.channel import GET, Entry, Permission
from admittance.wire.coap import codes, formats, options, stream
from admittance.wire.coap.message import CoapMessage
from tests.tls_material import Authority, server_context

DEVICE_ID = "ADQ3WKJX4M7Q2B5TPHZ3NA"
NONCE = "the-nonce-of-now"
TOKEN = "the access token"


class Device:
    """What a device is to its channels: a key, a list of who may come, guests' keys by their tokens, some resources.

    ``/echo`` sends back what it gets, ``/slow`` never answers, ``/count`` counts the requests it carried out,
    ``/value`` can be observed, ``/large`` has 20,000 bytes, ``/credentials`` is the list.
    """

    def __init__(self) -> None:
        self.private_key = ec.generate_private_key(ec.SECP256R1())
        self.key = ChannelKey(self.private_key)
        self.listed = CredentialList().begin_epoch(1)
        self.granted: dict[bytes, GrantedKey] = {}
        self.possessors = Possessors(self.find_key, lambda key: self.find_key(key.token), lambda _: b"")
        self.value = b"0"
        self.count = 0
        self.slow = 0
        self.conversations: set[Conversation] = set()

    def list_app(self, spki: bytes, signing: bytes = b"", name: str = "phone") -> None:
        entry = Entry(spki, signing, "owner", 1, name, 0, ())
        self.listed = self.listed.add(entry, now=int(time.time()))

    def find(self, kid: bytes) -> Entry:
        return self.listed.find(kid, epoch=1, now=int(time.time()))

    def find_key(self, token: bytes) -> GrantedKey:
        try:
            return self.granted[token]
        except KeyError:
            raise NotFound("There is no such key.") from None

    def change(self, value: bytes) -> None:
        """Set ``/value``, and tell who observes it."""
        self.value = value
        for conversation in list(self.conversations):
            conversation.notify()

    def answer(self, request: CoapMessage, holder: Holder | None) -> CoapMessage | None:
        match request.path, request.code:
            case "/echo", _:
                kind = request.option(options.CONTENT_FORMAT)
                chosen = () if kind is None else ((options.CONTENT_FORMAT, kind),)
                return CoapMessage(codes.CONTENT, b"", chosen, request.payload)
            case "/slow", _:
                self.slow += 1
                return None
            case "/count", codes.POST:
                self.count += 1
                return CoapMessage(codes.CHANGED)
            case "/value", codes.GET:
                return CoapMessage(codes.CONTENT, b"", ((options.CONTENT_FORMAT, b""),), self.value)
            case "/value", codes.PUT:
                self.change(request.payload)
                return CoapMessage(codes.CHANGED)
            case "/large", codes.GET:
                return CoapMessage(codes.CONTENT, b"", (), large())
            case ("/forbidden", _):
                return CoapMessage(codes.FORBIDDEN, b"", (), b"guests only")
            case (path, _) if path.startswith("/credentials"):
                return self._credentials(path, request, holder)
        return CoapMessage(codes.NOT_FOUND)

    def _credentials(self, path: str, request: CoapMessage, holder: Holder | None) -> CoapMessage:
        assert isinstance(holder, Entry)
        now = int(time.time())
        try:
            if request.code == codes.POST:
                added = message.decode(request.payload, Entry)
                self.listed = self.listed.add(added, by=holder, now=now)
                return CoapMessage(codes.CREATED)
            if request.code == codes.DELETE:
                self.listed = self.listed.remove(bytes.fromhex(path.rpartition("/")[2]), by=holder, now=now)
                return CoapMessage(codes.DELETED)
        except AdmittanceError as error:
            return CoapMessage(codes.FORBIDDEN, b"", (), str(error).encode())
        rows = [[each.kid, each.role, each.name, each.expires_at] for each in self.listed.entries]
        content_format = (options.CONTENT_FORMAT, options.encode_uint(formats.CBOR))
        return CoapMessage(codes.CONTENT, b"", (content_format,), cbor.encode(rows))

    def admit(self, data: bytes) -> None:
        self.listed = self.listed.admit(data, device_id=DEVICE_ID, now=int(time.time()))


def large() -> bytes:
    return bytes(number % 251 for number in range(20_000))


class Conversation:
    """The device's end of one channel; `send` takes its messages."""

    def __init__(self, device: Device, *, datagrams: bool = False) -> None:
        self.device = device
        self.channel = Channel.responder(
            device.key,
            device.find,
            random=os.urandom,
            admit=device.admit,
            possessors=device.possessors,
            datagrams=datagrams,
        )
        self.news = asyncio.Event()
        self._observed: dict[int, CoapMessage] = {}
        device.conversations.add(self)

    def receive(self, received: CoapMessage) -> None:
        self.channel.receive(received, time.monotonic())
        for event in self.channel.events():
            match event:
                case RequestReceived(handle, holder, request):
                    self._request(handle, holder, request)
                case ObservationEnded(handle):
                    self._observed.pop(handle, None)
        self.news.set()

    def notify(self) -> None:
        for handle, request in list(self._observed.items()):
            answer = self.device.answer(request, None)
            assert answer is not None
            self.channel.notify(handle, answer)
        self.news.set()

    def _request(self, handle: int, holder: Holder | None, request: CoapMessage) -> None:
        answer = self.device.answer(request, holder)
        if answer is None:
            return
        if observe.asked(request) == observe.REGISTER and request.path == "/value":
            self._observed[handle] = request
            self.channel.notify(handle, answer)
        else:
            self.channel.respond(handle, answer)

    @property
    def observations(self) -> int:
        return len(self._observed)


@dataclass
class Relay:
    """A relay with one device. What it is told to do, it does to every upgrade from then on.

    `refuse` answers with a status and a problem's code, `close` with a close code and reason after the upgrade.
    """

    device: Device
    context: ssl.SSLContext
    refuse: tuple[int, str] | None = None
    close: tuple[int, str] | None = None
    wants_nonce: bool = False
    upgrades: list[Request] = field(default_factory=list)
    seen: list[bytes] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._open: dict[WSConnection, asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"wss://localhost:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "localhost", self.port, ssl=self.context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """As a killed process would."""
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._serving)
        await self._server.wait_closed()

    def end(self, code: int) -> None:
        """Close every WebSocket with a code."""
        for socket, writer in list(self._open.items()):
            writer.write(socket.send(CloseConnection(code=code)))

    def cut(self) -> None:
        """Break every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        conversation = Conversation(self.device)
        pump: asyncio.Task[None] | None = None
        try:
            socket = WSConnection(ConnectionType.SERVER)
            self._open[socket] = writer
            pump = asyncio.create_task(self._send(socket, writer, conversation))
            while data := await reader.read(65536):
                socket.receive_data(data)
                for event in socket.events():
                    match event:
                        case Request():
                            writer.write(self._upgrade(socket, event))
                        case BytesMessage(data=part):
                            self.seen.append(bytes(part))
                            conversation.receive(stream.decode(bytes(part)))
                        case Ping():
                            writer.write(socket.send(event.response()))
                        case CloseConnection():
                            if socket.state is ConnectionState.REMOTE_CLOSING:
                                writer.write(socket.send(event.response()))
                            writer.close()
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            if pump is not None:
                pump.cancel()
            self.device.conversations.discard(conversation)
            self._writers.discard(writer)
            self._open = {socket: other for socket, other in self._open.items() if other is not writer}
            writer.close()

    def _upgrade(self, socket: WSConnection, request: Request) -> bytes:
        self.upgrades.append(request)
        if self.wants_nonce and len(self.upgrades) == 1:
            headers = [(b"dpop-nonce", NONCE.encode())]
            return _reject(socket, 401, "use_dpop_nonce", headers)
        if self.refuse is not None:
            return _reject(socket, *self.refuse, [])
        accepted = socket.send(AcceptConnection())
        if self.close is not None:
            code, reason = self.close
            accepted += socket.send(CloseConnection(code=code, reason=reason))
        return accepted

    async def _send(self, socket: WSConnection, writer: asyncio.StreamWriter, conversation: Conversation) -> None:
        while True:
            await conversation.news.wait()
            conversation.news.clear()
            for outgoing in conversation.channel.drain():
                data = stream.encode(outgoing)
                self.seen.append(data)
                writer.write(socket.send(BytesMessage(data=data)))
            with contextlib.suppress(ConnectionError):
                await writer.drain()


def _reject(socket: WSConnection, status: int, code: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    body = msgspec.json.encode({"code": code, "detail": "No."})
    start = RejectConnection(
        status_code=status,
        headers=[*headers, (b"content-type", b"application/problem+json")],
        has_body=True,
    )
    return socket.send(start) + socket.send(RejectData(data=body))


@dataclass
class World:
    """A phone's profile that knows the device, and the relay between the two."""

    store: SessionStore
    device: Device
    relay: Relay

    def know(self, *, relay_urls: list[str] | None = None, **changes: object) -> KnownDevice:
        known = KnownDevice(
            device_id=DEVICE_ID,
            origin=self.store.load().origin,
            channel=self.device.key.credential.spki,
            epoch=1,
            name="lock-1",
            relay_urls=[self.relay.url] if relay_urls is None else relay_urls,
        )
        self.store.devices.keep(msgspec.structs.replace(known, **changes))
        return self.store.devices.find(DEVICE_ID)

    def hold(self, **changes: object) -> HeldKey:
        """Give the device a key, and another profile, `guest`, the same."""
        held = HeldKey(
            device_id=DEVICE_ID,
            origin=self.store.load().origin,
            name="lock-1",
            token=os.urandom(16),
            master_secret=os.urandom(32),
            grant="a grant",
            actions=["GET /value"],
            expires_at=int(time.time()) + 60,
            relay_urls=[self.relay.url],
        )
        scope = (Permission("/value", GET),)
        self.device.granted[held.token] = GrantedKey(
            held.token, held.master_secret, bytes(16), "guest", scope, 0, held.expires_at, 0
        )
        guest = self.other_app("guest")
        guest.key()
        KeyStore(guest.directory).keep(msgspec.structs.replace(held, **changes))
        return KeyStore(guest.directory).find(DEVICE_ID)

    def other_app(self, name: str) -> SessionStore:
        """Another profile, logged in to the same account."""
        store = SessionStore(self.store.directory.parent / name)
        store.save(self.store.load())
        return store


@asynccontextmanager
async def relay_world(folder: Path) -> AsyncIterator[World]:
    """A listed app, logged in, with a device behind a relay."""
    authority = Authority("people")
    device = Device()
    relay = Relay(device, server_context(authority.issue("localhost"), folder))
    await relay.start()
    store = SessionStore(folder / "phone")
    store.save(login(authority))
    DpopKey.generate().save(store.directory / "dpop.key")
    card = store.app_keys().card("phone")
    device.list_app(card.channel, card.signing)
    world = World(store, device, relay)
    world.know()
    try:
        yield world
    finally:
        await relay.stop()


def login(authority: Authority, origin: str = "https://localhost:1") -> Session:
    """A login at a server that is not there: the tests' relay asks nobody."""
    return Session(
        origin=origin,
        ca_pem=ssl.DER_cert_to_PEM_cert(authority.certificate),
        email="anna@example.org",
        account_id="a1",
        access_token=TOKEN,
        refresh_token="",
        expires_at=int(time.time()) + 3600,
    )


def discovers(urls: list[str]) -> Callable[[object], Coroutine[Any, Any, Discovery]]:
    """In place of `ApiClient.discover`: a server that names these relays."""

    async def discover(self: object) -> Discovery:
        return Discovery("https://localhost:1", "", "", urls)

    return discover


async def until(condition: Callable[[], bool]) -> None:
    """Wait, for 10 s at most, until `condition()` holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)
