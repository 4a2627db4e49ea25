import asyncio
from collections.abc import Callable

import pytest

from admittance.server.patience import Patience


class Clock:
    """A loop whose time is told to it; counts the timers that were made."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> "Timer":
        self.timers.append(Timer(when, callback))
        return self.timers[-1]

    def pass_to(self, now: float) -> None:
        while due := [timer for timer in self.timers if timer.is_armed and timer.due <= now]:
            self.now = due[0].due
            due[0].is_armed = False
            due[0].callback()
        self.now = now


class Timer:
    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback = callback
        self.is_armed = True

    def when(self) -> float:
        return self.due

    def cancel(self) -> None:
        self.is_armed = False


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def over() -> list[float]:
    return []


@pytest.fixture
def patience(clock: Clock, over: list[float]) -> Patience:
    return Patience(clock, lambda: over.append(clock.now))  # type: ignore[arg-type]


def test_it_ends_in_time(clock: Clock, over: list[float], patience: Patience) -> None:
    patience.begin(10)
    clock.pass_to(9.9)
    assert over == []
    clock.pass_to(100)
    assert over == [10]


def test_what_came_in_time_is_not_given_up(clock: Clock, over: list[float], patience: Patience) -> None:
    patience.begin(10)
    patience.end()
    clock.pass_to(100)
    assert over == []


@pytest.mark.parametrize(("first", "again_at", "end"), [(10, 5, 15), (15, 1, 11)])
def test_only_the_last_wait_counts(
    clock: Clock, over: list[float], patience: Patience, first: float, again_at: float, end: float
) -> None:
    patience.begin(first)
    clock.pass_to(again_at)
    patience.begin(10)
    clock.pass_to(100)
    assert over == [end]


def test_it_can_begin_after_its_end(clock: Clock, over: list[float], patience: Patience) -> None:
    patience.begin(10)
    patience.end()
    clock.pass_to(50)
    patience.begin(10)
    clock.pass_to(100)
    assert over == [60]


def test_many_short_waits_need_few_timers(clock: Clock, over: list[float], patience: Patience) -> None:
    for second in range(30):
        clock.pass_to(second)
        patience.begin(10)
        patience.end()
    assert len(clock.timers) <= 4
    assert over == []


def test_a_cancelled_one_ends_nothing(clock: Clock, over: list[float], patience: Patience) -> None:
    patience.begin(10)
    patience.cancel()
    clock.pass_to(100)
    assert over == []


async def test_it_keeps_to_a_loops_time() -> None:
    over = asyncio.Event()
    Patience(asyncio.get_running_loop(), over.set).begin(0.01)
    async with asyncio.timeout(5):
        await over.wait()
