"""T30. Means: as many connections as one likes, from as many addresses, to the relay's two listeners, without account
or device; an account's login without a key that the device lists; a place in the device's own network; a place before
a device that waits to be set up. Goal: have nobody else served, or the node or the device run out of memory.

Not prevented: who fills all places for half-open connections from many addresses, or the local network with
handshakes, keeps newcomers out for as long as he goes on. Who has a connection or a channel keeps it.
"""

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from wsproto.frame_protocol import Opcode

from admittance.client.network import ACCESS_POINT
from admittance.demo.processes import Program
from admittance.device.access_point import MAX_CONNECTIONS
from admittance.errors import QuotaExceeded, WebSocketClosed
from admittance.protocol.channel.edhoc import ChannelKey, Initiator
from admittance.protocol.provisioning.client import Request
from admittance.protocol.provisioning.device import MAX_HALF_OPEN
from admittance.protocol.provisioning.srp import PROVISIONING_SUITE, ClientHandshake
from admittance.server.config_sections import RelaySection
from admittance.transport.websocket import TOO_BIG, WebSocket
from admittance.wire.channel import Credential
from admittance.wire.coap import codes, stream
from admittance.wire.coap.message import CoapMessage
from admittance.wire.protocomm import session
from admittance.wire.relay import APP_PATH, DEVICE_PATH, MAX_MESSAGE_BYTES, CloseCode
from tests.attack.channel_site import ChannelSite
from tests.attack.flooding import Crowd, Datagrams, addresses, drip, growing_less_than, say, upgrade
from tests.attack.meddling import handshake_request, own_key
from tests.attack.relay_in_the_middle import Control
from tests.attack.world import Guest, until

pytestmark = pytest.mark.alone

LIMITS = RelaySection()
NODE_KB = 48 * 1024
"""What a node may grow by: 512 half-open connections with TLS, and some for their memory to be given back."""

DEVICE_KB = 6 * 1024
AT_ONCE_S = 8.0
"""Less than who says nothing has."""

PATIENCE_S = 30.0
AMPLIFIED_BYTES = 16


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ChannelSite]:
    """Programs of its own: what a flood leaves behind must not be in the way of others."""
    async with ChannelSite.open(tmp_path_factory.mktemp("flooded")) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def crowd() -> AsyncIterator[Crowd]:
    crowd = Crowd()
    yield crowd
    await crowd.leave()


