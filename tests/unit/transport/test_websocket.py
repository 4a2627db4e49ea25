"""The WebSocket client, against picows as the peer that behaves, and against bytes that no such peer would send."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import picows
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admittance.errors import Malformed, NetworkFailure, UpgradeRefused, WebSocketClosed
from admittance.transport.websocket import Limits, WebSocket

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SHORT = Limits(max_message_bytes=100_000, open_s=5, send_s=0.2, close_s=0.2)


class Echo(picows.WSListener):
    """Sends messages back; ``close`` makes it close with 4429."""

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        if frame.msg_type == picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif payload == b"close":
            transport.send_close(picows.WSCloseCode(4429), b"retry_after_ms=250")
        elif frame.msg_type == picows.WSMsgType.BINARY:
            transport.send(picows.WSMsgType.PING, b"are you there")
            transport.send(picows.WSMsgType.BINARY, payload)


@asynccontextmanager
async def echoing() -> AsyncIterator[WebSocket]:
    def listener(request: picows.WSUpgradeRequest) -> picows.WSListener | None:
        return Echo() if request.headers.get("X-Test") == "yes" and request.path == b"/relay" else None

    server = await picows.ws_create_server(listener, "127.0.0.1", 0, max_frame_size=200_000)
    host, port = server.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield await WebSocket.connect(
            reader, writer, host=f"{host}:{port}", target="/relay", headers=[("X-Test", "yes")]
        )
    finally:
        writer.close()
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def streams(peer: Peer) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Streams to a peer that is run for one connection."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await peer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            done.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await done.wait()
        server.close()
        await server.wait_closed()


async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = next(line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key"))
    digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
    accept = base64.b64encode(digest).decode()
    writer.write(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )


def upgraded(data: bytes, wait: asyncio.Event | None = None) -> Peer:
    """A peer that upgrades, sends `data`, and hangs up when the other side did, or `wait` is set."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        writer.write(data)
        if wait is not None:
            await wait.wait()
            return
        while await reader.read(1000):
            pass

    return peer


def raw(data: bytes) -> Peer:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)

    return peer


async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: Limits = SHORT) -> WebSocket:
    return await WebSocket.connect(reader, writer, host="localhost", target="/", limits=limits)


async def ended(peer: Peer, limits: Limits = SHORT) -> WebSocketClosed:
    """How a connection to `peer` ends for who receives."""
    async with streams(peer) as (reader, writer):
        socket = await connect(reader, writer, limits)
        with pytest.raises(WebSocketClosed) as caught:
            await socket.receive()
    return caught.value


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 100_000])
async def test_messages_of_every_size_travel_whole(size: int) -> None:
    async with echoing() as socket:
        message = bytes(size % 256 for size in range(size))
        await socket.send(message)
        assert await socket.receive() == message
        await socket.close()


async def test_the_peers_close_code_and_reason_reach_the_receiver_and_then_the_sender() -> None:
    async with echoing() as socket:
        await socket.send(b"close")
        with pytest.raises(WebSocketClosed) as caught:
            await socket.receive()
        assert (caught.value.close_code, caught.value.reason) == (4429, "retry_after_ms=250")
        with pytest.raises(WebSocketClosed):
            await socket.send(b"more")


async def test_a_close_of_ours_ends_a_receive_that_waits() -> None:
    async with echoing() as socket:
        receiving = asyncio.create_task(socket.receive())
        await asyncio.sleep(0)
        await socket.close(1001, "good night" * 20)
        with pytest.raises(WebSocketClosed) as caught:
            await receiving
        assert caught.value.close_code == 1001


async def test_a_refused_upgrade_tells_status_headers_and_body() -> None:
    answer = b"HTTP/1.1 401 Unauthorized\r\nDPoP-Nonce: abc\r\nContent-Length: 4\r\n\r\nbody"
    async with streams(raw(answer)) as (reader, writer):
        with pytest.raises(UpgradeRefused) as caught:
            await connect(reader, writer)
    assert (caught.value.status, caught.value.headers["dpop-nonce"], caught.value.body) == (401, "abc", b"body")


