"""How long an answer takes through the relay: device and app, each a process, over OSCORE and TLS on one machine.

A request is a POST of 8 bytes that the device answers with 8. The channel is open before the clock runs; that of the
app counts, from the call to the answer, and with two processes of load and one of the relay on two cores it counts
the wait for a core, too.

- `round_trip_p50_ms`, `round_trip_p99_ms`: one app and its device, one request after the other.
- `busy_p50_ms`, `busy_p99_ms`: 100 apps and their devices, each about twice a second.
"""

import statistics
import tempfile
from pathlib import Path

from bench.load.node import relay_node
from bench.load.talkers import Plan, talking

ALONE = 2000
PAIRS = 100
EACH = 30
PAUSE_S = 0.5


def run() -> dict[str, float]:
    with (
        tempfile.TemporaryDirectory(prefix="admittance-bench-") as name,
        relay_node(Path(name) / "node", device_count=PAIRS) as (_, server),
        talking(Plan("devices", server, list(range(PAIRS)))) as devices,
        talking(Plan("apps", server, [0])) as app,
        talking(Plan("apps", server, list(range(PAIRS)))) as apps,
    ):
        devices.ask("start")
        alone = app.ask("measure", count=ALONE, pause_s=0.0)["ms"]
        busy = apps.ask("measure", count=EACH, pause_s=PAUSE_S)["ms"]
        return _percentiles("round_trip", alone) | _percentiles("busy", busy)


def _percentiles(name: str, times: list[float]) -> dict[str, float]:
    hundredths = statistics.quantiles(times, n=100)
    return {f"{name}_p50_ms": hundredths[49], f"{name}_p99_ms": hundredths[98]}
