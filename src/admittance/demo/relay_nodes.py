"""A server of several nodes on one machine: PostgreSQL and NATS between them, and a file of all that each one saw."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from admittance.demo.ports import free_ports
from admittance.demo.postgres import postgres
from admittance.demo.processes import ADMIT, Program
from admittance.demo.stage import Stage, listens
from admittance.wire import base64url

NATS_SERVER = "nats-server"


class SeenFrame(msgspec.Struct, frozen=True):
    """One line of a node's capture. `direction` is ``from_device``, ``to_device``, ``from_app`` or ``to_app``."""

    time: float
    direction: str
    device_id: str
    data: str
    stream: int | None = None
    type: int | None = None


@dataclass
class RelayNode:
    """One `admit relay`, with ports of its own."""

    name: str
    app_port: int
    device_port: int
    capture: Path
    program: Program | None = None

    def seen(self, *directions: str) -> tuple[SeenFrame, ...]:
        """What the node saw in these directions, all if none is named."""
        lines = self.capture.read_bytes().splitlines(keepends=True) if self.capture.exists() else []
        frames = (msgspec.json.decode(line, type=SeenFrame) for line in lines if line.endswith(b"\n"))
        return tuple(frame for frame in frames if not directions or frame.direction in directions)

    def holds(self, secret: bytes) -> bool:
        """Whether the node saw `secret` anywhere: in one frame, or over the border of two."""
        return secret in b"".join(base64url.decode(frame.data) for frame in self.seen())


@dataclass
class RelayNodes:
    """The nodes of a stage. Use it as a context manager: the database ends with it."""

    stage: Stage
    names: tuple[str, ...]
    nodes: dict[str, RelayNode] = field(default_factory=dict)
    _database: str = ""
    _bus_port: int = 0
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> "RelayNodes":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    async def prepare(self) -> None:
        """Start PostgreSQL and NATS, and tell the stage's server and its nodes of each other."""
        self._database = self._stack.enter_context(postgres())
        self._bus_port, *ports = free_ports(1 + 2 * len(self.names))
        for name in self.names:
            app_port, device_port, *ports = ports
            capture = self.stage.folder / f"seen-by-{name}.jsonl"
            self.nodes[name] = RelayNode(name, app_port, device_port, capture)
        self.stage.relay_ports = tuple(node.device_port for node in self.nodes.values())
        await self._start_bus()

    def urls(self, *, apps: str, devices: str) -> str:
        """Lines of ``[server]``: where apps and devices try first, and then."""
        app_urls = ", ".join(f'"wss://localhost:{node.app_port}"' for node in self._from(apps))
        device_urls = ", ".join(f'"wss://localhost:{node.device_port}"' for node in self._from(devices))
        return f"app_relay_urls = [{app_urls}]\ndevice_relay_urls = [{device_urls}]\n"

    def tables(self) -> str:
        """The tables of the configuration that all nodes share."""
        return f"""\
[database]
url = "{self._database}"

[bus]
url = "nats://127.0.0.1:{self._bus_port}"

"""

    async def start(self, name: str) -> RelayNode:
        """Start a node and wait until it takes connections."""
        node = self.nodes[name]
        config = self.stage.folder / f"{name}.toml"
        config.write_text(self._config_of(node), encoding="utf-8")
        command: list[str | Path] = [*ADMIT, "relay", "--config", config, "--capture", node.capture, "--json"]
        program = await self.stage.programs.start(f"relay-{name}", command)
        await program.ready(lambda: listens(node.device_port))
        node.program = program
        return node

    def holds(self, secret: bytes) -> bool:
        """Whether any node saw `secret`."""
        return any(node.holds(secret) for node in self.nodes.values())

    def _config_of(self, node: RelayNode) -> str:
        """The server's configuration, with the node's own listeners."""
        text, ports = self.stage.config.read_text(encoding="utf-8"), self.stage.ports
        text = text.replace(f":{ports.app_relay}", f":{node.app_port}")
        return text.replace(f":{ports.device_relay}", f":{node.device_port}")

    def _from(self, first: str) -> list[RelayNode]:
        return sorted(self.nodes.values(), key=lambda node: node.name != first)

    async def _start_bus(self) -> None:
        command: list[str | Path] = [NATS_SERVER, "-a", "127.0.0.1", "-p", str(self._bus_port)]
        program = await self.stage.programs.start("nats", command)
        await program.ready(lambda: listens(self._bus_port))


def facts_of(frames: tuple[SeenFrame, ...]) -> dict[str, Any]:
    """How much a node saw."""
    return {"frames": len(frames), "bytes": sum(len(base64url.decode(frame.data)) for frame in frames)}
