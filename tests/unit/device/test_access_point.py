import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.device.access_point import MAX_CONNECTIONS, AccessPointServer, Deadlines
from admittance.device.radio.simulated import SimulatedRadio
from admittance.premises.station import Station
from tests.premises_world import premises_server

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    cookie: str | None


class Machine:
    """Answers each request with its endpoint and body, and remembers the requests."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str | None, bytes]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def receive(self, endpoint: str, cookie: str | None, body: bytes) -> Reply:
        self.received.append((endpoint, cookie, body))
        await self.may_answer.wait()
        if endpoint == "unknown":
            return Reply(404, b"", None)
        return Reply(200, endpoint.encode() + b":" + body, None if cookie else "4294967295")


class Server:
    def __init__(self, port: int, machine: Machine) -> None:
        self._port = port
        self.machine = machine

    async def connect(self) -> Streams:
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def ask(self, data: bytes) -> bytes:
        """Send `data`, and read until the server ends the connection."""
        reader, writer = await self.connect()
        writer.write(data)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer


@asynccontextmanager
async def serving(deadlines: Deadlines | None = None) -> AsyncIterator[Server]:
    machine = Machine()
    shell = AccessPointServer(machine.receive, deadlines)
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        await shell.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Server(server.sockets[0].getsockname()[1], machine)
    await asyncio.wait(running)


def post(endpoint: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST /{endpoint} HTTP/1.1", "Host: 192.168.4.1", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def read_response(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    return head, await reader.readexactly(length)


async def test_session_cookie_is_set_and_comes_back() -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(post("prov-session", b"one"))
        head, body = await read_response(reader)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"set-cookie: session=4294967295\r\n" in head.lower()
        assert body == b"prov-session:one"
        writer.write(post("prov-session", b"two", "Cookie: a=b; session=4294967295"))
        head, _ = await read_response(reader)
        assert b"set-cookie" not in head.lower()
        writer.close()
    assert server.machine.received == [
        ("prov-session", None, b"one"),
        ("prov-session", "4294967295", b"two"),
    ]


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serving() as server:
        answer = await server.ask(post("a", b"1") + post("b", b"2"))
    assert answer.index(b"a:1") < answer.index(b"b:2")


async def test_chunked_body_is_taken_whole() -> None:
    chunked = b"POST /a HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
    async with serving() as server:
        assert (await server.ask(chunked)).endswith(b"a:hello")


async def test_client_that_expects_100_continue_gets_it() -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(post("a", b"hello", "Expect: 100-continue")[:-5])
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(b"hello")
        assert (await read_response(reader))[1] == b"a:hello"
        writer.close()


@pytest.mark.parametrize("cookie", ["session=", "session=abc", "session=12345678901", "session=-1", "other=1"])
async def test_cookie_that_is_no_session_number_is_left_out(cookie: str) -> None:
    async with serving() as server:
        await server.ask(post("a", b"x", f"Cookie: {cookie}"))
    assert server.machine.received == [("a", None, b"x")]


async def test_largest_body_is_taken() -> None:
    async with serving() as server:
        assert (await server.ask(post("a", bytes(4096)))).startswith(b"HTTP/1.1 200 ")


CHUNKED_5000 = (
    b"POST /a HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n" + bytes(5000) + b"\r\n0\r\n\r\n"
)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post("a", b""), 400),
        (post("a", bytes(4097)), 413),
        (CHUNKED_5000, 413),
        (post("A_b", b"x"), 404),
        (post("a/b", b"x"), 404),
        (post("a" * 33, b"x"), 404),
        (b"GET /other HTTP/1.1\r\nHost: d\r\n\r\n", 404),
        (b"PUT /a HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\n\r\nx", 405),
        (b"POST /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", 400),
        (b"POST /a HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400),
        (b"POST /a HTTP/1.1\r\nHost: d\r\nX: " + b"x" * 20000 + b"\r\n\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    ],
)
async def test_bad_request_is_refused_before_the_machine(request_bytes: bytes, status: int) -> None:
    async with serving() as server:
        answer = await server.ask(request_bytes)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"connection: close" in answer.lower()
    assert server.machine.received == []


async def test_refusal_by_the_machine_keeps_the_connection() -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(post("unknown", b"x"))
        assert (await read_response(reader))[0].startswith(b"HTTP/1.1 404 ")
        writer.write(post("a", b"x"))
        assert (await read_response(reader))[1] == b"a:x"
        writer.close()


async def test_get_tells_what_this_is() -> None:
    async with serving() as server:
        answer = await server.ask(b"GET / HTTP/1.1\r\nHost: d\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"waits to be set up" in answer


@pytest.mark.parametrize(
    ("sent", "deadlines"),
    [
        (b"", Deadlines(idle_s=0.01)),
        (b"POST /a HTTP/1.1\r\nHost: d\r\n", Deadlines(head_s=0.01)),
        (b"POST /a HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\nhel", Deadlines(body_s=0.01)),
    ],
)
async def test_slow_client_is_cut_off(sent: bytes, deadlines: Deadlines) -> None:
    async with serving(deadlines) as server:
        reader, writer = await server.connect()
        writer.write(sent)
        assert await _rest(reader) == b""
        writer.close()
    assert server.machine.received == []


async def test_dripping_head_does_not_move_its_deadline() -> None:
    async with serving(Deadlines(head_s=0.05)) as server:
        reader, writer = await server.connect()
        reading = asyncio.create_task(_rest(reader))
        writer.write(b"POST /a HTTP/1.1\r\n")
        while not reading.done():
            writer.write(b"X: y\r\n")
            await asyncio.sleep(0.005)
        assert await reading == b""
        writer.close()


async def test_connection_that_idled_longest_gives_way() -> None:
    async with serving() as server:
        held = []
        for _ in range(MAX_CONNECTIONS):
            streams = await server.connect()
            streams[1].write(post("a", b"x"))
            await read_response(streams[0])
            held.append(streams)
        reader, writer = await server.connect()
        writer.write(post("a", b"new"))
        assert (await read_response(reader))[1] == b"a:new"
        assert await _rest(held[0][0]) == b""
        held[1][1].write(post("a", b"still"))
        assert (await read_response(held[1][0]))[1] == b"a:still"
        for _, held_writer in [*held, (reader, writer)]:
            held_writer.close()


async def test_request_that_was_begun_first_and_is_not_whole_gives_way() -> None:
    async with serving() as server:
        held = []
        for _ in range(MAX_CONNECTIONS):
            streams = await server.connect()
            streams[1].write(post("a", b"hello", "Expect: 100-continue")[:-5])
            await streams[0].readuntil(b"\r\n\r\n")
            held.append(streams)
        assert (await server.ask(post("a", b"x"))).startswith(b"HTTP/1.1 200 ")
        assert await _rest(held[0][0]) == b""
        held[0][1].close()
        for reader, writer in held[1:]:
            writer.write(b"hello")
            assert (await read_response(reader))[1] == b"a:hello"
            writer.close()


async def test_ninth_connection_is_refused_where_all_are_being_answered() -> None:
    async with serving() as server:
        held = []
        server.machine.may_answer.clear()
        for _ in range(MAX_CONNECTIONS):
            held.append(await server.connect())
            held[-1][1].write(post("a", b"x"))
            while len(server.machine.received) < len(held):
                await asyncio.sleep(0.001)
        assert (await server.ask(post("a", b"x"))).startswith(b"HTTP/1.1 503 ")
        server.machine.may_answer.set()
        for reader, writer in held:
            assert (await read_response(reader))[1] == b"a:x"
            writer.close()


async def test_phone_is_served_over_the_radio(tmp_path: Path) -> None:
    async with premises_server(tmp_path, []) as path:
        radio = await SimulatedRadio.attach(path, "device")
        phone = await Station.attach(path, "phone", cellular=True)
        await radio.open_access_point("PROV_A1B2C3", "twelve chars", AccessPointServer(Machine().receive).serve)
        await phone.join("PROV_A1B2C3", "twelve chars")
        reader, writer = await phone.open_connection("192.168.4.1", 80)
        writer.write(post("proto-ver", b"---"))
        assert (await read_response(reader))[1] == b"proto-ver:---"
        writer.close()
        await phone.close()
        await radio.close()


@given(st.binary(max_size=200))
def test_any_bytes_get_an_answer_or_an_end(data: bytes) -> None:
    async def run() -> None:
        async with serving(Deadlines(head_s=1, body_s=1, idle_s=1)) as server:
            answer = await server.ask(data)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 ")

    asyncio.run(run())


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""
