"""A process that holds connections to one server and makes load on them: ``python -m bench.load.generator``."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path

import aiofastnet
import msgspec

from bench.load.broker_ends import MqttEnd, NatsEnd
from bench.load.ends import End
from bench.load.pairs import Load, Pair
from bench.load.population import Population
from bench.load.relay_ends import RelayAppEnd, RelayDeviceEnd
from bench.load.worker import Answer, Worker, work, working

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


def generating(server: Server) -> AbstractContextManager[Worker]:
    """A generator of load on `server`, until the block ends."""
    return working("bench.load.generator", msgspec.json.encode(server))


class _Ends:
    """Makes connections to a server, and keeps them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._device_context = client_context(server.anchor)
        self._app_context = client_context(server.app_anchor) if server.app_anchor else self._device_context
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


def client_context(anchor: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=anchor)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def _make(description: str) -> Callable[[Answer], Awaitable[Answer]]:
    ends = _Ends(msgspec.json.decode(description, type=Server))

    async def carry_out(command: Answer) -> Answer:
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

    return carry_out


if __name__ == "__main__":
    work(_make)
