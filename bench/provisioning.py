"""What a whole Security 2 session costs the device, beside its modular exponentiations alone.

- `session_cpu_over_modexp`: CPU time of the device's machine for a session with a fresh code, over CPU time of the
  same exponentiations alone in the same run. A session: `proto-ver`, both handshake round trips, an `admit-*` call
  with a request of 4 KiB and an answer of 2 KiB in chunks, a scan of 16 networks, and setting, applying and asking
  for a network. Its exponentiations modulo the 3072-bit prime: g^x (512-bit exponent, the code's verifier), g^b
  (256), v^u (512) and (A v^u)^b (256).
- `session_ms`, `modexp_ms`: the CPU time of either, in milliseconds.
- `sessions_per_second`: how many sessions one core of this machine would carry as a device.

Both are measured in turns, session by session, and the medians are taken.
"""

import random
import statistics
import time
from collections.abc import Callable

from admittance.protocol.provisioning import stock
from admittance.protocol.provisioning.client import ProvisioningClient, Request, Response, run_blocking
from admittance.protocol.provisioning.codes import CodeBook, RotatingCodes
from admittance.protocol.provisioning.device import Capabilities, ProvenSession, ProvisioningDevice
from admittance.protocol.provisioning.srp import PROVISIONING_SUITE
from admittance.wire.protocomm.scan import ScannedNetwork

SESSIONS = 40
NETWORKS = tuple(
    ScannedNetwork(f"Network {index}", bytes([2, 0, 0, 0, 0, index]), index, -50, "wpa2") for index in range(16)
)


def run() -> dict[str, float]:
    source = random.Random(3072)
    sessions, floors = [], []
    for _ in range(SESSIONS):
        sessions.append(_session_s(source.randbytes))
        floors.append(_modexp_s(source))
    session_s, modexp_s = statistics.median(sessions), statistics.median(floors)
    return {
        "session_cpu_over_modexp": session_s / modexp_s,
        "session_ms": 1000 * session_s,
        "modexp_ms": 1000 * modexp_s,
        "sessions_per_second": 1 / session_s,
    }


def _session_s(draw: Callable[[int], bytes]) -> float:
    """CPU seconds that one session took inside the device's machine."""
    rotating = RotatingCodes()
    device = ProvisioningDevice(
        codes=CodeBook(rotating=rotating),
        capabilities=Capabilities("display"),
        application={"admit-evidence": _answer},
        stock_endpoints=stock.StockEndpoints(lambda endpoint, now: True),
        boot_key=draw(32),
    )
    spent = 0.0

    def exchange(request: Request) -> Response:
        nonlocal spent
        began = time.process_time()
        reply = device.receive(request.endpoint, request.cookie, request.body, 1.0, draw)
        for command in device.drain():
            if isinstance(command, stock.StartScan):
                device.notify(stock.ScanFinished(NETWORKS))
        spent += time.process_time() - began
        return Response(reply.status, reply.body, reply.cookie)

    code = rotating.shown(0.0, draw)
    client = ProvisioningClient(code.code_id, code.code, draw)
    run_blocking(client.open(), exchange)
    run_blocking(client.call("admit-evidence", draw(4096)), exchange)
    run_blocking(client.scan(), exchange)
    run_blocking(client.set_network("Network 1", "correct horse"), exchange)
    run_blocking(client.network_status(), exchange)
    return spent


def _answer(session: ProvenSession, request: bytes, now: float) -> bytes:
    return request[:2048]


def _modexp_s(source: random.Random) -> float:
    """CPU seconds of the exponentiations of one session."""
    n, g = PROVISIONING_SUITE.n, PROVISIONING_SUITE.g
    x, u = source.getrandbits(512), source.getrandbits(512)
    b, a_public = source.getrandbits(256) | 1 << 255, source.getrandbits(3071)
    began = time.process_time()
    verifier = pow(g, x, n)
    pow(g, b, n)
    scrambled = pow(verifier, u, n)
    pow(a_public * scrambled % n, b, n)
    return time.process_time() - began
