"""A process of devices, or of apps, that talk over the relay: ``python -m bench.load.talkers``."""

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import aiofastnet
import msgspec

from admittance.errors import ChannelLost
from bench.load.generator import CONNECT_S, HANDSHAKES_AT_ONCE, Server, client_context
from bench.load.population import Population
from bench.load.talk import REQUEST_S, TalkingApp, TalkingDevice
from bench.load.worker import Answer, Worker, work, working

TICK_S = 0.5
AWAY_S = 2.0
AGAIN_S = 0.5


class Plan(msgspec.Struct, frozen=True):
    """What one process does. `numbers` are the devices of the population that it is, or whose apps it is.

    The devices in `restless` connect again every `restless_s` seconds in the mean; an app asks every `ask_s` seconds.
    """

    role: Literal["devices", "apps"]
    server: Server
    numbers: list[int]
    restless: list[int] = []
    restless_s: float = 60.0
    ask_s: float = 1.0


def talking(plan: Plan) -> AbstractContextManager[Worker]:
    """A process that carries out `plan`, until the block ends.

    Commands: ``start`` connects, and for apps begins to ask; ``stir`` lets restless devices go; ``stop`` ends either;
    ``report`` tells what happened, by the number of the device. ``measure`` has apps ask `count` times, one question
    after the other with `pause_s` between them, and gives the milliseconds that each answer took.
    """
    return working("bench.load.talkers", msgspec.json.encode(plan))


class _Talkers(ABC):
    """What commands do to either role."""

    def __init__(self, plan: Plan, population: Population) -> None:
        self._plan = plan
        self._population = population
        self._at_once = asyncio.Semaphore(HANDSHAKES_AT_ONCE)
        self._tasks: list[asyncio.Task[None]] = []

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def stir(self) -> None: ...

    @abstractmethod
    async def stop(self) -> None: ...

    @abstractmethod
    def report(self) -> Answer: ...


class _Devices(_Talkers):
    """`executed` are the numbers of the requests that each device carried out, in order."""

    def __init__(self, plan: Plan, population: Population) -> None:
        super().__init__(plan, population)
        self._context = client_context(plan.server.anchor)
        self._connected: dict[int, TalkingDevice] = {}
        self._executed: dict[int, list[int]] = {number: [] for number in plan.numbers}
        self._broken: list[str] = []
        self._reconnected = 0
        self._dropped = 0

    async def start(self) -> None:
        self._ticking = asyncio.create_task(_tick(self._connected))
        await asyncio.gather(*(self._connect(number) for number in self._plan.numbers))

    async def stir(self) -> None:
        self._tasks += [asyncio.create_task(self._be_restless(number)) for number in self._plan.restless]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._broken = [repr(end) for end in ends if not isinstance(end, asyncio.CancelledError)]

    def report(self) -> Answer:
        return {
            "executed": self._executed,
            "reconnected": self._reconnected,
            "dropped": self._dropped,
            "broken": self._broken,
        }

    async def _connect(self, number: int) -> None:
        server = self._plan.server

        def make() -> TalkingDevice:
            return TalkingDevice(self._population, number, server.certificate_sha256)

        async with self._at_once, asyncio.timeout(CONNECT_S):
            _, device = await aiofastnet.create_connection(
                asyncio.get_running_loop(),
                make,
                "127.0.0.1",
                server.port,
                ssl=self._context,
                server_hostname="localhost",
            )
            device.executed = self._executed[number].append
            await device.ready
        device.lost = self._drop
        self._connected[number] = device

    async def _be_restless(self, number: int) -> None:
        """Vanish for a while, or come again while still there, at random times."""
        while True:
            await asyncio.sleep(random.expovariate(1 / self._plan.restless_s))
            before = self._connected[number]
            before.lost = _nothing
            if random.random() < 0.5:
                before.close()
                await asyncio.sleep(random.uniform(0, AWAY_S))
            await self._connect(number)
            before.close()
            self._reconnected += 1

    def _drop(self) -> None:
        self._dropped += 1


