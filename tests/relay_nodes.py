"""`admit relay` beside a server, each node behind cables to NATS and to the database that a test can cut or clamp."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from admittance.demo.processes import ADMIT, Program
from admittance.demo.stage import Ports, listens
from tests.attack.site import Site

POSTGRES_SOCKET = ".s.PGSQL.5432"

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Carry = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Cable:
    """Carries connections, until it is cut. While it is clamped they stay, and nothing passes."""

    def __init__(self, listen: Callable[[Carry], Awaitable[asyncio.Server]], dial: Callable[[], Awaitable[Ends]]):
        self._listen = listen
        self._dial = dial
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()

    async def plug(self) -> None:
        """Carry connections, again if it was cut."""
        self._flows.set()
        self._server = await self._listen(self._carry)

    async def cut(self) -> None:
        """Break every connection and take no more."""
        self._flows.set()
        if self._server is not None:
            self._server.close()
            for end in tuple(self._ends):
                end.transport.abort()
            await self._server.wait_closed()

    def clamp(self) -> None:
        self._flows.clear()

    def release(self) -> None:
        self._flows.set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        try:
            far_reader, far_writer = await self._dial()
        except OSError:
            writer.transport.abort()
            return
        self._ends.add(far_writer)
        await asyncio.gather(self._pour(reader, far_writer), self._pour(far_reader, writer))
        self._ends -= {writer, far_writer}

    async def _pour(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self._flows.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        sink.transport.abort()


@dataclass
class RelayNode:
    """One node. `bus` and `database` are its cables."""

    name: str
    config: Path
    ports: Ports
    bus: Cable
    database: Cable
    capture: Path
    program: Program | None = None

    @classmethod
    async def beside(cls, site: Site, folder: Path, nats_port: int) -> "RelayNode":
        """Make a node's folder: the server's keys and configuration, with addresses and cables of its own.

        The site must be on PostgreSQL, and on the NATS at ``nats://localhost:<nats_port>``.
        """
        stage, ports = site.stage, Ports.free()
        data, bus_port = folder / "server", ports.people
        bus = Cable(
            lambda carry: asyncio.start_server(carry, "127.0.0.1", bus_port),
            lambda: asyncio.open_connection("127.0.0.1", nats_port),
        )
        url = make_url(site.database_url)
        far = str(url.query["host"])
        near = url.update_query_dict({"host": str(folder)}).render_as_string(hide_password=False)
        database = Cable(
            lambda carry: asyncio.start_unix_server(carry, folder / POSTGRES_SOCKET),
            lambda: asyncio.open_unix_connection(f"{far}/{POSTGRES_SOCKET}"),
        )
        for cable in (bus, database):
            await cable.plug()
        shutil.copytree(stage.data / "keys", data / "keys")
        for opened in (data, data / "keys"):
            opened.chmod(0o700)
        changes = {
            str(stage.data): str(data),
            f"nats://localhost:{nats_port}": f"nats://localhost:{bus_port}",
            site.database_url: near,
            f"127.0.0.1:{stage.ports.app_relay}": f"127.0.0.1:{ports.app_relay}",
            f"127.0.0.1:{stage.ports.device_relay}": f"127.0.0.1:{ports.device_relay}",
        }
        text = stage.config.read_text()
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        config = folder / "admittance.toml"
        config.write_text(text)
        return cls(folder.name, config, ports, bus, database, folder / "seen.jsonl")

    async def run(self, site: Site, *options: str | Path) -> None:
        """Start it, unless it runs."""
        if self.program is None or not self.program.running:
            command: list[str | Path] = [*ADMIT, "relay", "--config", self.config, "--json", *options]
            self.program = await site.stage.programs.start(self.name, command)
            await self.program.ready(lambda: listens(self.ports.app_relay))

    async def unplug(self) -> None:
        for cable in (self.bus, self.database):
            await cable.cut()
