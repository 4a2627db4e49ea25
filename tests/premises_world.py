"""Premises to test in: a server on a socket, and a host that echoes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from admittance.premises import config
from admittance.premises.server import PremisesServer

PREMISES = """
networks = [
  {{ssid = "Home", passphrase = "correct horse", signal_dbm = -48, channel = 11}},
  {{ssid = "Guest", signal_dbm = -60, uplink = false}},
  {{ssid = "Full", passphrase = "no more leases", signal_dbm = -70, address = false}},
  {{ssid = "Far", signal_dbm = -95}},
  {{ssid = "mobile", kind = "cellular"}},
]
[uplink]
hosts = {hosts}
"""


@dataclass(slots=True)
class Echo:
    """A host on loopback that sends back what it gets. `ended` is set when a connection to it has ended."""

    port: int = 0
    connections: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            writer.transport.abort()
        finally:
            self.ended.set()
            writer.close()


@asynccontextmanager
async def echo_server() -> AsyncIterator[Echo]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    echo.port = server.sockets[0].getsockname()[1]
    async with server:
        yield echo


@asynccontextmanager
async def premises_server(directory: Path, hosts: Sequence[str]) -> AsyncIterator[Path]:
    """Premises with the networks of `PREMISES`, whose uplink leads to `hosts`; gives the socket's path."""
    path = directory / "premises.sock"
    server = PremisesServer(config.parse(PREMISES.format(hosts=list(hosts))))
    await server.start(path)
    try:
        yield path
    finally:
        await server.close()
