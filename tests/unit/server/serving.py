"""Listeners and whole servers for the tests, on ports of their own."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from admittance.demo.ports import free_ports
from admittance.server.app import build
from admittance.server.config import Config, ListenSection, ServerSection
from admittance.server.listeners import Listener, Listeners
from admittance.server.server import Server


def configuration(folder: Path) -> Config:
    people, first_contact, device, app_relay, device_relay = free_ports(5)
    return Config(
        server=ServerSection(origin=f"https://localhost:{people}", data_dir="data"),
        listen=ListenSection(
            f"127.0.0.1:{people}",
            f"127.0.0.1:{first_contact}",
            f"127.0.0.1:{device}",
            f"127.0.0.1:{app_relay}",
            f"127.0.0.1:{device_relay}",
        ),
        folder=folder,
    )


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Server]:
    """A server that is ready, and that has stopped when the block ends."""
    server = build(config)
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(server.run(stop, ready.set))
    waiter = asyncio.create_task(ready.wait())
    await asyncio.wait([task, waiter], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        waiter.cancel()
        await task
    try:
        yield server
    finally:
        stop.set()
        await task


@asynccontextmanager
async def listening(listener: Listener) -> AsyncIterator[None]:
    listeners = Listeners([listener])
    await listeners.start()
    try:
        yield
    finally:
        await listeners.stop()


async def exchange(port: int, context: ssl.SSLContext, request: bytes, *, then_close: bool = False) -> bytes:
    """Send bytes, give everything that comes until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    writer.write(request)
    if then_close:
        writer.close()
    try:
        return await reader.read()
    finally:
        writer.close()
