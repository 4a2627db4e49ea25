"""The whole integrity service on a port of its own, with one release."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from admittance.demo.ports import free_ports
from admittance.server.integrity.app import CA_FILE, IntegrityServer, build
from admittance.server.integrity.config import IntegrityConfig, PolicySection, ServiceSection
from tests.unit.server.integrity.conftest import CLIENT, VERSION, make_app


@dataclass(frozen=True)
class Running:
    server: IntegrityServer
    origin: str
    app: Path

    @property
    def ca_pem(self) -> str:
        return (self.server.foundation.config.data_dir / CA_FILE).read_text()

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.ca_pem)

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.origin, verify=self.trust, trust_env=False, timeout=30)


@asynccontextmanager
async def running(folder: Path, clock: Callable[[], float]) -> AsyncIterator[Running]:
    """A service that is ready, and that has stopped when the block ends."""
    (port,) = free_ports(1)
    origin = f"https://localhost:{port}"
    config = IntegrityConfig(
        service=ServiceSection(origin=origin, listen=f"127.0.0.1:{port}", data_dir="service"),
        policy=PolicySection(deadline_s=60),
        folder=folder,
    )
    server = build(config, clock=clock)
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(server.run(stop, ready.set))
    waiter = asyncio.create_task(ready.wait())
    await asyncio.wait([task, waiter], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        waiter.cancel()
        await task
    try:
        app = make_app(folder / "app")
        await server.foundation.releases.add(client_id=CLIENT, version=VERSION, folder=app)
        yield Running(server, origin, app)
    finally:
        stop.set()
        await task
