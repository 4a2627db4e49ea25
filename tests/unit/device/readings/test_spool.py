from pathlib import Path

import pytest

from admittance.device.readings import spool as spools
from admittance.device.readings.spool import Spool
from admittance.wire import senml
from admittance.wire.senml import Record
from tests.unit.device.killing_files import KillingFiles, PowerCut


def batch(value: float) -> list[Record]:
    return [Record("temperature", value, "Cel")]


def waiting(spool: Spool) -> list[tuple[int, float]]:
    """Number and first value of each batch, oldest first; the spool is empty afterwards."""
    found = []
    while (oldest := spool.oldest()) is not None:
        number, pack = oldest
        value = senml.decode(pack)[0].value
        assert isinstance(value, float)
        found.append((number, value))
        spool.accepted(number)
    return found


def test_batches_are_numbered_and_given_oldest_first(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1)
    assert spool.oldest() is None
    spool.add(batch(1.5))
    spool.add(batch(2.5))
    assert len(spool) == 2
    assert waiting(spool) == [(1, 1.5), (2, 2.5)]


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1)
    for value in (1.5, 2.5, 3.5):
        spool.add(batch(value))
    spool.accepted(2)
    again = Spool(tmp_path, 1)
    assert not again.is_fresh
    again.add(batch(4.5))
    assert waiting(again) == [(3, 3.5), (4, 4.5)]
    last = Spool(tmp_path, 1)
    last.add(batch(5.5))
    assert waiting(last) == [(5, 5.5)]


def test_another_epoch_begins_with_nothing(tmp_path: Path) -> None:
    Spool(tmp_path, 1).add(batch(1.5))
    spool = Spool(tmp_path, 2)
    assert spool.oldest() is None
    assert [path.name for path in tmp_path.iterdir()] == ["2"]


def test_a_spool_that_lost_its_past_goes_on_after_the_servers_number(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1)
    assert spool.is_fresh
    spool.add(batch(1.5))
    spool.add(batch(2.5))
    spool.continue_after(40)
    spool.add(batch(3.5))
    assert not spool.is_fresh
    assert waiting(Spool(tmp_path, 1)) == [(41, 1.5), (42, 2.5), (43, 3.5)]


@pytest.mark.parametrize(("limit", "most"), [("MAX_BATCHES", 3), ("MAX_BYTES", 60)])
def test_the_oldest_gives_way_and_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    monkeypatch.setattr(spools, limit, most)
    spool = Spool(tmp_path, 1)
    for value in range(10):
        spool.add(batch(value + 0.5))
    assert spool.dropped == 10 - len(spool)
    kept = waiting(spool)
    assert kept[-1] == (10, 9.5)
    assert 0 < len(kept) < 10


def test_what_is_cleared_is_gone_and_its_numbers_are_not_used_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1)
    spool.add(batch(1.5))
    spool.clear()
    assert spool.oldest() is None
    spool.add(batch(2.5))
    assert waiting(Spool(tmp_path, 1)) == [(2, 2.5)]


def test_cut_at_any_step_no_number_is_used_for_two_batches(tmp_path: Path) -> None:
    files = KillingFiles()
    spool = Spool(tmp_path / "counted", 1, files)
    spool.add(batch(1.5))
    spool.accepted(1)
    for step in range(1, files.steps + 1):
        folder = tmp_path / str(step)
        cut = KillingFiles(step)
        sent: dict[int, float] = {}
        with pytest.raises(PowerCut):
            _work(Spool(folder, 1, cut), sent)
        again = Spool(folder, 1)
        again.add(batch(2.5))
        for number, value in waiting(again):
            assert sent.get(number, value) == value


def _work(spool: Spool, sent: dict[int, float]) -> None:
    spool.add(batch(1.5))
    sent[1] = 1.5
    spool.accepted(1)