def strangers() -> ssl.SSLContext:
    """TLS as anybody has it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def test_one_source_with_thousands_of_connections(site: ChannelSite, crowd: Crowd) -> None:
    """It has its share of half-open connections, and a newcomer from elsewhere gets in."""
    node, ports = pid_of(site.world.stage.server), site.world.stage.ports
    with growing_less_than(NODE_KB, node):
        async with site.talk() as talk:
            for port in (ports.app_relay, ports.device_relay):
                await crowd.come(addresses(2, 1), 1500, port)
                assert await talk.order(timeout_s=10)
            await crowd.thinned(LIMITS.max_half_open_per_source)
            assert crowd.inside
            async with site.talk() as newcomer:
                assert await newcomer.order(timeout_s=10)
            assert await talk.order(timeout_s=10)
    await crowd.leave()
    await site.assert_holds()


async def test_strangers_that_prove_nothing_from_many_sources(site: ChannelSite, crowd: Crowd) -> None:
    """They get no further than all places for half-open connections, and are thrown out of them within seconds."""
    node, ports = pid_of(site.world.stage.server), site.world.stage.ports
    device = site.relay.device(site.first.device_id)
    tls, app_path = strangers(), APP_PATH + site.first.device_id
    ways = [
        (ports.app_relay, None, None),
        (ports.device_relay, None, say(b"\x16\x03\x01\x02\x00\x01\x00")),
        (ports.app_relay, tls, None),
        (ports.device_relay, tls, drip(upgrade(DEVICE_PATH))),
        (ports.app_relay, tls, drip(upgrade(app_path))),
        (ports.device_relay, tls, say(upgrade(DEVICE_PATH))),
        (ports.app_relay, tls, say(upgrade(app_path))),
    ]
    silent = [device.open_stream() for _ in range(20)]
    with growing_less_than(NODE_KB, node):
        async with site.talk() as talk:
            for number, (port, context, do) in enumerate(ways):
                await crowd.come(addresses(3 + number, 30), 4, port, context=context, do=do)
                assert await talk.order(timeout_s=10)
            await crowd.thinned(LIMITS.max_half_open)
            await crowd.thinned(0)
            assert await talk.order(timeout_s=10)
            for stream in silent:
                await stream.ended()
    await site.assert_holds()


MASK = bytes(4)
GIANTS = {
    "a head without end": b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000,
    "a thousand fields": b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: a\r\n" % each for each in range(1000)) + b"\r\n",
    "noise": b"\xa7\x15\0\r\n" * 10_000,
    "a frame of 4 EiB": b"\x82\xff" + (1 << 62).to_bytes(8, "big") + MASK + bytes(100_000),
    "a frame just too large": b"\x82\xff" + (65537).to_bytes(8, "big") + MASK + bytes(65537),
    "frames without end": (b"\x02\xfe\x10\0" + MASK + bytes(4096)) + (b"\0\xfe\x10\0" + MASK + bytes(4096)) * 100,
    "a large ping": b"\x89\xfe\xff\xff" + MASK + bytes(65535),
    "text": b"\x81\x84" + MASK + b"text",
    "an unmasked frame": b"\x82\x04data",
    "reserved bits": b"\xf2\x84" + MASK + b"data",
}


POST = b"POST /prov-session HTTP/1.1\r\nHost: device\r\n"
ACCESS_POINT_NONSENSE = [
    b"",
    b"GET / HTTP/1.1\r\n",
    b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000,
    POST + b"Content-Length: 4096\r\n\r\n" + bytes(4095),
    POST + b"Content-Length: 1000000000000\r\n\r\n" + bytes(100_000),
    POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"ff\r\n" + bytes(255) + b"\r\nff\r\n",
    b"\xa7\x15\0\r\n" * 10_000,
]


async def test_strangers_with_giants_and_nonsense(site: ChannelSite, crowd: Crowd) -> None:
    """They are thrown out for what they said, long before their time is over, and nobody keeps what they sent."""
    node, ports = pid_of(site.world.stage.server), site.world.stage.ports
    app_path = APP_PATH + site.first.device_id
    with growing_less_than(NODE_KB, node):
        async with site.talk() as talk:
            for number, giant in enumerate(GIANTS.values()):
                for port, path in ((ports.app_relay, app_path), (ports.device_relay, DEVICE_PATH)):
                    said = giant if giant.startswith((b"GET", b"\xa7")) else upgrade(path) + giant
                    await crowd.come(addresses(20 + number, 3), 2, port, context=strangers(), do=say(said))
            assert await talk.order(timeout_s=10)
            await crowd.thinned(0, within_s=AT_ONCE_S)
    await site.assert_holds()


@pytest.mark.parametrize("frames", [1, 20])
async def test_messages_beyond_the_limit_from_an_app_that_may_talk(site: ChannelSite, frames: int) -> None:
    async with site.talk() as talk, site.stolen_login() as login:
        for _ in range(8):
            socket, below = await login.stream(site.first)
            for number in range(frames):
                below.send(bytes(MAX_MESSAGE_BYTES // frames + 1), final=number + 1 == frames)
            with pytest.raises(WebSocketClosed) as closed:
                await asyncio.wait_for(socket.receive(), AT_ONCE_S)
            assert closed.value.close_code in (TOO_BIG, CloseCode.TOO_LARGE)
        assert await talk.order(timeout_s=10)
    await site.assert_holds()


async def test_frames_all_the_time_from_an_app_that_may_talk(site: ChannelSite) -> None:
    """It is heard as often as is allowed, and no more."""
    async with site.talk() as talk, site.stolen_login() as login:
        _, below = await login.stream(site.first)
        answers: list[object] = []

        async def count() -> None:
            async for answer in below.received():
                answers.append(answer)

        counting, started = asyncio.create_task(count()), time.monotonic()
        for _ in range(20 * LIMITS.app_frames_per_s):
            below.pass_on(Control(Opcode.PING, b""))
        for _ in range(5):
            assert await talk.order(timeout_s=10)
            await asyncio.sleep(0.2)
        answered, elapsed_s = len(answers), time.monotonic() - started
        below.cut()
        await asyncio.gather(counting, return_exceptions=True)
    assert LIMITS.app_frames_per_s / 2 < answered < LIMITS.app_frames_per_s * (elapsed_s + 2)
    await site.assert_holds()


async def test_streams_and_handshakes_all_the_time_with_a_stolen_login(site: ChannelSite) -> None:
    """All the streams that there are, and handshakes in each: who has a channel is served, and nobody grows."""
    programs = pid_of(site.world.stage.server), pid_of(site.first.program)
    stranger, closed_with = ChannelKey(own_key()), []

    async def flood(socket: WebSocket, handshakes: int) -> None:
        try:
            for _ in range(handshakes):
                await socket.send(stream.encode(first_message(stranger, site.first_credential)))
            while True:
                await socket.receive()
        except WebSocketClosed as closed:
            closed_with.append(closed.close_code)

    with growing_less_than(NODE_KB, *programs[:1]), growing_less_than(DEVICE_KB, *programs[1:]):
        async with site.talk() as talk, site.stolen_login() as login:
            sockets = [(await login.stream(site.first))[0] for _ in range(LIMITS.max_streams_per_device + 6)]
            floods = [asyncio.create_task(flood(each, 5 if number else 100)) for number, each in enumerate(sockets)]
            for _ in range(5):
                assert await talk.order(timeout_s=PATIENCE_S)
            await until(lambda: closed_with.count(CloseCode.QUOTA) == 7, "There are no more streams.")
            for socket in sockets:
                socket.abort()
            await asyncio.gather(*floods)
            await newcomer_gets_in(site)
    await site.assert_holds()


async def test_a_flood_of_handshakes_displaces_no_others(site: ChannelSite) -> None:
    """The owner's handshake is under way while forty strangers begin ten each."""
    connection = site.relay.device(site.first.device_id)
    stranger, owner = ChannelKey(own_key()), ChannelKey(site.store.app_keys().channel)
    own = connection.open_stream()
    handshake = Initiator(owner, site.first_credential)
    await own.send(stream.encode(handshake_request(handshake.message_1())))
    message_3 = handshake.receive_message_2(stream.decode(await own.answer()).payload)
    with growing_less_than(DEVICE_KB, pid_of(site.first.program)):
        floods = [connection.open_stream() for _ in range(40)]
        for _ in range(10):
            for flood in floods:
                await flood.send(stream.encode(first_message(stranger, site.first_credential)))
        for flood in floods:
            for _ in range(10):
                assert stream.decode(await flood.answer()).code == codes.CHANGED
    await own.send(stream.encode(handshake_request(message_3)))
    handshake.receive_message_4(stream.decode(await own.answer()).payload)
    await site.assert_holds()


