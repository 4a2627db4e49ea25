"""What a relay node loses, repeats or keeps while 5,000 devices come and go and 200 of them are talked to.

The devices are connected over TLS to one `admit relay` on SQLite; 200 apps ask 200 of them about once a second
each, over channels of their own (EDHOC, OSCORE). A quarter of all devices, and of those 200, vanish or connect a
second time at random for five minutes. Every request is counted on both sides: by the app, which must hear one
answer or one failure, and by the device, which must carry it out at most once, and exactly once if it was answered.
The bench fails where that does not hold, where a device that did not mean to go lost its connection, and where memory
grows.

- `requests`, `answered`, `failed`: what apps counted; `carried_out`: what devices counted.
- `reconnected`: how often a device connected again.
- `memory_growth`: the node's memory (PSS) in the last part of the time over that after warming up; at most 1.05.
- `memory_mib`: in the last part. `cpu_share`: of one core, on average.
"""

import statistics
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.load.node import relay_node
from bench.load.processes import ServerProcess, raise_file_limit
from bench.load.talkers import Plan, talking
from bench.load.worker import Worker

MAX_MEMORY_GROWTH = 1.05
SAMPLE_S = 2.0


@dataclass(frozen=True)
class Scale:
    """Devices 0 to `talkers` - 1 are talked to; every `1 / restless_share`-th device is restless."""

    devices: int = 5000
    talkers: int = 200
    restless_share: float = 0.25
    restless_s: float = 60.0
    ask_s: float = 1.0
    warm_up_s: float = 60.0
    duration_s: float = 300.0
    device_processes: int = 2


@dataclass
class Outcome:
    """What both sides counted, and what of it must not be."""

    sent: int = 0
    answered: int = 0
    failed: int = 0
    executed: int = 0
    reconnected: int = 0
    cpu_share: float = 0.0
    memory_kib: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def memory(self) -> tuple[float, float]:
        """KiB in the first and in the last quarter of the time."""
        quarter = max(1, len(self.memory_kib) // 4)
        return statistics.median(self.memory_kib[:quarter]), statistics.median(self.memory_kib[-quarter:])


def run() -> dict[str, float]:
    scale = Scale()
    outcome = soak(scale)
    first, last = outcome.memory()
    if last > MAX_MEMORY_GROWTH * first:
        outcome.violations.append(f"memory grew from {first:,.0f} to {last:,.0f} KiB")
    figures = {
        "requests": outcome.sent,
        "answered": outcome.answered,
        "failed": outcome.failed,
        "carried_out": outcome.executed,
        "reconnected": outcome.reconnected,
        "memory_growth": last / first,
        "memory_mib": last / 1024,
        "cpu_share": outcome.cpu_share,
    }
    if outcome.violations:
        raise SystemExit("\n".join([f"soak failed: {figures}", *outcome.violations]))
    return figures


def soak(scale: Scale) -> Outcome:
    """Run it all, and compare what both sides counted."""
    raise_file_limit(3 * scale.devices)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="admittance-soak-")))
        node = relay_node(folder / "node", device_count=scale.devices, account_count=scale.talkers)
        process, server = stack.enter_context(node)
        step = scale.device_processes
        numbers = [list(range(first, scale.devices, step)) for first in range(step)]
        every = round(1 / scale.restless_share)
        devices = [
            stack.enter_context(
                talking(Plan("devices", server, each, [n for n in each if n // step % every == 0], scale.restless_s))
            )
            for each in numbers
        ]
        apps = stack.enter_context(talking(Plan("apps", server, list(range(scale.talkers)), ask_s=scale.ask_s)))
        _all(devices, "start")
        apps.ask("start")
        _all(devices, "stir")
        outcome = Outcome()
        _watch(process, scale, outcome)
        apps.ask("stop")
        _all(devices, "stop")
        _compare(outcome, apps.ask("report"), [device.ask("report") for device in devices])
        return outcome


def _all(workers: list[Worker], command: str) -> None:
    for worker in workers:
        worker.begin(command)
    for worker in workers:
        worker.end()


def _watch(process: ServerProcess, scale: Scale, outcome: Outcome) -> None:
    time.sleep(scale.warm_up_s)
    began, cpu_s = time.monotonic(), process.cpu_s()
    while time.monotonic() - began < scale.duration_s:
        time.sleep(SAMPLE_S)
        outcome.memory_kib.append(process.memory_kib())
    outcome.cpu_share = (process.cpu_s() - cpu_s) / (time.monotonic() - began)


def _compare(outcome: Outcome, apps: dict[str, Any], devices: list[dict[str, Any]]) -> None:
    """Fill in the counts, and what does not fit together."""
    executed = {number: Counter(done) for report in devices for number, done in report["executed"].items()}
    for number, sent in apps["sent"].items():
        answered, failed = Counter(apps["answered"][number]), Counter(apps["failed"][number])
        outcome.violations += [
            f"device {number}: {what}" for what in _faults(sent, answered, failed, executed[number])
        ]
        outcome.sent += sent
        outcome.answered += answered.total()
        outcome.failed += failed.total()
        outcome.executed += executed[number].total()
    for report in devices:
        outcome.reconnected += report["reconnected"]
        outcome.violations += [f"a device could not connect again: {failure}" for failure in report["broken"]]
        if report["dropped"]:
            outcome.violations.append(f"{report['dropped']} devices lost their connection")
    if not outcome.answered:
        outcome.violations.append("no request was answered")


def _faults(sent: int, answered: Counter[int], failed: Counter[int], executed: Counter[int]) -> list[str]:
    faults = []
    for request in range(sent):
        ends = answered[request], failed[request]
        if sum(ends) != 1:
            faults.append(f"request {request} had {ends[0]} answers and {ends[1]} failures")
        if executed[request] > 1:
            faults.append(f"request {request} was carried out {executed[request]} times")
        if answered[request] and not executed[request]:
            faults.append(f"request {request} was answered and not carried out")
    unknown = [request for request in executed if request >= sent]
    return [*faults, *(f"request {request} was carried out and never sent" for request in unknown)]
