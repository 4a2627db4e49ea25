"""The replay window, against a model that remembers all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Replayed
from admittance.protocol.channel.oscore import ReplayWindow
from admittance.wire.oscore import MAX_SEQUENCE

NUMBERS = st.one_of(st.integers(0, 40), st.integers(0, MAX_SEQUENCE))


def passes(window: ReplayWindow, number: int) -> bool:
    try:
        window.check(number)
    except Replayed:
        return False
    return True


@given(st.integers(1, 32), st.lists(NUMBERS, max_size=60))
def test_window_against_a_model(size: int, numbers: list[int]) -> None:
    window = ReplayWindow(size)
    seen: set[int] = set()
    for number in numbers:
        is_old = bool(seen) and number <= max(seen) - size
        assert passes(window, number) == (number not in seen and not is_old)
        if passes(window, number):
            window.mark(number)
            seen.add(number)


@given(st.integers(1, 32), NUMBERS, st.lists(NUMBERS, max_size=30))
def test_a_lost_window_refuses_all_and_begins_where_it_is_told(size: int, first: int, numbers: list[int]) -> None:
    window = ReplayWindow(size, lost=True)
    assert window.is_lost
    assert not any(passes(window, number) for number in numbers)
    window.start(first)
    assert not window.is_lost
    for number in numbers:
        assert passes(window, number) == (number > first)


@pytest.mark.parametrize(("number", "expected"), [(100, False), (101, True), (37, True), (36, False), (0, False)])
def test_the_boundaries_of_64(number: int, expected: bool) -> None:
    window = ReplayWindow()
    window.mark(100)
    assert passes(window, number) is expected
