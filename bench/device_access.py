"""What possession keys cost a device: opening by a token, and holding each request against the rules.

One process, its CPU time; the device's memory is on a real disk, but its syncs are not waited for. The fastest round
counts: the one that other work disturbed least.

- `token_checks_per_second`, `token_check_us`: authz-info, the context, the first protected request and its answer, at
  the device.
- `request_checks_per_second`, `request_check_us`: time, window, uses and scope of one request.
- `use_us`: a use that is counted and written, without the sync.
"""

import itertools
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from admittance.device.access.enforcement import Enforcement
from admittance.device.clock import TrustedClock
from admittance.device.files import Files
from admittance.device.state import KeyMaterial, Memory, StateFile, first_record
from admittance.errors import NotFound
from admittance.protocol.access.authz_info import PossessionKey, PossessionOpening, Possessors
from admittance.protocol.access.granted import GrantedAccess
from admittance.protocol.channel.channel import Channel
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.protocol.channel.scope import check_scope
from admittance.protocol.channel.session import Session
from admittance.wire.access import MAX_KEYS, AccessPush, GrantedKey
from admittance.wire.channel import GET, PUT, Entry, Permission
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage

NOW = 1_800_000_000
ROUNDS = 20
OPENINGS, CHECKS, USES = 50, 2000, 50


def run() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        enforcement, keys = _device(Path(folder))
        opening_s = _opening_s(enforcement, keys[-1])
        check_s = _cpu_s(lambda: _check(enforcement, keys[-1]), CHECKS)
        use_s = _cpu_s(lambda: enforcement.use(keys[-1]), USES)
    return {
        "token_checks_per_second": 1 / opening_s,
        "token_check_us": opening_s * 1e6,
        "request_checks_per_second": 1 / check_s,
        "request_check_us": check_s * 1e6,
        "use_us": use_s * 1e6,
    }


class UnsyncedFiles(Files):
    """Leaves it to the kernel when bytes reach the disk."""

    def write(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)

    def sync_folder(self, folder: Path) -> None:
        return None


def _device(folder: Path) -> tuple[Enforcement, tuple[GrantedKey, ...]]:
    """A device with as many keys as it takes; the last one found is used."""
    scope = (Permission("/lock", GET | PUT),)
    keys = tuple(
        GrantedKey(os.urandom(16), os.urandom(32), os.urandom(16), "guest", scope, NOW - 60, NOW + 3600, 10**6)
        for _ in range(MAX_KEYS)
    )
    record = first_record(KeyMaterial(b"", b"", b""))
    memory, clock = Memory(StateFile(folder, UnsyncedFiles()), record), TrustedClock(time.monotonic, NOW)
    memory.change(epoch=1, access=GrantedAccess(1).take(AccessPush(1, 0, 1, keys, ()), now=NOW))
    clock.set_server_time(NOW)
    return Enforcement(memory, clock, lambda *_, **__: None), keys


def _check(enforcement: Enforcement, key: GrantedKey) -> None:
    standing = enforcement.standing(key)
    enforcement.check(standing)
    check_scope(standing, codes.PUT, "/lock")


def _opening_s(enforcement: Enforcement, key: GrantedKey) -> float:
    """Seconds of CPU that the device spends on one opening; the client's are not counted."""
    possessors = Possessors(enforcement.find, enforcement.standing, lambda _: b"")
    own = ChannelKey(ec.generate_private_key(ec.SECP256R1()))
    numbers = itertools.count()
    best = float("inf")
    for _ in range(ROUNDS):
        spent = 0.0
        for _ in range(OPENINGS):
            device = Channel.responder(own, _nobody, random=os.urandom, possessors=possessors, peer=next(numbers))
            opening = PossessionOpening(PossessionKey(key.token, key.master_secret), (), os.urandom)
            step: CoapMessage | Session | None = opening.begin(0.0)
            while isinstance(step, CoapMessage):
                begun = time.process_time()
                device.receive(step, 0.0)
                (answer,) = device.drain()
                spent += time.process_time() - begun
                step = opening.receive(answer, 0.0)
            assert isinstance(step, Session)
        best = min(best, spent / OPENINGS)
    return best


def _nobody(_kid: bytes) -> Entry:
    raise NotFound("Nobody is listed.")


def _cpu_s(work: Callable[[], object], times: int) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(times):
            work()
        best = min(best, (time.process_time() - begun) / times)
    return best
