"""OSCORE over UDP with aiocoap: a stock client against our server, our client against a stock server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiocoap
import pytest
from aiocoap import resource
from aiocoap.credentials import CredentialsMap
from aiocoap.oscore_sitewrapper import OscoreSiteWrapper

from admittance.demo.ports import free_ports
from admittance.protocol.channel.oscore import A128GCM, AES_CCM_16_64_128, Algorithm, ReplayWindow, SecurityContext
from admittance.wire.coap import codes
from admittance.wire.coap import options as opt
from admittance.wire.coap.message import CoapMessage
from tests.interop.aiocoap_oscore import PeerContext
from tests.interop.udp_endpoint import OscoreClient, OscoreServer, UdpEndpoint

SECRET = bytes(range(16))
ALGORITHMS = pytest.mark.parametrize(
    ("algorithm", "name"), [(AES_CCM_16_64_128, "AES-CCM-16-64-128"), (A128GCM, "A128GCM")]
)


def our_server(algorithm: Algorithm, window: int | ReplayWindow = 64) -> SecurityContext:
    return SecurityContext.derive(SECRET, sender_id=b"\x0b", recipient_id=b"\x0a", algorithm=algorithm, window=window)


def our_client(algorithm: Algorithm) -> SecurityContext:
    return SecurityContext.derive(SECRET, sender_id=b"\x0a", recipient_id=b"\x0b", algorithm=algorithm)


def answer(request: CoapMessage) -> CoapMessage:
    observe = tuple(option for option in request.options if option[0] == opt.OBSERVE)
    code = codes.CHANGED if request.code == codes.POST else codes.CONTENT
    return CoapMessage(code, request.token, observe, request.payload + b" from " + request.path.encode())


@asynccontextmanager
async def stock_client(port: int, name: str) -> AsyncIterator[aiocoap.Context]:
    context = await aiocoap.Context.create_client_context(transports=["oscore", "simple6"])
    peer = PeerContext(SECRET, sender_id=b"\x0a", recipient_id=b"\x0b", algorithm=name)
    context.client_credentials[f"coap://127.0.0.1:{port}/*"] = peer
    try:
        yield context
    finally:
        await context.shutdown()


class Echo(resource.Resource):
    async def render_post(self, request: aiocoap.Message) -> aiocoap.Message:
        return aiocoap.Message(code=aiocoap.CHANGED, payload=request.payload)


class Slow(resource.Resource):
    async def render_get(self, request: aiocoap.Message) -> aiocoap.Message:
        await asyncio.sleep(1)
        return aiocoap.Message(payload=b"at last")


class Temperature(resource.ObservableResource):
    value = 20

    async def render_get(self, request: aiocoap.Message) -> aiocoap.Message:
        return aiocoap.Message(payload=str(self.value).encode())

    def change(self) -> None:
        self.value += 1
        self.updated_state()


@asynccontextmanager
async def stock_server(context: PeerContext, temperature: Temperature) -> AsyncIterator[int]:
    site = resource.Site()
    site.add_resource(["echo"], Echo())
    site.add_resource(["slow"], Slow())
    site.add_resource(["temperature"], temperature)
    credentials = CredentialsMap()
    credentials[":client"] = context
    (port,) = free_ports(1)
    server = await aiocoap.Context.create_server_context(
        OscoreSiteWrapper(site, credentials), bind=("127.0.0.1", port), transports=["simplesocketserver"]
    )
    try:
        yield port
    finally:
        await server.shutdown()


@ALGORITHMS
async def test_a_stock_client_asks_our_server(algorithm: Algorithm, name: str) -> None:
    server = OscoreServer(our_server(algorithm), answer)
    async with UdpEndpoint.open(server.received) as udp, stock_client(udp.port, name) as client:
        for number in range(5):
            payload = b"hello %d" % number
            uri = f"coap://127.0.0.1:{udp.port}/a/b?c"
            request = aiocoap.Message(code=aiocoap.POST, uri=uri, payload=payload)
            response = await asyncio.wait_for(client.request(request).response, 10)
            assert response.code == aiocoap.CHANGED
            assert response.payload == payload + b" from /a/b"
        assert [request.option(opt.URI_QUERY) for request in server.requests] == [b"c"] * 5


async def test_a_stock_client_sends_again_what_was_lost() -> None:
    server = OscoreServer(our_server(AES_CCM_16_64_128), answer)
    async with UdpEndpoint.open(server.received) as udp, stock_client(udp.port, "AES-CCM-16-64-128") as client:
        udp.drop_next = 1
        request = aiocoap.Message(code=aiocoap.GET, uri=f"coap://127.0.0.1:{udp.port}/a")
        response = await asyncio.wait_for(client.request(request).response, 10)
        assert response.payload == b" from /a"
        assert len(server.requests) == 1


@ALGORITHMS
async def test_a_stock_client_observes_our_server(algorithm: Algorithm, name: str) -> None:
    server = OscoreServer(our_server(algorithm), answer)
    async with UdpEndpoint.open(server.received) as udp, stock_client(udp.port, name) as client:
        request = aiocoap.Message(code=aiocoap.GET, uri=f"coap://127.0.0.1:{udp.port}/temperature", observe=0)
        asked = client.request(request)
        assert (await asyncio.wait_for(asked.response, 10)).payload == b" from /temperature"
        token = server.requests[0].token
        observation = aiter(asked.observation)
        for number in range(1, 4):
            observe = (opt.OBSERVE, bytes([number]))
            server.notify(udp, CoapMessage(codes.CONTENT, token, (observe,), b"%d" % number))
            notification = await asyncio.wait_for(anext(observation), 10)
            assert notification.payload == b"%d" % number
        asked.observation.cancel()


async def test_a_stock_client_proves_to_be_fresh_after_our_restart() -> None:
    server = OscoreServer(our_server(AES_CCM_16_64_128, ReplayWindow(lost=True)), answer)
    async with UdpEndpoint.open(server.received) as udp, stock_client(udp.port, "AES-CCM-16-64-128") as client:
        for _ in range(2):
            request = aiocoap.Message(code=aiocoap.GET, uri=f"coap://127.0.0.1:{udp.port}/lock")
            response = await asyncio.wait_for(client.request(request).response, 10)
            assert response.payload == b" from /lock"
        assert len(server.requests) == 2


@ALGORITHMS
async def test_our_client_asks_a_stock_server(algorithm: Algorithm, name: str) -> None:
    temperature = Temperature()
    context = PeerContext(SECRET, sender_id=b"\x0b", recipient_id=b"\x0a", algorithm=name)
    async with stock_server(context, temperature) as port:
        client = OscoreClient(our_client(algorithm), ("127.0.0.1", port))
        async with UdpEndpoint.open(client.received) as udp:
            for number in range(5):
                payload = bytes([number]) * 64
                request = CoapMessage(codes.POST, bytes([number]), opt.path_options("/echo"), payload)
                response = await client.request(udp, request)
                assert (response.code, response.payload) == (codes.CHANGED, payload)
            missing = await client.request(udp, CoapMessage(codes.GET, b"\x77", opt.path_options("/missing")))
            assert missing.code == codes.NOT_FOUND
            slow = await client.request(udp, CoapMessage(codes.GET, b"\x78", opt.path_options("/slow")))
            assert slow.payload == b"at last"


@ALGORITHMS
async def test_our_client_observes_a_stock_server(algorithm: Algorithm, name: str) -> None:
    temperature = Temperature()
    context = PeerContext(SECRET, sender_id=b"\x0b", recipient_id=b"\x0a", algorithm=name)
    async with stock_server(context, temperature) as port:
        client = OscoreClient(our_client(algorithm), ("127.0.0.1", port))
        async with UdpEndpoint.open(client.received) as udp:
            register = CoapMessage(codes.GET, b"\x01", ((opt.OBSERVE, b""), *opt.path_options("/temperature")))
            assert (await client.request(udp, register)).payload == b"20"
            for expected in (b"21", b"22", b"23"):
                temperature.change()
                assert (await client.response(b"\x01")).payload == expected


async def test_our_client_proves_to_be_fresh_after_a_stock_server_restarted() -> None:
    context = PeerContext(SECRET, sender_id=b"\x0b", recipient_id=b"\x0a")
    context.lose_window(b"fresh")
    async with stock_server(context, Temperature()) as port:
        client = OscoreClient(our_client(AES_CCM_16_64_128), ("127.0.0.1", port))
        async with UdpEndpoint.open(client.received) as udp:
            request = CoapMessage(codes.POST, b"\x01", opt.path_options("/echo"), b"hello")
            assert (await client.request(udp, request)).payload == b"hello"
