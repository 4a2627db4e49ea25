import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from admittance.device.state import (
    FolderLock,
    KeyMaterial,
    Memory,
    PremisesNetwork,
    Record,
    ServerContact,
    StateFile,
    first_record,
    recall,
)
from admittance.errors import ConfigurationError
from admittance.protocol.channel.credentials import CredentialList
from tests.unit.device.channel.apps import App
from tests.unit.device.killing_files import KillingFiles, PowerCut

KEYS = KeyMaterial(b"seal", b"channel", b"access")
NEW_KEYS = KeyMaterial(b"seal 2", b"channel 2", b"access 2")
FIRST = first_record(KEYS)
OWNED = replace(
    FIRST,
    epoch=3,
    last_sequence=9,
    owned=True,
    time_floor=1_800_000_000,
    server=ServerContact("https://a", "https://b", [b"anchor"]),
    network=PremisesNetwork("home", "correct horse battery"),
    ticket=b"t" * 32,
    credentials=CredentialList(3).add(App("phone").entry(3), now=1),
    consent=("temperature",),
)


def saved(folder: Path, *records: Record) -> None:
    for record in records:
        StateFile(folder).save(record)


def test_the_first_boot_has_no_record(tmp_path: Path) -> None:
    assert StateFile(tmp_path).load() is None


def test_a_record_survives(tmp_path: Path) -> None:
    saved(tmp_path, OWNED)
    assert StateFile(tmp_path).load() == OWNED


def test_only_the_device_may_read_its_state(tmp_path: Path) -> None:
    saved(tmp_path, FIRST, OWNED)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o600}


def steps_of(folder: Path, work: Callable[[StateFile], None]) -> int:
    files = KillingFiles()
    work(StateFile(folder, files))
    return files.steps


def test_killed_at_any_step_of_a_save_the_old_or_the_new_record_is_there(tmp_path: Path) -> None:
    trial = tmp_path / "trial"
    trial.mkdir()
    saved(trial, FIRST, OWNED)
    newer = replace(OWNED, last_sequence=10)
    steps = steps_of(trial, lambda file: file.save(newer))
    assert steps >= 5
    for step in range(1, steps + 1):
        folder = tmp_path / str(step)
        folder.mkdir()
        saved(folder, FIRST, OWNED)
        with pytest.raises(PowerCut):
            StateFile(folder, KillingFiles(step)).save(newer)
        assert StateFile(folder).load() in (OWNED, newer)
        StateFile(folder).save(newer)
        assert StateFile(folder).load() == newer


def test_killed_at_any_step_of_the_first_save_the_device_boots(tmp_path: Path) -> None:
    trial = tmp_path / "trial"
    trial.mkdir()
    for step in range(1, steps_of(trial, lambda file: file.save(FIRST)) + 1):
        folder = tmp_path / str(step)
        folder.mkdir()
        with pytest.raises(PowerCut):
            StateFile(folder, KillingFiles(step)).save(FIRST)
        assert StateFile(folder).load() in (None, FIRST)
        assert recall(StateFile(folder), lambda: NEW_KEYS).record.keys in (KEYS, NEW_KEYS)


def test_killed_at_any_step_of_a_reset_the_owner_is_whole_or_gone(tmp_path: Path) -> None:
    trial = tmp_path / "trial"
    trial.mkdir()
    saved(trial, FIRST, OWNED)
    steps = steps_of(trial, lambda file: wipe(Memory(file, OWNED)))
    for step in range(1, steps + 1):
        folder = tmp_path / str(step)
        folder.mkdir()
        saved(folder, FIRST, OWNED)
        with pytest.raises(PowerCut):
            wipe(Memory(StateFile(folder, KillingFiles(step)), OWNED))
        record = recall(StateFile(folder), lambda: NEW_KEYS).record
        if record.resets == 0:
            assert record == OWNED
        else:
            assert record.network is None
            assert not leaks(folder)


def wipe(memory: Memory) -> None:
    memory.reset(NEW_KEYS)


def leaks(folder: Path) -> bool:
    secrets = (b"correct horse", b"t" * 32)
    return any(secret in path.read_bytes() for path in folder.iterdir() for secret in secrets)


def test_a_reset_keeps_only_what_guards_against_replay(tmp_path: Path) -> None:
    saved(tmp_path, FIRST, OWNED)
    memory = recall(StateFile(tmp_path), lambda: KEYS)
    memory.reset(NEW_KEYS)
    expected = replace(
        first_record(NEW_KEYS),
        epoch=3,
        last_sequence=9,
        resets=1,
        reset_unreported=True,
        time_floor=1_800_000_000,
    )
    assert memory.record == StateFile(tmp_path).load() == expected
    assert not leaks(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"\0" * 10, b"x" * 500])
def test_a_damaged_record_costs_the_last_change(tmp_path: Path, damage: bytes) -> None:
    newer = replace(OWNED, last_sequence=10)
    saved(tmp_path, OWNED, newer)
    (tmp_path / "state.cbor").write_bytes(damage)
    assert StateFile(tmp_path).load() == OWNED
    StateFile(tmp_path).save(newer)
    assert StateFile(tmp_path).load() == newer


def test_a_state_of_which_nothing_can_be_read_is_not_taken_for_a_first_boot(tmp_path: Path) -> None:
    saved(tmp_path, FIRST, OWNED)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ConfigurationError, match="damaged"):
        recall(StateFile(tmp_path), lambda: KEYS)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary())
def test_arbitrary_bytes_are_a_record_or_damage(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "state.cbor").write_bytes(data)
    with pytest.raises(ConfigurationError):
        StateFile(tmp_path).load()


def test_a_change_that_the_disk_does_not_take_is_not_seen(tmp_path: Path) -> None:
    saved(tmp_path, OWNED)
    memory = Memory(StateFile(tmp_path, KillingFiles(1)), OWNED)
    with pytest.raises(PowerCut):
        memory.change(last_sequence=10)
    assert memory.record == OWNED


def test_one_agent_holds_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    lock = FolderLock(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with pytest.raises(ConfigurationError, match="Another agent"):
        FolderLock(folder)
    lock.release()
    FolderLock(folder).release()


def test_the_passphrase_does_not_show() -> None:
    assert "horse" not in repr(OWNED)
