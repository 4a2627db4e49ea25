"""The proxy before a device, datagram by datagram."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from admittance.client.channel.connecting import connect
from admittance.client.channel.proxy import MAX_CLIENTS, MAX_REQUESTS, serve_proxy
from admittance.wire.coap import codes, datagram, options
from admittance.wire.coap.datagram import Datagram, Type
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import Block, path_options
from tests.unit.client.channel.relay_world import DEVICE_ID, World, large, relay_world, until


class Client:
    """A CoAP client that does what a test says, and nothing else."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(("127.0.0.1", port))
        self._next_id = 0

    async def send(self, message: CoapMessage, kind: Type = Type.CONFIRMABLE) -> int:
        self._next_id += 1
        data = datagram.encode(Datagram(kind, self._next_id, message))
        await asyncio.get_running_loop().sock_sendall(self._socket, data)
        return self._next_id

    async def acknowledge(self, received: Datagram, kind: Type = Type.ACKNOWLEDGEMENT) -> None:
        data = datagram.encode(Datagram(kind, received.message_id, CoapMessage(codes.EMPTY)))
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def receive(self) -> Datagram:
        async with asyncio.timeout(10):
            return datagram.decode(await asyncio.get_running_loop().sock_recv(self._socket, 2000))

    async def ask(self, message: CoapMessage) -> CoapMessage:
        await self.send(message)
        return (await self.receive()).message

    async def raw(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    def close(self) -> None:
        self._socket.close()


class Proxied:
    def __init__(self, world: World, port: int) -> None:
        self.world = world
        self.port = port
        self._clients: list[Client] = []

    def client(self) -> Client:
        client = Client(self.port)
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture
async def proxied(tmp_path: Path) -> AsyncIterator[Proxied]:
    async with (
        relay_world(tmp_path) as world,
        connect(world.store, DEVICE_ID) as device,
        serve_proxy(device, 0) as port,
    ):
        opened = Proxied(world, port)
        yield opened
        opened.close()


def get(path: str, *more: tuple[int, bytes], token: bytes = b"t") -> CoapMessage:
    return CoapMessage(codes.GET, token, path_options(path)).with_options(*more)


OBSERVE = (options.OBSERVE, b"")


async def test_an_answer_that_takes_its_time_comes_separately(proxied: Proxied) -> None:
    client = proxied.client()
    sent = await client.send(get("/slow"))
    acknowledged = await client.receive()
    assert (acknowledged.type, acknowledged.message_id, acknowledged.message.code) == (
        Type.ACKNOWLEDGEMENT,
        sent,
        codes.EMPTY,
    )
    proxied.world.relay.cut()
    answer = await client.receive()
    assert (answer.type, answer.message.token, answer.message.code) == (Type.CONFIRMABLE, b"t", codes.BAD_GATEWAY)
    await client.acknowledge(answer)


async def test_a_non_confirmable_request_is_answered_alike(proxied: Proxied) -> None:
    client = proxied.client()
    await client.send(get("/value"), Type.NON_CONFIRMABLE)
    answer = await client.receive()
    assert (answer.type, answer.message.payload) == (Type.NON_CONFIRMABLE, b"0")


async def test_a_request_that_comes_twice_is_carried_out_once(proxied: Proxied) -> None:
    client = proxied.client()
    post = datagram.encode(Datagram(Type.CONFIRMABLE, 77, CoapMessage(codes.POST, b"t", path_options("/count"))))
    await client.raw(post)
    first = await client.receive()
    await client.raw(post)
    assert await client.receive() == first
    assert proxied.world.device.count == 1


async def test_what_names_the_proxy_is_not_passed_on(proxied: Proxied) -> None:
    answer = await proxied.client().ask(
        get("/value", (options.URI_HOST, b"localhost"), (options.URI_PORT, b"\x16\x33"))
    )
    assert answer.payload == b"0"


async def test_another_target_and_oscore_are_refused(proxied: Proxied) -> None:
    client = proxied.client()
    elsewhere = await client.ask(get("/value", (options.PROXY_URI, b"coap://elsewhere/value")))
    assert codes.text(elsewhere.code) == "5.05"
    assert (await client.ask(get("/value", (options.OSCORE, b"\x09\x00")))).code == codes.BAD_OPTION


async def test_an_observation_is_numbered_and_ended_by_its_client(proxied: Proxied) -> None:
    client, device = proxied.client(), proxied.world.device
    first = await client.ask(get("/value", OBSERVE))
    assert (first.payload, first.option(options.OBSERVE)) == (b"0", b"")
    device.change(b"1")
    second = await client.receive()
    assert (second.type, second.message.option(options.OBSERVE)) == (Type.CONFIRMABLE, b"\x01")
    await client.acknowledge(second)
    last = await client.ask(get("/value", (options.OBSERVE, b"\x01")))
    assert (last.payload, last.option(options.OBSERVE)) == (b"1", None)
    await until(lambda: not any(each.observations for each in device.conversations))


async def test_a_reset_ends_an_observation(proxied: Proxied) -> None:
    client, device = proxied.client(), proxied.world.device
    await client.ask(get("/value", OBSERVE))
    device.change(b"1")
    await client.acknowledge(await client.receive(), Type.RESET)
    await until(lambda: not any(each.observations for each in device.conversations))


async def test_an_observation_goes_on_after_the_channel_was_lost(proxied: Proxied) -> None:
    client, device = proxied.client(), proxied.world.device
    await client.ask(get("/value", OBSERVE))
    proxied.world.relay.cut()
    device.value = b"changed meanwhile"
    assert (await client.receive()).message.payload == b"changed meanwhile"


async def test_what_cannot_be_observed_is_answered_once(proxied: Proxied) -> None:
    answer = await proxied.client().ask(get("/nothing", OBSERVE))
    assert (answer.code, answer.option(options.OBSERVE)) == (codes.NOT_FOUND, None)


async def test_blocks_are_of_the_size_that_the_client_wants(proxied: Proxied) -> None:
    client = proxied.client()
    body = b""
    number, more = 0, True
    while more:
        answer = await client.ask(get("/large", (options.BLOCK2, Block(number, False, 512).encode())))
        value = answer.option(options.BLOCK2)
        assert value is not None
        more = Block.decode(value).more
        body += answer.payload
        number += 1
    assert body == large()


async def test_a_body_with_a_missing_block_is_refused(proxied: Proxied) -> None:
    client = proxied.client()
    put = CoapMessage(codes.PUT, b"t", path_options("/value"), bytes(16))
    first = await client.ask(put.with_options((options.BLOCK1, Block(0, True, 16).encode())))
    assert first.code == codes.CONTINUE
    last = await client.ask(put.with_options((options.BLOCK1, Block(2, False, 16).encode())))
    assert last.code == codes.REQUEST_ENTITY_INCOMPLETE
    assert proxied.world.device.value == b"0"


async def test_one_client_can_not_ask_for_everything_at_once(proxied: Proxied) -> None:
    client = proxied.client()
    for number in range(MAX_REQUESTS):
        await client.send(get("/slow", token=bytes([number])), Type.NON_CONFIRMABLE)
    await until(lambda: proxied.world.device.slow == MAX_REQUESTS)
    await client.send(get("/value", token=b"one more"), Type.NON_CONFIRMABLE)
    assert (await client.receive()).message.code == codes.GATEWAY_TIMEOUT
    assert (await proxied.client().ask(get("/value"))).payload == b"0", "Another client is not affected."


async def test_clients_beyond_the_most_make_room(proxied: Proxied) -> None:
    observer = proxied.client()
    await observer.ask(get("/value", OBSERVE))
    for _ in range(MAX_CLIENTS):
        await proxied.client().ask(get("/value"))
    await until(lambda: not any(each.observations for each in proxied.world.device.conversations))


async def test_it_listens_on_loopback_alone(proxied: Proxied) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", proxied.port))


async def test_a_device_that_is_gone_is_a_gateways_error(proxied: Proxied) -> None:
    proxied.world.relay.close = (4403, "")
    proxied.world.relay.cut()
    await until(lambda: not proxied.world.device.conversations)
    client = proxied.client()
    assert (await client.ask(get("/value"))).code == codes.BAD_GATEWAY
    answer = await client.ask(get("/value"))
    assert answer.code == codes.BAD_GATEWAY
    assert b"revoked" in answer.payload


@given(st.lists(st.binary(max_size=64), max_size=8))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_datagram_stops_the_proxy(proxied: Proxied, noise: list[bytes]) -> None:
    stranger, client = proxied.client(), proxied.client()
    for data in noise:
        await stranger.raw(data)
    assert (await client.ask(get("/value"))).payload == b"0"
