from hypothesis import given
from hypothesis import strategies as st

from admittance.server.relay.wheel import Deadlines, Wheel


@given(st.sets(st.integers(0, 1000)), st.integers(1, 12))
def test_a_wheel_gives_each_item_once_a_round(items: set[int], spokes: int) -> None:
    wheel: Wheel[int] = Wheel(spokes)
    for item in items:
        wheel.add(item)
    assert len(wheel) == len(items)
    for _ in range(2):
        assert sorted(item for _ in range(spokes) for item in wheel.turn()) == sorted(items)


@given(st.sets(st.integers(0, 100)), st.sets(st.integers(0, 100)))
def test_a_wheel_forgets_what_is_gone(items: set[int], gone: set[int]) -> None:
    wheel: Wheel[int] = Wheel(3)
    for item in items:
        wheel.add(item)
    for item in gone:
        wheel.discard(item)
    assert set(wheel) == items - gone


def test_deadlines_end_in_order_and_once() -> None:
    deadlines: Deadlines[str] = Deadlines(10)
    deadlines.add("first", 0)
    deadlines.add("second", 1)
    deadlines.add("gone", 1)
    deadlines.discard("gone")
    assert deadlines.due(9.9) == []
    assert deadlines.due(10) == ["first"]
    assert "second" in deadlines
    assert deadlines.due(100) == ["second"]
    assert deadlines.due(100) == []


def test_a_deadline_that_begins_again_is_later() -> None:
    deadlines: Deadlines[str] = Deadlines(10)
    deadlines.add("again", 0)
    deadlines.add("other", 1)
    deadlines.add("again", 5)
    assert deadlines.due(11) == ["other"]
    assert deadlines.due(15) == ["again"]
    assert len(deadlines) == 0
