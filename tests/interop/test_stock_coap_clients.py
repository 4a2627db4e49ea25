"""Clients that know nothing of channels, through the proxy: libcoap's and aiocoap's command lines."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiocoap
import pytest

from admittance.client.channel.connecting import connect
from admittance.client.channel.proxy import serve_proxy
from tests.unit.client.channel.relay_world import DEVICE_ID, World, large, relay_world, until

LIBCOAP = "coap-client-notls"
AIOCOAP = Path(sys.executable).with_name("aiocoap-client")
PATIENCE_S = 20.0


class Proxied:
    """A device, and the port of a proxy to it."""

    def __init__(self, world: World, port: int) -> None:
        self.world = world
        self._port = port

    def uri(self, path: str) -> str:
        return f"coap://127.0.0.1:{self._port}{path}"

    async def libcoap(self, path: str, *arguments: str) -> bytes:
        return await run(LIBCOAP, "-B", "10", *arguments, self.uri(path))

    async def aiocoap(self, path: str, *arguments: str) -> bytes:
        return await run(str(AIOCOAP), "--quiet", *arguments, self.uri(path))


@pytest.fixture
async def proxied(tmp_path: Path) -> AsyncIterator[Proxied]:
    async with (
        relay_world(tmp_path) as world,
        connect(world.store, DEVICE_ID) as device,
        serve_proxy(device, 0) as port,
    ):
        yield Proxied(world, port)


async def run(*command: str) -> bytes:
    process = await started(*command)
    async with asyncio.timeout(PATIENCE_S):
        output, _ = await process.communicate()
    return output


async def started(*command: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)


async def test_libcoap_gets_and_puts(proxied: Proxied) -> None:
    assert (await proxied.libcoap("/value")).strip() == b"0"
    await proxied.libcoap("/value", "-m", "put", "-e", "from libcoap")
    assert proxied.world.device.value == b"from libcoap"
    assert b"4.04" in await proxied.libcoap("/nothing")


async def test_aiocoap_gets_and_puts(proxied: Proxied) -> None:
    assert (await proxied.aiocoap("/value")).strip() == b"0"
    await proxied.aiocoap("/value", "-m", "PUT", "--payload", "from aiocoap")
    assert proxied.world.device.value == b"from aiocoap"
    assert b"4.04" in await proxied.aiocoap("/nothing")


async def test_libcoap_moves_large_bodies_in_blocks(proxied: Proxied, tmp_path: Path) -> None:
    fetched = tmp_path / "fetched"
    await proxied.libcoap("/large", "-o", str(fetched))
    assert fetched.read_bytes() == large()
    await proxied.libcoap("/large", "-b", "256", "-o", str(fetched))
    assert fetched.read_bytes() == large()
    sent = tmp_path / "sent"
    sent.write_bytes(large()[:9000])
    await proxied.libcoap("/value", "-m", "put", "-b", "512", "-f", str(sent))
    assert proxied.world.device.value == large()[:9000]


async def test_aiocoap_moves_large_bodies_in_blocks(proxied: Proxied, tmp_path: Path) -> None:
    assert await proxied.aiocoap("/large") == large()
    sent = tmp_path / "sent"
    sent.write_bytes(large()[:9000])
    await proxied.aiocoap("/value", "-m", "PUT", "--payload", f"@{sent}")
    assert proxied.world.device.value == large()[:9000]


async def observed(proxied: Proxied, process: asyncio.subprocess.Process) -> bytes:
    """What a client prints that observes while the value goes from 0 to 3."""
    device = proxied.world.device
    output = b""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        for number in (b"0", b"1", b"2", b"3"):
            if number != b"0":
                device.change(b"state " + number)
            while number not in output:
                output += await process.stdout.read(4096)
    return output


def observers(proxied: Proxied) -> Callable[[], bool]:
    return lambda: sum(each.observations for each in proxied.world.device.conversations) == 0


async def test_libcoap_observes(proxied: Proxied) -> None:
    process = await started(LIBCOAP, "-w", "-s", "3", "-B", "3", proxied.uri("/value"))
    assert b"state 3" in await observed(proxied, process)
    await process.wait()
    proxied.world.device.change(b"nobody is there")
    await until(observers(proxied))


async def test_aiocoap_observes(proxied: Proxied) -> None:
    """As a library: the command line of 0.4.17 cancels an observation after its first answer."""
    context = await aiocoap.Context.create_client_context()
    try:
        request = context.request(aiocoap.Message(code=aiocoap.GET, uri=proxied.uri("/value"), observe=0))
        async with asyncio.timeout(PATIENCE_S):
            assert (await request.response).payload == b"0"
            notifications = aiter(request.observation)
            for state in (b"1", b"2"):
                proxied.world.device.change(state)
                assert (await anext(notifications)).payload == state
        request.observation.cancel()
    finally:
        await context.shutdown()


async def test_clients_share_the_channel(proxied: Proxied) -> None:
    answers = await asyncio.gather(
        *(proxied.libcoap("/echo", "-m", "post", "-e", f"lib{number}") for number in range(4)),
        *(proxied.aiocoap("/echo", "-m", "POST", "--payload", f"aio{number}") for number in range(3)),
    )
    wanted = [f"lib{number}".encode() for number in range(4)] + [f"aio{number}".encode() for number in range(3)]
    assert [answer.strip() for answer in answers] == wanted
    assert len(proxied.world.relay.upgrades) == 1
