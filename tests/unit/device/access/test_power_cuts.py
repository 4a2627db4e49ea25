"""A power cut at each step of a disk, while a single use is counted: the actuation comes once or not at all."""

import os
import time
from pathlib import Path

import pytest

from admittance.device.access.enforcement import Enforcement
from admittance.device.clock import TrustedClock
from admittance.device.files import Files
from admittance.device.state import KeyMaterial, Memory, StateFile, first_record
from admittance.errors import NotFound, Refused
from admittance.protocol.access.granted import GrantedAccess
from admittance.wire.access import AccessPush, GrantedKey
from admittance.wire.channel import PUT, Permission
from tests.unit.device.killing_files import KillingFiles, PowerCut

EPOCH, NOW = 3, 1_800_000_000
SINGLE = GrantedKey(bytes(16), bytes(32), b"g" * 16, "guest", (Permission("/lock", PUT),), NOW - 60, NOW + 60, 1)


def push(sequence: int, *keys: GrantedKey, base: int = 0, ended: tuple[bytes, ...] = ()) -> AccessPush:
    return AccessPush(EPOCH, base, sequence, keys, ended)


def switched_on(folder: Path, files: Files) -> tuple[Enforcement, Memory]:
    """The device with what its disk holds, and the time from its server."""
    file = StateFile(folder, files)
    record = file.load()
    assert record is not None
    memory, clock = Memory(file, record), TrustedClock(time.monotonic, record.time_floor)
    clock.set_server_time(NOW)
    return Enforcement(memory, clock, lambda *_, **__: None), memory


def prepared(folder: Path) -> None:
    file = StateFile(folder)
    record = first_record(KeyMaterial(b"", b"", b""))
    file.save(record)
    Memory(file, record).change(epoch=EPOCH, access=GrantedAccess(EPOCH).take(push(1, SINGLE), now=NOW))


def unlock(enforcement: Enforcement) -> int:
    """How often the bolt moved."""
    try:
        enforcement.use(enforcement.find(SINGLE.token))
    except Refused:
        return 0
    return 1


def steps_of(folder: Path) -> int:
    prepared(folder)
    files = KillingFiles()
    unlock(switched_on(folder, files)[0])
    return files.steps


def test_a_use_is_there_once_at_most_whenever_the_power_fails(tmp_path: Path) -> None:
    counted = tmp_path / "counted"
    counted.mkdir()
    steps = steps_of(counted)
    assert steps > 3
    moved = []
    for kill_at in range(1, steps + 1):
        folder = tmp_path / str(kill_at)
        folder.mkdir()
        prepared(folder)
        with pytest.raises(PowerCut):
            unlock(switched_on(folder, KillingFiles(kill_at))[0])
        moved.append(unlock(switched_on(folder, Files())[0]))
        assert unlock(switched_on(folder, Files())[0]) == 0
    assert set(moved) == {0, 1}


@pytest.mark.parametrize("damaged", ["use", "end"])
def test_a_disk_that_loses_the_last_change_gives_neither_a_use_nor_a_key_back(tmp_path: Path, damaged: str) -> None:
    prepared(tmp_path)
    enforcement, _ = switched_on(tmp_path, Files())
    if damaged == "use":
        assert unlock(enforcement) == 1
    else:
        enforcement.take(push(2, base=1, ended=(SINGLE.token,)))
    with (tmp_path / "state.cbor").open("r+b") as file:
        file.seek(40)
        file.write(os.urandom(8))
    enforcement, memory = switched_on(tmp_path, Files())
    with pytest.raises(NotFound):
        enforcement.find(SINGLE.token)
    assert enforcement.state.sequence == 0
    enforcement.take(push(3, SINGLE))
    assert unlock(enforcement) == 0
    assert memory.record.access.keys == ()
