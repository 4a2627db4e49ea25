"""What relaying a frame and holding a quiet connection cost, beside nats-server and mosquitto, all over TLS.

Three servers do the same work in one run, in turns: pairs of connections send each other payloads of 128 bytes, one
asks and the other answers, and each payload that arrives is one relayed frame. Here a pair is an app and its device
over `admit relay` with SQLite; beside it two clients of nats-server's WebSocket, and two of mosquitto, each
publishing to one subject and subscribing to one. The ends are in processes of their own, and only the server's CPU
time counts, that of all its threads (proc(5)). Each ratio is the median of the ratios of the same round.

- `cpu_over_nats`, `cpu_over_mosquitto`: 200 pairs, each with one payload on its way, as fast as the machine goes.
- `paced_…`: the same pairs, 1,000 questions and answers a second in all.
- `burst_…`: 16 payloads of each pair on their way, each sent by itself: the servers find several at once.
- `…_us`: the median CPU time for a frame, in microseconds.
- `idle_memory_over_nats`, `idle_memory_over_mosquitto`: memory (PSS) for a quiet connection, the slope from 100 to
  5,000; a quiet device has proved itself, a quiet client of the others has subscribed.
- `…_idle_kib`: the slopes. `…_growth`: the slope of the upper half over that of the whole.
- `…_crowd`: CPU time for a frame with 5,000 quiet connections beside the pairs, over that without them.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.load.brokers import mosquitto, nats_server
from bench.load.generator import Server, generating
from bench.load.node import relay_node
from bench.load.processes import ServerProcess, raise_file_limit
from bench.load.worker import Worker

PAIRS = 200
# Other work on the machine changes its speed within seconds, so turns are short, and many.
ROUNDS = 56
DURATION_S = 0.5
BURST = 16
PACED_PER_S = 1000
LADDER = (100, 1000, 2000, 3000, 4000, 5000)
SETTLE_S = 5.0
CROWD_ROUNDS = 12

SERVERS = ("relay", "nats", "mosquitto")
MODES = {
    "": ("saturate", {"window": 1, "duration_s": DURATION_S, "together": False}),
    "paced_": ("pace", {"per_second": PACED_PER_S, "duration_s": DURATION_S}),
    "burst_": ("saturate", {"window": BURST, "duration_s": DURATION_S, "together": False}),
}


def run() -> dict[str, float]:
    raise_file_limit(3 * LADDER[-1])
    with tempfile.TemporaryDirectory(prefix="admittance-bench-") as name:
        (Path(name) / "cpu").mkdir()
        (Path(name) / "memory").mkdir()
        return _cpu(Path(name) / "cpu") | _memory(Path(name) / "memory")


@dataclass(frozen=True)
class _Contestant:
    """A server under load from its own generator."""

    process: ServerProcess
    generator: Worker

    def frame_us(self, mode: str) -> float:
        """CPU time for a relayed frame."""
        command, arguments = MODES[mode]
        began = self.process.cpu_s()
        frames: int = self.generator.ask(command, **arguments)["frames"]
        return 1e6 * (self.process.cpu_s() - began) / frames


@contextmanager
def _contestant(kind: str, folder: Path, devices: int) -> Iterator[_Contestant]:
    servers: dict[str, Callable[[], AbstractContextManager[tuple[ServerProcess, Server]]]] = {
        "relay": lambda: relay_node(folder / kind, device_count=devices),
        "nats": lambda: nats_server(folder / kind),
        "mosquitto": lambda: mosquitto(folder / kind),
    }
    with servers[kind]() as (process, server), generating(server) as generator:
        yield _Contestant(process, generator)


def _cpu(folder: Path) -> dict[str, float]:
    """The servers take turns, round by round, in each mode."""
    seen: dict[tuple[str, str], list[float]] = {(mode, kind): [] for mode in MODES for kind in SERVERS}
    with ExitStack() as stack:
        contestants = {kind: stack.enter_context(_contestant(kind, folder, PAIRS)) for kind in SERVERS}
        for contestant in contestants.values():
            contestant.generator.ask("pair", first=0, count=PAIRS)
            contestant.frame_us("")
        for _ in range(ROUNDS):
            for mode, kind in seen:
                seen[mode, kind].append(contestants[kind].frame_us(mode))
    ratios = {
        f"{mode}cpu_over_{other}": statistics.median(
            ours / theirs for ours, theirs in zip(seen[mode, "relay"], seen[mode, other], strict=True)
        )
        for mode in MODES
        for other in SERVERS[1:]
    }
    return ratios | {f"{mode}{kind}_us": statistics.median(times) for (mode, kind), times in seen.items()}


def _memory(folder: Path) -> dict[str, float]:
    """One server after the other, each new."""
    figures: dict[str, float] = {}
    for kind in SERVERS:
        with _contestant(kind, folder, LADDER[-1] + PAIRS) as contestant:
            slope, growth = _idle(contestant)
            figures |= {f"{kind}_idle_kib": slope, f"{kind}_growth": growth, f"{kind}_crowd": _crowd(contestant)}
    ours = figures["relay_idle_kib"]
    return {f"idle_memory_over_{other}": ours / figures[f"{other}_idle_kib"] for other in SERVERS[1:]} | figures


def _idle(contestant: _Contestant) -> tuple[float, float]:
    """KiB for a quiet connection, and the slope of the upper half of the ladder over that of the whole."""
    seen = []
    for count in LADDER:
        contestant.generator.ask("hold", count=count)
        time.sleep(SETTLE_S)
        seen.append((count, contestant.process.memory_kib()))
    slope, upper = _slope(seen), _slope(seen[len(seen) // 2 - 1 :])
    return slope, upper / slope


def _slope(points: list[tuple[int, float]]) -> float:
    """Least squares."""
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def _crowd(contestant: _Contestant) -> float:
    """With the quiet connections, then without, in turns that differ in nothing else."""
    contestant.generator.ask("pair", first=LADDER[-1], count=PAIRS)
    contestant.frame_us("")
    crowded = [contestant.frame_us("") for _ in range(CROWD_ROUNDS)]
    contestant.generator.ask("release")
    time.sleep(SETTLE_S)
    alone = [contestant.frame_us("") for _ in range(CROWD_ROUNDS)]
    return statistics.median(crowded) / statistics.median(alone)
