"""The device on UDP: who may knock, and how many."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import cbor2
import pytest

from admittance.device.local import network as networks
from admittance.device.local.network import LocalAddress, LocalNetwork, Share
from admittance.errors import ConfigurationError
from admittance.protocol.channel.channel import Channel
from admittance.protocol.channel.events import Established, Event, ResponseReceived
from admittance.protocol.coap.reliability import DatagramEndpoint, MessageReceived
from admittance.wire.ace import RequestHints
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import OSCORE, path_options
from tests.unit.device.channel.apps import DEVICE, App, House

PATIENCE_S = 10.0
SOCKETS: list["Socket"] = []


class Socket(asyncio.DatagramProtocol):
    """A socket that is connected to the device, with CoAP's message layer on it."""

    def __init__(self) -> None:
        self.endpoint = DatagramEndpoint(os.urandom)
        self.received: asyncio.Queue[CoapMessage] = asyncio.Queue()
        self.transport: asyncio.DatagramTransport | None = None

    @classmethod
    async def open(cls, port: int) -> "Socket":
        transport, socket = await asyncio.get_running_loop().create_datagram_endpoint(
            cls, remote_addr=("127.0.0.1", port)
        )
        socket.transport = transport
        SOCKETS.append(socket)
        return socket

    def send(self, message: CoapMessage) -> None:
        self.endpoint.send(message, "device", time.monotonic())
        self._flush()

    def raw(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.sendto(data)

    def close(self) -> None:
        assert self.transport is not None
        self.transport.close()

    async def next(self) -> CoapMessage:
        async with asyncio.timeout(PATIENCE_S):
            return await self.received.get()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.endpoint.receive(data, "device", time.monotonic())
        for event in self.endpoint.events():
            if isinstance(event, MessageReceived):
                self.received.put_nowait(event.message)
        self._flush()

    def _flush(self) -> None:
        for data, _ in self.endpoint.drain():
            self.raw(data)


@asynccontextmanager
async def on_network(house: House) -> AsyncIterator[int]:
    """The port of a device on 127.0.0.1."""
    ports: list[int] = []

    def log(event: str, **fields: str | int | float | bool | None) -> None:
        if event == "local_opened":
            ports.append(int(fields["port"] or 0))

    network = LocalNetwork(LocalAddress("127.0.0.1", 0), DEVICE, house.conversations, os.urandom, log)
    await network.open()
    try:
        yield ports[0]
    finally:
        await network.close()
        while SOCKETS:
            SOCKETS.pop().close()


async def talk(socket: Socket, channel: Channel, until: type[Event]) -> Event:
    """Work until the channel tells of an event of that kind."""
    while True:
        channel.handle_timeout(time.monotonic())
        for message in channel.drain():
            socket.send(message)
        for event in channel.events():
            if isinstance(event, until):
                return event
        channel.receive(await socket.next(), time.monotonic())


async def opened(port: int, house: House, app: App) -> tuple[Socket, Channel]:
    socket = await Socket.open(port)
    channel = Channel.initiator(app.channel_key, house.credential, random=os.urandom, datagrams=True)
    await talk(socket, channel, Established)
    return socket, channel


async def asked(socket: Socket, channel: Channel, path: str) -> CoapMessage:
    channel.request(CoapMessage(codes.GET, options=path_options(path)), time.monotonic())
    event = await talk(socket, channel, ResponseReceived)
    assert isinstance(event, ResponseReceived)
    return event.message


async def test_an_owner_talks_on_the_local_network(tmp_path: Path) -> None:
    owner = App("phone")
    house = House(tmp_path, owner)
    async with on_network(house) as port:
        socket, channel = await opened(port, house, owner)
        assert cbor2.loads((await asked(socket, channel, "/lamp")).payload) == {"level": 1}
        assert len(house.conversations) == 1
    assert len(house.conversations) == 0


async def test_a_stranger_is_told_no_more_than_that_it_must_knock_and_once_a_second_where_a_token_is_to_be_had(
    tmp_path: Path,
) -> None:
    house = House(tmp_path, App("phone"))
    async with on_network(house) as port:
        socket = await Socket.open(port)
        told: list[CoapMessage] = []
        for message in (
            CoapMessage(codes.GET, b"a", path_options("/lamp")),
            CoapMessage(codes.POST, b"a", ((OSCORE, b"\x09\x00\x01"),), b"sealed"),
            CoapMessage(codes.POST, b"a", path_options("/credentials")),
        ):
            socket.send(message)
            told.append(await socket.next())
        assert {(answer.code, answer.token) for answer in told} == {(codes.UNAUTHORIZED, b"a")}
        assert RequestHints.decode(told[0].payload).audience == f"https://localhost/d/{DEVICE}"
        assert [answer.payload for answer in told[1:]] == [b"", b""]
        for data in (b"", b"\xff", b"\x40\x01", os.urandom(200)):
            socket.raw(data)
        assert len(house.conversations) == 0


async def test_peers_that_prove_nothing_make_room_for_those_that_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "MAX_PEERS", 4)
    owner = App("phone")
    house = House(tmp_path, owner)
    async with on_network(house) as port:
        socket, channel = await opened(port, house, owner)
        for _ in range(8):
            knocking = await Socket.open(port)
            knocking.send(CoapMessage(codes.POST, b"a", path_options("/.well-known/edhoc"), b"\xf5"))
            assert (await knocking.next()).code == codes.BAD_REQUEST
        assert len(house.conversations) == 4
        assert (await asked(socket, channel, "/lamp")).code == codes.CONTENT


async def test_who_has_a_channel_is_served_where_strangers_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = App("phone")
    house = House(tmp_path, owner)
    async with on_network(house) as port:
        socket, channel = await opened(port, house, owner)
        with monkeypatch.context() as patched:
            patched.setattr(Share, "has_some", lambda *_: False)
            knocking = await Socket.open(port)
            knocking.send(CoapMessage(codes.GET, b"a"))
            assert (await asked(socket, channel, "/lamp")).code == codes.CONTENT
        knocking.send(CoapMessage(codes.GET, b"b"))
        assert (await knocking.next()).token == b"b"
        assert knocking.received.empty()


def test_a_share_of_the_time_is_used_up_and_grows_again() -> None:
    share = Share(0.5, at_once_s=1.0)
    assert share.has_some(100.0)
    share.spend(1.25)
    assert not share.has_some(100.0)
    assert not share.has_some(100.5)
    assert share.has_some(100.75)
    share.spend(0.125)
    assert not share.has_some(100.75)
    assert share.has_some(1000.0)
    share.spend(1.0)
    assert not share.has_some(1000.0)


@pytest.mark.parametrize(
    "text", ["", "5683", "localhost:5683", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", "0.0.0.0:5683"]
)
def test_what_is_no_address_of_this_machine_is_a_mistake(text: str) -> None:
    with pytest.raises(ConfigurationError):
        LocalAddress.parse(text)


async def test_an_address_of_another_machine_is_a_mistake(tmp_path: Path) -> None:
    house = House(tmp_path, App("phone"))
    address = LocalAddress.parse("192.0.2.1:5683")
    with pytest.raises(ConfigurationError):
        await LocalNetwork(address, DEVICE, house.conversations, os.urandom, house.log).open()
