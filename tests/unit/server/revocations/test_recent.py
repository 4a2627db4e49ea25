"""What ended while somebody was being let in."""

import pytest

from admittance.server.revocations import recent
from admittance.server.revocations.recent import RecentEndings


def test_only_what_was_heard_after_the_mark_counts() -> None:
    endings = RecentEndings()
    endings.add("device", "lamp", 1)
    mark = endings.mark()
    assert not endings.since(mark, "device", "lamp")
    endings.add("device", "lamp", 2)
    assert endings.since(mark, "device", "lamp")
    assert not endings.since(mark, "token", "lamp")
    assert not endings.since(endings.mark(), "device", "lamp")


def test_what_came_after_an_ending_is_not_ended_by_it() -> None:
    endings = RecentEndings()
    endings.add("device", "lamp", 7)
    assert endings.after(6, "device", "lamp")
    assert not endings.after(7, "device", "lamp")
    assert not endings.after(0, "device", "lock")


def test_more_endings_than_are_remembered_count_as_everybodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "REMEMBERED", 3)
    endings = RecentEndings()
    mark = endings.mark()
    for number in range(4):
        endings.add("device", str(number), number)
    assert endings.since(mark, "device", "anybody")
    assert not endings.after(-1, "device", "0")
