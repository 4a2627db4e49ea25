"""The device's connection to a relay node, against a node of the test's own that does what a real one never would."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import cbor2
import picows
import pytest

from admittance.device.clock import TrustedClock
from admittance.device.keys import Made, load_private_key, make_private_key
from admittance.device.radio.port import Radio
from admittance.device.relay import link as links
from admittance.device.relay.connection import Node
from admittance.device.relay.link import RelayLink
from admittance.device.relay.proof import prove
from admittance.device.state import Operational, ServerContact
from admittance.errors import Malformed
from admittance.protocol.channel.channel import Channel
from admittance.protocol.channel.events import Established, Event, ResponseReceived
from admittance.protocol.signing import load_public_key, spki_of, verify_raw
from admittance.wire import message, relay
from admittance.wire.coap import codes, stream
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import path_options
from admittance.wire.relay import CloseCode, CloseReason, Frame, RelayAccepted, RelayHello, RelayProof
from tests.unit.device.births import make_birth
from tests.unit.device.channel.apps import EPOCH, NOW, App, House, server

NONCE = bytes(range(32))
PATIENCE_S = 20.0


class NodeEnd(picows.WSListener):
    """A node's end of one connection."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()
        self.frames: list[Frame] = []
        self.closed: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.CLOSE:
            self.closed.set_result(int(frame.get_close_code()))
            transport.disconnect()
        elif frame.msg_type == picows.WSMsgType.BINARY:
            self.messages.put_nowait(frame.get_payload_as_bytes())

    def send(self, data: bytes) -> None:
        self.transport.send(picows.WSMsgType.BINARY, data)

    def close(self, code: CloseCode, reason: str = "") -> None:
        self.transport.send_close(picows.WSCloseCode(code), reason.encode())

    async def accept(self) -> RelayProof:
        self.send(message.encode(RelayHello(NONCE)))
        proof = message.decode(await self.next(), RelayProof)
        self.send(message.encode(RelayAccepted(30, NOW)))
        return proof

    async def next(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.messages.get()

    async def frame(self, kind: int) -> Frame:
        """The next frame of that type; others are passed over."""
        while True:
            while self.frames:
                frame = self.frames.pop(0)
                if frame.type == kind:
                    return frame
            self.frames = relay.decode_frames(await self.next())

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            return await self.closed


class HostRadio:
    """The host's own network."""

    joined = "Home"

    async def open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(host, port)


class Site:
    """A device whose relay node is the test."""

    def __init__(self, folder: Path, *apps: App) -> None:
        self.house = House(folder, *apps)
        self.made: Made = make_birth(folder / "birth")
        self.operational = Operational(make_private_key(), [b"certificate"], NOW)
        self.arrived: asyncio.Queue[NodeEnd] = asyncio.Queue()
        self.events: list[dict[str, Any]] = []
        self.link = RelayLink(
            self.house.memory,
            cast(Radio, HostRadio()),
            TrustedClock(time.monotonic, NOW),
            self.house.conversations,
            self._prove,
            lambda event, **fields: self.events.append({"event": event, **fields}),
            lambda: 1.0,
            plain=True,
        )

    async def _prove(self, nonce: bytes, certificate_sha256: bytes) -> RelayProof:
        return await prove(self.made, self.operational, EPOCH, nonce, certificate_sha256)

    @asynccontextmanager
    async def on(self) -> AsyncIterator[None]:
        def arrive(request: picows.WSUpgradeRequest) -> NodeEnd:
            assert request.path == relay.DEVICE_PATH.encode()
            end = NodeEnd()
            self.arrived.put_nowait(end)
            return end

        node = await picows.ws_create_server(arrive, "127.0.0.1", 0)
        port = node.sockets[0].getsockname()[1]
        contact = ServerContact("https://a", "https://b", [b"anchor"], (f"ws://127.0.0.1:{port}", "wss://unused"))
        self.house.memory.change(server=contact, operational=self.operational)
        running = asyncio.create_task(self.link.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            node.close()
            await node.wait_closed()

    async def node(self) -> NodeEnd:
        """The device's next connection."""
        async with asyncio.timeout(PATIENCE_S):
            end = await self.arrived.get()
            while not hasattr(end, "transport"):
                await asyncio.sleep(0.001)
        return end


async def talk(end: NodeEnd, number: int, channel: Channel, until: type[Event]) -> Event:
    """Carry messages of an initiator on a stream until the channel tells of an event of that kind."""
    while True:
        channel.handle_timeout(time.monotonic())
        for each in channel.drain():
            end.send(relay.data_frame(number, stream.encode(each), final=True))
        for event in channel.events():
            if isinstance(event, until):
                return event
        channel.receive(stream.decode((await end.frame(relay.DATA)).payload), time.monotonic())


def initiator(site: Site, app: App) -> Channel:
    return Channel.initiator(app.channel_key, site.house.credential, random=os.urandom)


async def test_nothing_passes_before_the_server_proved_its_key_and_everything_after(tmp_path: Path) -> None:
    owner, provider = App("phone"), server()
    site = Site(tmp_path, owner, provider)
    async with site.on():
        end = await site.node()
        proof = await end.accept()
        data = relay.proof_input(NONCE, bytes(32), site.made.birth.device_id, EPOCH)
        spki = spki_of(load_private_key(site.operational.key).public_key())
        verify_raw(load_public_key(spki), proof.signature, data)
        end.send(relay.open_frame(1))
        refused = await end.frame(relay.CLOSE)
        assert (refused.stream, refused.reason) == (1, CloseReason.UNAVAILABLE)
        await talk(end, 0, initiator(site, provider), Established)
        end.send(relay.open_frame(2))
        channel = initiator(site, owner)
        await talk(end, 2, channel, Established)
        channel.request(CoapMessage(codes.GET, options=path_options("/lamp")), time.monotonic())
        answer = await talk(end, 2, channel, ResponseReceived)
        assert isinstance(answer, ResponseReceived)
        assert cbor2.loads(answer.message.payload) == {"level": 1}
        assert site.link.connected_to.startswith("ws://127.0.0.1:")


async def test_a_node_whose_server_proves_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "SERVER_KNOWN_S", 0.05)
    site = Site(tmp_path, App("phone"), server())
    async with site.on():
        end = await site.node()
        await end.accept()
        assert await (await site.node()).accept()
    assert site.events[1]["cause"] == "unavailable"


async def test_an_app_that_sends_what_is_no_message_loses_its_stream_alone(tmp_path: Path) -> None:
    provider = server()
    site = Site(tmp_path, App("phone"), provider)
    async with site.on():
        end = await site.node()
        await end.accept()
        await talk(end, 0, initiator(site, provider), Established)
        for number in (1, 2):
            end.send(relay.open_frame(number) + relay.data_frame(number, b"\xff", final=True))
            closed = await end.frame(relay.CLOSE)
            assert (closed.stream, closed.reason) == (number, CloseReason.PROTOCOL)


@pytest.mark.parametrize("data", [b"", b"frame", relay.open_frame(1) * 2, relay.data_frame(9, b"x", final=True)])
async def test_a_node_that_breaks_the_protocol_is_told_so_and_tried_again(tmp_path: Path, data: bytes) -> None:
    site = Site(tmp_path, App("phone"), server())
    async with site.on():
        end = await site.node()
        await end.accept()
        end.send(data)
        assert await end.ended() == CloseCode.MALFORMED
        assert await (await site.node()).accept()


async def test_a_node_that_drains_is_left_for_as_long_as_it_says(tmp_path: Path) -> None:
    site = Site(tmp_path, App("phone"), server())
    async with site.on():
        end = await site.node()
        await end.accept()
        end.close(CloseCode.UNAVAILABLE, relay.retry_after_text(20))
        assert await (await site.node()).accept()
    lost = next(event for event in site.events if event["event"] == "relay_lost")
    assert (lost["close_code"], lost["retry_in_s"]) == (4503, 0.02)


async def test_a_device_that_is_not_welcome_waits_until_there_is_news(tmp_path: Path) -> None:
    site = Site(tmp_path, App("phone"), server())
    async with site.on():
        end = await site.node()
        end.send(message.encode(RelayHello(NONCE)))
        await end.next()
        end.close(CloseCode.NOT_AUTHENTICATED)
        await end.ended()
        while not site.events:
            await asyncio.sleep(0.005)
        assert site.events[-1]["retry_in_s"] == 15.0
        site.link.wake()
        assert await (await site.node()).accept()


async def test_with_the_connection_every_conversation_is_lost(tmp_path: Path) -> None:
    provider = server()
    site = Site(tmp_path, App("phone"), provider)
    async with site.on():
        end = await site.node()
        await end.accept()
        await talk(end, 0, initiator(site, provider), Established)
        end.send(relay.open_frame(1))
        while len(site.house.conversations) < 2:
            await asyncio.sleep(0.005)
        end.transport.disconnect(graceful=False)
        again = await site.node()
        await again.accept()
        while len(site.house.conversations) != 1:
            await asyncio.sleep(0.005)
        assert not site.house.conversations.server_is_known


@pytest.mark.parametrize(
    "url", ["https://a", "wss://", "ws://a:b", "wss://user@a", "wss://a?x=1", "a", "wss://a:99999"]
)
def test_a_url_that_is_no_nodes_is_malformed(url: str) -> None:
    with pytest.raises(Malformed):
        Node.parse(url)


def test_a_node_is_found_by_its_url() -> None:
    assert Node.parse("wss://relay.example") == Node(True, "relay.example", 443, "/device-relay")
    assert Node.parse("ws://[2001:db8::1]:80/x/").authority == "[2001:db8::1]:80"
    assert Node.parse("ws://a:81/x/").target == "/x/device-relay"
