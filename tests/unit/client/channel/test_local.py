"""Channels over the local network: multicast DNS finds the device, UDP carries the channel."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from zeroconf import ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

from admittance.client.channel import discovery
from admittance.client.channel.connecting import connect, connect_as
from admittance.client.channel.content import Content
from admittance.client.channel.local_link import LocalLink
from admittance.errors import AdmittanceError, ChannelLost, DeviceOffline
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.protocol.coap.reliability import DatagramEndpoint, MessageReceived
from tests.unit.client.channel.relay_world import (
    DEVICE_ID,
    Conversation,
    Device,
    World,
    large,
    relay_world,
)

LOOPBACK = "127.0.0.1"


class DeviceSocket(asyncio.DatagramProtocol):
    """The device's UDP socket, with one conversation for each peer."""

    def __init__(self, device: Device) -> None:
        self.endpoint = DatagramEndpoint(lambda size: bytes(size))
        self._device = device
        self._peers: dict[Any, Conversation] = {}
        self._task = asyncio.create_task(self._run())
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.endpoint.receive(data, addr, time.monotonic())
        for event in self.endpoint.events():
            if isinstance(event, MessageReceived):
                if addr not in self._peers:
                    self._peers[addr] = Conversation(self._device, datagrams=True)
                self._peers[addr].receive(event.message)
        self._flush()

    def _flush(self) -> None:
        for peer, conversation in self._peers.items():
            for message in conversation.channel.drain():
                self.endpoint.send(message, peer, time.monotonic())
        assert self.transport is not None
        for data, peer in self.endpoint.drain():
            self.transport.sendto(data, cast(Any, peer))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(0.01)
            self.endpoint.handle_timeout(time.monotonic())
            self._flush()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        assert self.transport is not None
        self.transport.close()


@asynccontextmanager
async def device_socket(device: Device) -> AsyncIterator[tuple[str, int]]:
    loop = asyncio.get_running_loop()
    transport, served = await loop.create_datagram_endpoint(lambda: DeviceSocket(device), local_addr=(LOOPBACK, 0))
    try:
        yield transport.get_extra_info("sockname")
    finally:
        await served.close()


@asynccontextmanager
async def announced(port: int) -> AsyncIterator[None]:
    """The device announced by zeroconf's own responder."""
    zeroconf = AsyncZeroconf(interfaces=[LOOPBACK])
    info = ServiceInfo(
        discovery.SERVICE,
        f"{DEVICE_ID}.{discovery.SERVICE}",
        addresses=[socket.inet_aton(LOOPBACK)],
        port=port,
        properties={"id": DEVICE_ID},
        server="device.local.",
    )
    registered = await zeroconf.async_register_service(info)
    try:
        await registered
        yield
    finally:
        await zeroconf.async_close()


@asynccontextmanager
async def local_world(folder: Path) -> AsyncIterator[tuple[World, Any]]:
    """A profile that is not logged in, and how it finds the device's socket."""
    async with relay_world(folder) as world, device_socket(world.device) as address:
        world.store.clear()

        async def find(device_id: str) -> tuple[str, int]:
            return address

        yield world, find


def own_key(world: World) -> ChannelKey:
    return ChannelKey(world.store.app_keys().channel)


async def test_a_device_is_talked_to_without_server_and_login(tmp_path: Path) -> None:
    async with local_world(tmp_path) as (world, find):
        known = world.store.devices.find(DEVICE_ID)
        async with connect_as(world.store, known, own_key(world), local=True, find=find) as device:
            assert (await device.get("/value")).text() == "0"
            assert (await device.post("/echo", Content(large()))).payload == large()
            assert (await device.get("/large")).payload == large()
            async with aclosing(device.observe("/value")) as contents:
                assert (await anext(contents)).text() == "0"
                world.device.change(b"1")
                assert (await anext(contents)).text() == "1"
        assert world.relay.upgrades == []


async def test_multicast_dns_finds_the_device(tmp_path: Path) -> None:
    async with announced(5683):
        assert await discovery.find(DEVICE_ID, interfaces=[LOOPBACK]) == (LOOPBACK, 5683)
        with pytest.raises(DeviceOffline, match="local network"):
            await discovery.find("ADAAAAAAAAAAAAAAAAAAAA", interfaces=[LOOPBACK], find_timeout_s=0.3)


async def test_the_local_network_steps_in_where_no_relay_leads_to_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with relay_world(tmp_path) as world, device_socket(world.device) as address:

        async def find(device_id: str) -> tuple[str, int]:
            return address

        monkeypatch.setattr("admittance.client.channel.discovery.find", find)
        world.relay.refuse = (503, "device_offline")
        monkeypatch.setattr("admittance.client.api.ApiClient.discover", offline)
        async with connect(world.store, DEVICE_ID) as device:
            assert (await device.get("/value")).text() == "0"


async def offline(self: object) -> None:
    raise DeviceOffline("The device is not connected.")


async def test_what_is_at_the_address_must_be_the_device(tmp_path: Path) -> None:
    impostor = Device()
    async with local_world(tmp_path) as (world, _), device_socket(impostor) as address:

        async def find(device_id: str) -> tuple[str, int]:
            return address

        known = world.store.devices.find(DEVICE_ID)
        with pytest.raises(AdmittanceError, match="does not let this app in"):
            async with connect_as(world.store, known, own_key(world), local=True, find=find):
                pass


async def test_an_address_where_nobody_listens_is_an_offline_device(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind((LOOPBACK, 0))
        port = bound.getsockname()[1]
    async with local_world(tmp_path) as (world, _):

        async def find(device_id: str) -> tuple[str, int]:
            return LOOPBACK, port

        known = world.store.devices.find(DEVICE_ID)
        with pytest.raises(DeviceOffline, match="does not answer"):
            async with connect_as(world.store, known, own_key(world), local=True, find=find):
                pass


async def test_a_closed_link_says_so(tmp_path: Path) -> None:
    link = await LocalLink.open(DEVICE_ID, (LOOPBACK, 9))
    await link.close()
    await link.close()
    with pytest.raises(ChannelLost):
        await link.receive()
    with pytest.raises(ChannelLost):
        await link.receive()
