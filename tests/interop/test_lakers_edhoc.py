"""Handshakes with peers that are none of ours: bare lakers over our CoAP payloads, and aiocoap over UDP."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiocoap
import cbor2
import lakers
import pytest
from aiocoap import resource
from aiocoap.credentials import CredentialsMap
from aiocoap.edhoc import EdhocCredentials
from aiocoap.oscore_sitewrapper import OscoreSiteWrapper
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.demo.ports import free_ports
from admittance.errors import NotFound
from admittance.protocol.channel.channel import (
    Channel,
    Established,
    Event,
    RequestFailed,
    RequestReceived,
    ResponseReceived,
)
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.protocol.channel.oscore import SecurityContext
from admittance.wire.channel import Credential, Entry
from admittance.wire.coap import codes, stream
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import CONTENT_FORMAT, OBSERVE, path_options
from tests.interop.udp_endpoint import UdpEndpoint

BY_REFERENCE = lakers.CredentialTransfer.ByReference
DEVICE, APP, STRANGER = (ChannelKey(ec.generate_private_key(ec.SECP256R1())) for _ in range(3))
NOW = 100.0


def find(kid: bytes) -> Entry:
    if kid != APP.credential.kid:
        raise NotFound("There is no such credential.")
    return Entry(APP.credential.spki, b"", "owner", 1, "phone", 0, ())


def device() -> Channel:
    return Channel.responder(DEVICE, find, random=secrets.token_bytes)


def carried(message: CoapMessage) -> CoapMessage:
    """Over the wire: what was encoded is what arrives."""
    return stream.decode(stream.encode(message))


def exporter(side: Any, sender_id: bytes, recipient_id: bytes) -> SecurityContext:
    return SecurityContext.derive(
        bytes(side.edhoc_exporter(0, b"", 16)),
        master_salt=bytes(side.edhoc_exporter(1, b"", 8)),
        sender_id=sender_id,
        recipient_id=recipient_id,
    )


def edhoc_post(payload: bytes) -> CoapMessage:
    return CoapMessage(codes.POST, b"\x01", path_options("/.well-known/edhoc"), payload)


def answered(channel: Channel, message: CoapMessage) -> CoapMessage:
    channel.receive(carried(message), NOW)
    (response,) = channel.drain()
    return carried(response)


def test_bare_lakers_opens_a_channel_to_our_device() -> None:
    channel, initiator = device(), lakers.EdhocInitiator()
    response = answered(channel, edhoc_post(b"\xf5" + initiator.prepare_message_1(b"\x37")))
    assert response.code == codes.CHANGED
    assert response.option(CONTENT_FORMAT) == b"\x40"
    c_r, id_cred_r, _ = initiator.parse_message_2(response.payload)
    assert id_cred_r == cbor2.dumps({4: DEVICE.credential.kid})
    initiator.verify_message_2(APP.scalar, APP.credential.value, DEVICE.credential.value)
    message_3, _ = initiator.prepare_message_3(BY_REFERENCE, [])
    response = answered(channel, edhoc_post(bytes(c_r) + bytes(message_3)))
    initiator.process_message_4(response.payload)
    context = exporter(initiator, sender_id=bytes(c_r), recipient_id=b"\x37")
    outer, exchange = context.protect_request(CoapMessage(codes.GET, b"\x02", path_options("/lock")))
    channel.receive(carried(outer), NOW)
    established, received = channel.events()
    assert isinstance(established, Established)
    assert isinstance(received, RequestReceived)
    channel.respond(received.handle, CoapMessage(codes.CONTENT, payload=b"locked"))
    (answer,) = channel.drain()
    assert context.unprotect_response(carried(answer), exchange).payload == b"locked"


def test_our_app_opens_a_channel_to_bare_lakers() -> None:
    channel = Channel.initiator(APP, DEVICE.credential, random=random.Random(1).randbytes)
    handle = channel.request(CoapMessage(codes.GET, options=path_options("/lock")), NOW)
    responder = lakers.EdhocResponder(DEVICE.scalar, DEVICE.credential.value)
    (request,) = channel.drain()
    assert request.payload[:1] == b"\xf5"
    c_i, _ = responder.process_message_1(request.payload[1:])
    message_2 = bytes(responder.prepare_message_2(BY_REFERENCE, b"\x27"))
    request = answered(channel, CoapMessage(codes.CHANGED, request.token, payload=message_2))
    assert request.payload[:1] == b"\x27"
    id_cred_i, _ = responder.parse_message_3(request.payload[1:])
    assert id_cred_i == cbor2.dumps({4: APP.credential.kid})
    responder.verify_message_3(APP.credential.value)
    message_4 = bytes(responder.prepare_message_4())
    outer = answered(channel, CoapMessage(codes.CHANGED, request.token, payload=message_4))
    context = exporter(responder, sender_id=bytes(c_i), recipient_id=b"\x27")
    inner, exchange = context.unprotect_request(outer)
    assert inner.path == "/lock"
    answer = context.protect_response(CoapMessage(codes.CONTENT, inner.token, payload=b"locked"), exchange)
    channel.receive(carried(answer), NOW)
    assert channel.events()[-1] == ResponseReceived(handle, CoapMessage(codes.CONTENT, payload=b"locked"), more=False)


class Talking:
    """One of our channels over a real UDP socket."""

    def __init__(self, channel: Channel, answer: Callable[[RequestReceived], None] | None = None) -> None:
        self.channel = channel
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self._answer = answer
        self._peer: Any = None

    def received(self, udp: UdpEndpoint, message: CoapMessage, peer: Any) -> None:
        self._peer = peer
        self.channel.receive(message, asyncio.get_running_loop().time())
        self.advance(udp, peer)

    def advance(self, udp: UdpEndpoint, peer: Any) -> None:
        for event in self.channel.events():
            self.events.put_nowait(event)
            if isinstance(event, RequestReceived) and self._answer is not None:
                self._answer(event)
        for message in self.channel.drain():
            udp.send(message, peer)

    async def next(self, kind: type[Event]) -> Any:
        """The next event of a kind."""
        async with asyncio.timeout(10):
            while True:
                event = await self.events.get()
                assert not isinstance(event, RequestFailed)
                if isinstance(event, kind):
                    return event


@asynccontextmanager
async def our_device() -> AsyncIterator[tuple[int, Talking, UdpEndpoint]]:
    channel = Channel.responder(DEVICE, find, random=secrets.token_bytes, datagrams=True)

    def answer(event: RequestReceived) -> None:
        if event.message.option(OBSERVE) is not None:
            channel.notify(event.handle, CoapMessage(codes.CONTENT, payload=b"20"))
            return
        code = codes.CONTENT if event.message.code == codes.GET else codes.CHANGED
        channel.respond(event.handle, CoapMessage(code, payload=event.message.payload[::-1] or b"locked"))

    talking = Talking(channel, answer)
    async with UdpEndpoint.open(talking.received) as udp:
        yield udp.port, talking, udp


def private_map(key: ChannelKey) -> dict[int, object]:
    return {1: 2, -1: 1, -4: key.scalar}


def stock_credentials(own: ChannelKey, peer: Credential) -> EdhocCredentials:
    return EdhocCredentials(
        suite=2,
        method=3,
        own_cred_style="by-key-id",
        own_cred={14: cbor2.loads(own.credential.value)},
        peer_cred={14: cbor2.loads(peer.value)},
        private_key=private_map(own),
        use_combined_edhoc=False,
    )


@asynccontextmanager
async def stock_client(port: int, own: ChannelKey) -> AsyncIterator[aiocoap.Context]:
    context = await aiocoap.Context.create_client_context(transports=["oscore", "simple6"])
    context.client_credentials[f"coap://127.0.0.1:{port}/*"] = stock_credentials(own, DEVICE.credential)
    try:
        yield context
    finally:
        await context.shutdown()


async def ask(client: aiocoap.Context, port: int, path: str, **fields: Any) -> aiocoap.Message:
    request = aiocoap.Message(uri=f"coap://127.0.0.1:{port}{path}", **{"code": aiocoap.GET} | fields)
    return await asyncio.wait_for(client.request(request).response, 20)


@pytest.mark.parametrize("size", [0, 10, 1024, 1025, 5000])
async def test_a_stock_client_opens_a_channel_to_our_device(size: int) -> None:
    async with our_device() as (port, talking, _), stock_client(port, APP) as client:
        response = await ask(client, port, "/lock")
        assert (response.code, response.payload) == (aiocoap.CONTENT, b"locked")
        body = bytes(number % 251 for number in range(size)) or b"x"
        response = await ask(client, port, "/firmware", code=aiocoap.PUT, payload=body)
        assert (response.code, response.payload) == (aiocoap.CHANGED, body[::-1])
        received = [talking.events.get_nowait() for _ in range(talking.events.qsize())]
        assert sum(isinstance(event, RequestReceived) for event in received) == 2


async def test_a_stock_client_that_is_not_listed_gets_nothing() -> None:
    async with our_device() as (port, talking, _), stock_client(port, STRANGER) as client:
        with pytest.raises(aiocoap.error.Error):
            await ask(client, port, "/lock")
        assert talking.events.empty()


async def test_a_stock_client_observes_our_device() -> None:
    async with our_device() as (port, talking, udp), stock_client(port, APP) as client:
        request = client.request(
            aiocoap.Message(code=aiocoap.GET, uri=f"coap://127.0.0.1:{port}/temperature", observe=0)
        )
        first = await asyncio.wait_for(request.response, 20)
        assert first.payload == b"20"
        notifications = request.observation.__aiter__()
        call: RequestReceived = await talking.next(RequestReceived)
        for value in (b"21", b"22"):
            talking.channel.notify(call.handle, CoapMessage(codes.CONTENT, payload=value))
            talking.advance(udp, talking._peer)
            notification = await asyncio.wait_for(anext(notifications), 10)
            assert notification.payload == value
        request.observation.cancel()


class Echo(resource.Resource):
    async def render_put(self, request: aiocoap.Message) -> aiocoap.Message:
        return aiocoap.Message(code=aiocoap.CHANGED, payload=request.payload[::-1])


@pytest.mark.parametrize("size", [1, 1024, 1025, 5000])
async def test_our_app_opens_a_channel_to_a_stock_server(size: int) -> None:
    site = resource.Site()
    site.add_resource(["echo"], Echo())
    (port,) = free_ports(1)
    credentials = CredentialsMap()
    credentials[f"coap://127.0.0.1:{port}/*"] = stock_credentials(DEVICE, APP.credential)
    credentials[":app"] = stock_credentials(DEVICE, APP.credential)
    server = await aiocoap.Context.create_server_context(
        OscoreSiteWrapper(site, credentials), bind=("127.0.0.1", port), transports=["simplesocketserver"]
    )
    channel = Channel.initiator(APP, DEVICE.credential, random=secrets.token_bytes, datagrams=True)
    talking = Talking(channel)
    body = bytes(number % 251 for number in range(size))
    try:
        async with UdpEndpoint.open(talking.received) as udp:
            channel.request(
                CoapMessage(codes.PUT, options=path_options("/echo"), payload=body), asyncio.get_running_loop().time()
            )
            talking.advance(udp, ("127.0.0.1", port))
            answer: ResponseReceived = await talking.next(ResponseReceived)
            assert (answer.message.code, answer.message.payload) == (codes.CHANGED, body[::-1])
    finally:
        await server.shutdown()
