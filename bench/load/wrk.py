"""wrk(1), which asks the same thing again and again over connections that it keeps."""

import base64
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 8
ON_THE_OTHER_CORE = ("taskset", "--cpu-list", "1")
_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True)
class Load:
    """How many requests were answered in how long, and how long the 99th of 100 took."""

    requests: int
    seconds: float
    p50_s: float
    p99_s: float


def post_forms(url: str, body: str, client_id: str, secret: str, folder: Path, seconds: int) -> Load:
    """Post `body` as that client. Raises `RuntimeError` if any answer is not a 2xx."""
    script = folder / "wrk.lua"
    credentials = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = "{body}"\n'
        'wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"\n'
        f'wrk.headers["Authorization"] = "Basic {credentials}"\n'
    )
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", "--latency", "-s", str(script), url]
    done = subprocess.run([*ON_THE_OTHER_CORE, *command], capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(done.stdout)
    counted = re.search(r"(\d+) requests in ([\d.]+)s", done.stdout)
    if counted is None:
        raise RuntimeError(done.stdout)
    return Load(int(counted[1]), float(counted[2]), _latency_s(done.stdout, 50), _latency_s(done.stdout, 99))


def _latency_s(output: str, percentile: int) -> float:
    found = re.search(rf"{percentile}%\s+([\d.]+)(us|ms|s)", output)
    if found is None:
        raise RuntimeError(output)
    return float(found[1]) * _UNITS_S[found[2]]
