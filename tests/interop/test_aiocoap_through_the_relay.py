"""aiocoap at either end of a channel through a real relay node: its handshake and OSCORE over UDP, to a bridge that
carries each message as it is between its datagrams and a stream."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiocoap
import pytest
from aiocoap import resource
from aiocoap.credentials import CredentialsMap
from aiocoap.oscore_sitewrapper import OscoreSiteWrapper

from admittance.demo.ports import free_ports
from admittance.protocol.channel.channel import Channel, RequestReceived, ResponseReceived
from admittance.protocol.relay.device_mux import StreamMessage
from admittance.server.database import Database
from admittance.transport.websocket import WebSocket
from admittance.wire.coap import codes, stream
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import path_options
from tests.interop.test_lakers_edhoc import APP, DEVICE, Echo, ask, device, stock_client, stock_credentials
from tests.interop.udp_endpoint import UdpEndpoint
from tests.unit.server.relay.relay_world import DeviceEnd, relay_site

WITHIN_S = 20


@asynccontextmanager
async def relayed(database: Database, folder: Path) -> AsyncIterator[tuple[WebSocket, DeviceEnd]]:
    """An app and a device that a relay node connects."""
    async with relay_site(database, folder) as site:
        owner = await site.world.account()
        lamp = await site.enrolled(owner)
        end = await site.device(lamp)
        yield await site.app(await site.login(owner), lamp.device_id), end


@asynccontextmanager
async def running(*loops: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def sent(queue: "asyncio.Queue[CoapMessage]", send: Callable[[bytes], Any]) -> None:
    while True:
        await send(stream.encode(await queue.get()))


async def test_a_stock_client_talks_to_our_device(sqlite_database: Database, tmp_path: Path) -> None:
    channel, asked = device(), asyncio.Queue[CoapMessage]()
    peers: list[Any] = []

    def received(_: UdpEndpoint, message: CoapMessage, peer: Any) -> None:
        peers[:] = [peer]
        asked.put_nowait(message)

    async def answering(end: DeviceEnd) -> None:
        while True:
            event = await end.event()
            if not isinstance(event, StreamMessage):
                continue
            channel.receive(stream.decode(event.data), asyncio.get_running_loop().time())
            for each in channel.events():
                if isinstance(each, RequestReceived):
                    payload = each.message.payload[::-1] or b"locked"
                    channel.respond(each.handle, CoapMessage(codes.CONTENT, payload=payload))
            for message in channel.drain():
                await end.send(event.stream, stream.encode(message))

    async def returning(phone: WebSocket, udp: UdpEndpoint) -> None:
        while True:
            udp.send(stream.decode(await phone.receive()), peers[0])

    async with (
        relayed(sqlite_database, tmp_path) as (phone, end),
        UdpEndpoint.open(received) as udp,
        running(sent(asked, phone.send), answering(end), returning(phone, udp)),
        stock_client(udp.port, APP) as client,
    ):
        response = await ask(client, udp.port, "/lock")
        assert response.payload == b"locked"
        body = bytes(range(200))
        response = await ask(client, udp.port, "/lock", code=aiocoap.POST, payload=body)
        assert response.payload == body[::-1]


@pytest.mark.parametrize("size", [1, 500])
async def test_our_app_talks_to_a_stock_server(sqlite_database: Database, tmp_path: Path, size: int) -> None:
    pages = resource.Site()
    pages.add_resource(["echo"], Echo())
    (port,) = free_ports(1)
    credentials = CredentialsMap()
    credentials[f"coap://127.0.0.1:{port}/*"] = stock_credentials(DEVICE, APP.credential)
    credentials[":app"] = stock_credentials(DEVICE, APP.credential)
    server = await aiocoap.Context.create_server_context(
        OscoreSiteWrapper(pages, credentials), bind=("127.0.0.1", port), transports=["simplesocketserver"]
    )
    channel = Channel.initiator(APP, DEVICE.credential, random=secrets.token_bytes)
    answers = asyncio.Queue[CoapMessage]()

    def received(_: UdpEndpoint, message: CoapMessage, __: Any) -> None:
        answers.put_nowait(message)

    async def asking(end: DeviceEnd, udp: UdpEndpoint) -> None:
        while True:
            event = await end.event()
            if isinstance(event, StreamMessage):
                udp.send(stream.decode(event.data), ("127.0.0.1", port))

    async def talk(phone: WebSocket, body: bytes) -> CoapMessage:
        now = asyncio.get_running_loop().time
        channel.request(CoapMessage(codes.PUT, options=path_options("/echo"), payload=body), now())
        while True:
            for message in channel.drain():
                await phone.send(stream.encode(message))
            for event in channel.events():
                if isinstance(event, ResponseReceived):
                    return event.message
            channel.receive(stream.decode(await phone.receive()), now())

    body = secrets.token_bytes(size)
    try:
        async with (
            relayed(sqlite_database, tmp_path) as (phone, end),
            UdpEndpoint.open(received) as udp,
            running(sent(answers, lambda data: end.send(1, data)), asking(end, udp)),
        ):
            answer = await asyncio.wait_for(talk(phone, body), WITHIN_S)
        assert (answer.code, answer.payload) == (codes.CHANGED, body[::-1])
    finally:
        await server.shutdown()
