from hypothesis import given
from hypothesis import strategies as st

from admittance.protocol.relay.limits import Allowance, Meter

TEN = Allowance(frames_per_s=10, bytes_per_s=1000)


def test_a_seconds_worth_may_come_at_once_and_no_more() -> None:
    meter = Meter(TEN, 0.0)
    assert all(meter.spend(1, 10) for _ in range(10))
    assert not meter.spend(1, 10)
    assert meter.owed_s(0.0) == 0.1


def test_bytes_count_beside_frames() -> None:
    meter = Meter(TEN, 0.0)
    assert meter.spend(1, 1000)
    assert not meter.spend(1, 500)
    assert meter.owed_s(0.0) == 0.5


def test_what_is_owed_shrinks_with_time() -> None:
    meter = Meter(TEN, 0.0)
    meter.spend(20, 0)
    assert meter.owed_s(0.5) == 0.5
    assert meter.owed_s(1.0) == 0.0
    assert meter.spend(0, 0)


def test_a_clock_that_goes_back_gives_nothing() -> None:
    meter = Meter(TEN, 100.0)
    meter.spend(20, 0)
    assert meter.owed_s(50.0) == 1.0


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 15)), max_size=60))
def test_whoever_waits_when_told_keeps_to_the_rate(steps: list[tuple[float, int]]) -> None:
    meter, now, spent = Meter(TEN, 0.0), 0.0, 0
    for pause, frames in steps:
        now += pause
        spent += frames
        if not meter.spend(frames, 0):
            now += meter.owed_s(now)
        assert spent <= 10 * now + 2 * 10 + 15 + 1e-6