class _Apps(_Talkers):
    """Asks each device in turn, and keeps what became of each request."""

    def __init__(self, plan: Plan, population: Population) -> None:
        super().__init__(plan, population)
        self._context = client_context(plan.server.app_anchor)
        self._connected: dict[int, TalkingApp] = {}
        self._sent: dict[int, int] = dict.fromkeys(plan.numbers, 0)
        self._answered: dict[int, list[int]] = {number: [] for number in plan.numbers}
        self._failed: dict[int, list[int]] = {number: [] for number in plan.numbers}
        self._is_asking = False

    async def start(self) -> None:
        self._is_asking = True
        self._ticking = asyncio.create_task(_tick(self._connected))
        self._tasks += [asyncio.create_task(self._converse(number)) for number in self._plan.numbers]

    async def stir(self) -> None:
        """Apps come again when they are cut off, and only then."""

    async def stop(self) -> None:
        """Ask no more, and wait until every request has its end."""
        self._is_asking = False
        await asyncio.gather(*self._tasks)
        for _ in range(int((REQUEST_S + TICK_S) / TICK_S) + 1):
            if not self._is_any_open():
                break
            await asyncio.sleep(TICK_S)

    async def measure(self, count: int, pause_s: float) -> list[float]:
        """The milliseconds from question to answer, of all apps; the first question of each opens its channel."""
        times = await asyncio.gather(*(self._measure(number, count, pause_s) for number in self._plan.numbers))
        return [each for of_app in times for each in of_app]

    async def _measure(self, number: int, count: int, pause_s: float) -> list[float]:
        app, loop, times = await self._connect(number), asyncio.get_running_loop(), []
        for request in range(count + 1):
            waiting: asyncio.Future[int] = loop.create_future()
            app.answered = waiting.set_result
            began = time.perf_counter()
            app.ask(request)
            await asyncio.wait_for(waiting, REQUEST_S)
            times.append(1000 * (time.perf_counter() - began))
            await asyncio.sleep(random.uniform(0, 2 * pause_s))
        app.close()
        return times[1:]

    def report(self) -> Answer:
        return {"sent": self._sent, "answered": self._answered, "failed": self._failed}

    def _is_any_open(self) -> bool:
        return any(
            sent > len(self._answered[number]) + len(self._failed[number]) for number, sent in self._sent.items()
        )

    async def _converse(self, number: int) -> None:
        while self._is_asking:
            try:
                app = await self._connect(number)
            except OSError:
                await asyncio.sleep(random.uniform(AGAIN_S / 2, AGAIN_S))
                continue
            while self._is_asking and not app.is_over:
                self._ask(number, app)
                await asyncio.sleep(random.uniform(0.5, 1.5) * self._plan.ask_s)

    def _ask(self, number: int, app: TalkingApp) -> None:
        request = self._sent[number]
        self._sent[number] += 1
        try:
            app.ask(request)
        except ChannelLost:
            self._failed[number].append(request)

    async def _connect(self, number: int) -> TalkingApp:
        async with self._at_once, asyncio.timeout(CONNECT_S):
            _, app = await aiofastnet.create_connection(
                asyncio.get_running_loop(),
                lambda: TalkingApp(self._population, number),
                "127.0.0.1",
                self._plan.server.app_port,
                ssl=self._context,
                server_hostname="localhost",
            )
            app.answered, app.failed = self._answered[number].append, self._failed[number].append
            await app.ready
        self._connected[number] = app
        return app


async def _tick(ends: Mapping[int, TalkingDevice | TalkingApp]) -> None:
    while True:
        await asyncio.sleep(TICK_S)
        now = asyncio.get_running_loop().time()
        for each in tuple(ends.values()):
            each.tick(now)


def _nothing() -> None:
    """The loss was meant."""


def _make(description: str) -> Callable[[Answer], Awaitable[Answer]]:
    plan = msgspec.json.decode(description, type=Plan)
    population = Population.load(Path(plan.server.population))
    apps, devices = _Apps(plan, population), _Devices(plan, population)
    talkers: _Talkers = devices if plan.role == "devices" else apps

    async def carry_out(command: Answer) -> Answer:
        match command["command"]:
            case "measure":
                return {"ms": await apps.measure(command["count"], command["pause_s"])}
            case "start":
                await talkers.start()
            case "stir":
                await talkers.stir()
            case "stop":
                await talkers.stop()
            case "report":
                return talkers.report()
        return {}

    return carry_out


if __name__ == "__main__":
    work(_make)
