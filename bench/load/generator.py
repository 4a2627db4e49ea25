"""A process that holds connections to one server and makes load on them: ``python -m bench.load.generator``.

It reads commands, one JSON object a line, and answers each with one. The first describes the server.
"""

import asyncio
import json
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiofastnet
import msgspec
import uvloop

from bench.load.broker_ends import MqttEnd, NatsEnd
from bench.load.ends import End
from bench.load.pairs import Load, Pair
from bench.load.population import Population
from bench.load.relay_ends import RelayAppEnd, RelayDeviceEnd

HANDSHAKES_AT_ONCE = 32
CONNECT_S = 60


class Server(msgspec.Struct, frozen=True):
    """What ends must know of a server. `population` is the file of the relay's devices and apps; empty for others.

    `app_port` is the relay's for apps, `certificate_sha256` of what it shows to devices.
    """

    kind: str
    port: int
    anchor: str
    app_port: int = 0
    app_anchor: str = ""
    certificate_sha256: bytes = b""
    population: str = ""


class Generator:
    """The other side of the process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        """Have a command carried out and wait for it. Raises `RuntimeError` if the process ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load's process ended during {command}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def generating(server: Server) -> Iterator[Generator]:
    """A generator of load on `server`, until the block ends."""
    command = [sys.executable, "-m", "bench.load.generator"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(server).decode() + "\n")
        try:
            yield Generator(process)
        finally:
            process.kill()


class _Ends:
    """Makes connections to a server, and keeps them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._device_context = _context(server.anchor)
        self._app_context = _context(server.app_anchor) if server.app_anchor else self._device_context
        self._population = Population.load(Path(server.population)) if server.population else None
        self._at_once = asyncio.Semaphore(HANDSHAKES_AT_ONCE)
        self._idle: list[End] = []
        self.load = Load([])

    async def hold(self, count: int) -> None:
        """Have `count` connections that stay quiet, each taken up by the server as the far ends of pairs are."""
        new = range(len(self._idle), count)
        self._idle += await asyncio.gather(*(self._far(number) for number in new))

    def release(self) -> None:
        """Let the quiet connections go."""
        for end in self._idle:
            end.close()
        self._idle.clear()

    async def pair(self, first: int, count: int) -> None:
        """Connect pairs that nothing was connected for yet, and put the load on them."""
        self.load = Load(await asyncio.gather(*(self._pair(first + number) for number in range(count))))

    async def _pair(self, number: int) -> Pair:
        far = await self._far(number)
        return Pair(await self._near(number), far)

    async def _far(self, number: int) -> End:
        server, connect = self._server, self._connect
        if server.kind == "nats":
            return await connect(lambda: NatsEnd(publishes=f"near.{number}", subscribes=f"far.{number}"))
        if server.kind == "mosquitto":
            name = f"far{number}"
            return await connect(lambda: MqttEnd(publishes=f"near/{number}", subscribes=f"far/{number}", name=name))
        assert self._population is not None
        device = self._population.devices[number]
        return await connect(lambda: RelayDeviceEnd(device, server.certificate_sha256))

    async def _near(self, number: int) -> End:
        server, connect = self._server, self._connect
        if server.kind == "nats":
            return await connect(lambda: NatsEnd(publishes=f"far.{number}", subscribes=f"near.{number}"))
        if server.kind == "mosquitto":
            name = f"near{number}"
            return await connect(lambda: MqttEnd(publishes=f"far/{number}", subscribes=f"near/{number}", name=name))
        assert self._population is not None
        population, device = self._population, self._population.devices[number]
        return await connect(lambda: RelayAppEnd(population, device), is_app=True)

    async def _connect(self, make: Callable[[], End], *, is_app: bool = False) -> End:
        port = self._server.app_port if is_app else self._server.port
        context = self._app_context if is_app else self._device_context
        async with self._at_once, asyncio.timeout(CONNECT_S):
            _, end = await aiofastnet.create_connection(
                asyncio.get_running_loop(), make, "127.0.0.1", port, ssl=context, server_hostname="localhost"
            )
            await end.ready
            return end


def _context(anchor: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=anchor)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


async def _serve() -> None:
    ends = _Ends(msgspec.json.decode(sys.stdin.readline(), type=Server))
    while line := await asyncio.to_thread(sys.stdin.readline):
        command = json.loads(line)
        print(json.dumps(await _carry_out(ends, command)), flush=True)


async def _carry_out(ends: _Ends, command: dict[str, Any]) -> dict[str, Any]:
    match command:
        case {"command": "hold", "count": count}:
            await ends.hold(count)
            return {}
        case {"command": "release"}:
            ends.release()
            return {}
        case {"command": "pair", "first": first, "count": count}:
            await ends.pair(first, count)
            return {}
        case {"command": "saturate", "window": window, "duration_s": duration_s, "together": together}:
            return {"frames": await ends.load.saturate(window, duration_s, together=together)}
        case {"command": "pace", "per_second": per_second, "duration_s": duration_s}:
            return {"frames": await ends.load.pace(per_second, duration_s)}
    raise RuntimeError(f"{command} is no command")


if __name__ == "__main__":
    uvloop.run(_serve())