async def test_a_flood_on_the_local_network(site: ChannelSite) -> None:
    """Handshakes that nobody goes on with, and nonsense, from hundreds of addresses: who has a channel is served, and
    no answer is larger than what asked for it, but for a few bytes."""
    stranger = ChannelKey(own_key())
    nonsense = [b"", b"\0", os.urandom(20), os.urandom(1400)]
    async with Datagrams.from_many(addresses(60, 300), site.local_address) as datagrams, site.near() as talk:
        with growing_less_than(DEVICE_KB, pid_of(site.second.program)):
            flooding = asyncio.create_task(
                datagrams.flood(lambda: first_message(stranger, site.second_credential), nonsense)
            )
            for _ in range(5):
                await asyncio.sleep(0.2)
                assert await talk.order(timeout_s=PATIENCE_S)
            flooding.cancel()
            await asyncio.gather(flooding, return_exceptions=True)
        assert datagrams.answers > len(datagrams.sources)
        assert datagrams.largest_gain <= AMPLIFIED_BYTES
        async with site.near() as newcomer:
            assert await newcomer.order(timeout_s=PATIENCE_S)
    await site.assert_holds()


async def test_a_flood_of_an_access_point(site: ChannelSite) -> None:
    """Who stands before the device goes on, whatever others on its access point send."""
    device = await site.world.unowned()
    code = await device.next_code()
    async with site.world.guest(device) as owner, site.world.guest(device) as other:
        visit = await owner.enter(code.username, code.pop)
        with growing_less_than(DEVICE_KB, pid_of(device.program)):
            for said in ACCESS_POINT_NONSENSE:
                connections = [await other.network.open_connection(*ACCESS_POINT) for _ in range(2 * MAX_CONNECTIONS)]
                for _, writer in connections:
                    writer.write(said)
                assert (await visit.hello()).device_id == device.device_id
                for _, writer in connections:
                    writer.transport.abort()
            for _ in range(4 * MAX_HALF_OPEN):
                await leave_half_open(other, code.username)
            assert (await visit.hello()).device_id == device.device_id


async def leave_half_open(guest: Guest, username: str) -> None:
    handshake = ClientHandshake.start(PROVISIONING_SUITE, username=username, password="", random=os.urandom)
    command = session.Command0(username, handshake.client_public)
    await guest.send(Request("prov-session", session.encode_command(command)))


def pid_of(program: Program | None) -> int:
    assert program is not None
    return program.pid


def first_message(own: ChannelKey, device: Credential) -> CoapMessage:
    return handshake_request(Initiator(own, device).message_1())


async def newcomer_gets_in(site: ChannelSite) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(QuotaExceeded):
                async with site.talk() as talk:
                    assert await talk.order(timeout_s=10)
                    return
            await asyncio.sleep(0.05)