async def test_a_refusal_that_never_ends_is_cut_off() -> None:
    answer = b"HTTP/1.1 503 Later\r\n\r\n" + b"x" * 100_000
    async with streams(raw(answer)) as (reader, writer):
        with pytest.raises(UpgradeRefused) as caught:
            await connect(reader, writer)
    assert len(caught.value.body) == 16384


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 200 " + b"x" * 70_000,
    ],
)
async def test_an_answer_that_is_no_upgrade_is_malformed(answer: bytes) -> None:
    async with streams(raw(answer)) as (reader, writer):
        with pytest.raises(Malformed):
            await connect(reader, writer)


async def test_a_server_that_hangs_up_or_is_silent_is_no_server() -> None:
    async with streams(raw(b"")) as (reader, writer):
        with pytest.raises(NetworkFailure) as caught:
            await connect(reader, writer)
        assert caught.value.cause == "no_server"

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async with streams(silent) as (reader, writer):
        with pytest.raises(NetworkFailure) as caught:
            await connect(reader, writer, Limits(open_s=0.05))
        assert caught.value.cause == "no_server"


async def test_a_message_sent_with_the_upgrade_is_not_lost() -> None:
    async with streams(upgraded(b"\x82\x02hi")) as (reader, writer):
        assert await (await connect(reader, writer)).receive() == b"hi"


async def test_a_message_in_parts_with_a_ping_between_them_is_joined() -> None:
    async with streams(upgraded(b"\x02\x01a" + b"\x89\x01p" + b"\x80\x01b")) as (reader, writer):
        assert await (await connect(reader, writer)).receive() == b"ab"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x02hi", 1003),
        (b"\x82\x7f" + (2**40).to_bytes(8, "big") + b"x" * 100_001, 1009),
        (b"\x02\x7e\xff\xff" + b"x" * 65535 + b"\x80\x7e\xff\xff" + b"x" * 65535, 1009),
        (b"\x82\x81\0\0\0\0x", 1002),
        (b"\xf2\x00", 1002),
        (b"\x80\x00", 1002),
        (b"\x89\x7e\x01\x00", 1002),
    ],
)
async def test_what_no_peer_may_send_ends_the_connection(data: bytes, code: int) -> None:
    assert (await ended(upgraded(data))).close_code == code


async def test_a_connection_that_breaks_ends_as_abnormal() -> None:
    done = asyncio.Event()
    done.set()
    assert (await ended(upgraded(b"", done))).close_code == 1006


async def test_a_silent_peer_is_given_up_after_two_heartbeats() -> None:
    async with streams(upgraded(b"")) as (reader, writer):
        socket = await connect(reader, writer)
        socket.heartbeat_s = 0.05
        with pytest.raises(WebSocketClosed) as caught:
            await socket.receive()
        assert caught.value.close_code == 1006


async def test_a_quiet_peer_that_answers_pings_is_kept() -> None:
    async with echoing() as socket:
        socket.heartbeat_s = 0.02
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await socket.receive()
        await socket.send(b"still here")
        assert await socket.receive() == b"still here"


async def test_a_peer_that_takes_nothing_is_cut_off() -> None:
    wait = asyncio.Event()
    async with streams(upgraded(b"", wait)) as (reader, writer):
        socket = await connect(reader, writer)
        with pytest.raises(WebSocketClosed) as caught:
            await asyncio.gather(*(socket.send(b"x" * 65536) for _ in range(200)))
        assert caught.value.close_code == 1006
        wait.set()


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300))
async def test_no_bytes_of_the_peer_raise_anything_else(data: bytes) -> None:
    done = asyncio.Event()
    done.set()
    async with streams(upgraded(data, done)) as (reader, writer):
        socket = await connect(reader, writer)
        with pytest.raises(WebSocketClosed):
            await _receive_all(socket)


async def _receive_all(socket: WebSocket) -> None:
    while True:
        await socket.receive()


async def test_who_sends_first_learns_why_the_peer_closed_at_once() -> None:
    message, close = b"\x82\x02hi", b"\x88\x05\x11\x97why"
    async with streams(upgraded(message + close)) as (reader, writer):
        socket = await WebSocket.connect(reader, writer, host="x", target="/")
        with pytest.raises(WebSocketClosed) as closed:
            await socket.send(b"first")
        assert (closed.value.close_code, closed.value.reason) == (4503, "why")
        assert await socket.receive() == b"hi"
        with pytest.raises(WebSocketClosed) as closed:
            await socket.receive()
        assert closed.value.close_code == 4503
