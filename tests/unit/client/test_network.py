import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from admittance.client.network import PromptedNetwork, SimulatedNetwork, transport
from admittance.errors import JoinFailed, NetworkFailure, Unreachable
from admittance.premises.station import Station
from tests.premises_world import Echo, echo_server, premises_server
from tests.tls_material import Authority, client_context, server_context

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Host:
    """An HTTPS host that keeps its connections open, and stalls in the response number `stall_at`."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests = 0
        self.stalled = asyncio.Event()
        self.stall_at = 0
        self.port = 0
        self.running: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.running.add(task)
        self.connections += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                if self.requests == self.stall_at:
                    writer.write(ANSWER[:-1])
                    self.stalled.set()
                    await reader.read()
                    return
                writer.write(ANSWER)
        except (OSError, asyncio.IncompleteReadError):
            writer.transport.abort()
        finally:
            writer.close()


@asynccontextmanager
async def phone_and_host(
    directory: Path, server_tls: ssl.SSLContext
) -> AsyncIterator[tuple[SimulatedNetwork, Host, Path]]:
    host = Host()
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0, ssl=server_tls)
    host.port = server.sockets[0].getsockname()[1]
    async with server, premises_server(directory, [f"localhost:{host.port}"]) as path:
        network = await SimulatedNetwork.attach(path, "phone")
        yield network, host, path
        await network.close()
        if host.running:
            await asyncio.wait(host.running)


@pytest.fixture
def authority() -> Authority:
    return Authority("server")


@pytest.fixture
async def world(tmp_path: Path, authority: Authority) -> AsyncIterator[tuple[SimulatedNetwork, Host, Path]]:
    async with phone_and_host(tmp_path, server_context(authority.issue(), tmp_path)) as opened:
        yield opened


async def test_requests_share_a_connection_through_the_internet(
    world: tuple[SimulatedNetwork, Host, Path], authority: Authority
) -> None:
    network, host, _ = world
    await network.use_internet()
    async with httpx.AsyncClient(transport=transport(network, client_context(authority.certificate))) as client:
        for _ in range(2):
            response = await client.get(f"https://localhost:{host.port}/a")
            assert (response.status_code, response.content) == (200, b"hi")
    assert (host.connections, host.requests) == (1, 2)


async def test_phone_at_the_device_does_not_reach_the_server(
    world: tuple[SimulatedNetwork, Host, Path], authority: Authority
) -> None:
    network, host, path = world
    device = await Station.attach(path, "device")
    await device.open_access_point("PROV_A1B2C3", "twelve chars", Echo().serve)
    async with httpx.AsyncClient(transport=transport(network, client_context(authority.certificate))) as client:
        await network.use_internet()
        await client.get(f"https://localhost:{host.port}/")
        await network.use_access_point("PROV_A1B2C3", "twelve chars")
        with pytest.raises(NetworkFailure) as failure:
            await client.get(f"https://localhost:{host.port}/")
        assert failure.value.cause == "no_server"
        reader, writer = await network.open_connection("192.168.4.1", 80)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        await network.use_internet()
        assert (await client.get(f"https://localhost:{host.port}/")).status_code == 200
        writer.close()
    assert host.connections == 2
    await device.close()


async def test_network_that_is_left_in_a_response_is_no_server(
    world: tuple[SimulatedNetwork, Host, Path], authority: Authority
) -> None:
    network, host, _ = world
    host.stall_at = 1
    await network.use_internet()
    async with httpx.AsyncClient(transport=transport(network, client_context(authority.certificate))) as client:
        asking = asyncio.create_task(client.get(f"https://localhost:{host.port}/"))
        await host.stalled.wait()
        with pytest.raises(JoinFailed):
            await network.use_access_point("PROV_ABSENT", "twelve chars")
        with pytest.raises(NetworkFailure) as failure:
            await asking
        assert failure.value.cause == "no_server"


async def test_response_that_never_ends_is_no_server(
    world: tuple[SimulatedNetwork, Host, Path], authority: Authority
) -> None:
    network, host, _ = world
    host.stall_at = 1
    await network.use_internet()
    carrier = transport(network, client_context(authority.certificate))
    async with httpx.AsyncClient(transport=carrier, timeout=httpx.Timeout(5, read=0.05)) as client:
        with pytest.raises(NetworkFailure) as failure:
            await client.get(f"https://localhost:{host.port}/")
        assert failure.value.cause == "no_server"


async def test_server_of_another_authority_is_untrusted(world: tuple[SimulatedNetwork, Host, Path]) -> None:
    network, host, _ = world
    await network.use_internet()
    anchor = Authority("server").certificate
    async with httpx.AsyncClient(transport=transport(network, client_context(anchor))) as client:
        with pytest.raises(NetworkFailure) as failure:
            await client.get(f"https://localhost:{host.port}/")
        assert failure.value.cause == "untrusted_server"
    assert host.requests == 0


async def test_phone_on_no_network_reaches_nothing(
    world: tuple[SimulatedNetwork, Host, Path], authority: Authority
) -> None:
    network, host, _ = world
    async with httpx.AsyncClient(transport=transport(network, client_context(authority.certificate))) as client:
        with pytest.raises(Unreachable):
            await client.get(f"https://localhost:{host.port}/")


async def test_using_the_same_network_again_keeps_its_streams(
    world: tuple[SimulatedNetwork, Host, Path], authority: Authority
) -> None:
    network, host, _ = world
    async with httpx.AsyncClient(transport=transport(network, client_context(authority.certificate))) as client:
        for _ in range(2):
            await network.use_internet()
            await client.get(f"https://localhost:{host.port}/")
    assert host.connections == 1


class Person:
    """Reads the prompts."""

    def __init__(self) -> None:
        self.read: list[str] = []

    async def ask(self, text: str) -> None:
        self.read.append(text)


async def test_person_is_told_what_to_join() -> None:
    person = Person()
    async with echo_server() as device, echo_server() as server:
        network = PromptedNetwork(person.ask, ("127.0.0.1", server.port), ("127.0.0.1", device.port))
        await network.use_access_point("PROV_A1B2C3", "twelve chars")
        (text,) = person.read
        assert "PROV_A1B2C3" in text
        assert "twelve chars" in text
        assert "Enter" in text
        reader, writer = await network.open_connection("192.168.4.1", 80)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await network.use_internet()
        assert len(person.read) == 1
        await device.ended.wait()


async def test_person_who_joins_the_wrong_network_is_asked_again() -> None:
    person = Person()
    network = PromptedNetwork(person.ask, ("127.0.0.1", 1), ("127.0.0.1", 1))
    with pytest.raises(JoinFailed) as failure:
        await network.use_access_point("PROV_A1B2C3", "twelve chars")
    assert failure.value.cause == "not_found"
    assert "twelve chars" not in str(failure.value)
    assert len(person.read) == 3
    with pytest.raises(Unreachable):
        await network.use_internet()
    assert len(person.read) == 6
    assert "does not answer yet" in person.read[-1]
