"""Sequence numbers: none is taken twice, whenever the power goes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from admittance.errors import ContextExhausted, Misuse
from admittance.protocol.channel.oscore import MemorySequence, ReservedSequence
from admittance.wire.oscore import MAX_SEQUENCE


class PowerFailures(RuleBasedStateMachine):
    """A device that takes numbers and writes limits, in any order, and loses its power at any instant."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = 0
        self.sequence = ReservedSequence(self.disk, batch=4)
        self.taken: list[int] = []

    @rule()
    def take(self) -> None:
        try:
            self.taken.append(self.sequence.take())
        except Misuse:
            assert self.sequence.to_save is not None

    @precondition(lambda self: self.sequence.to_save is not None)
    @rule(fails_after_writing=st.booleans())
    def save(self, fails_after_writing: bool) -> None:
        limit = self.sequence.to_save
        assert limit is not None
        self.disk = limit
        if fails_after_writing:
            self.lose_power(batch=3)
        else:
            self.sequence.confirm(limit)

    @rule(batch=st.integers(1, 8))
    def lose_power(self, batch: int) -> None:
        self.sequence = ReservedSequence(self.disk, batch)

    @invariant()
    def no_number_is_taken_twice(self) -> None:
        assert self.taken == sorted(set(self.taken))


TestPowerFailures: Any = PowerFailures.TestCase
TestPowerFailures.settings = settings(max_examples=40, stateful_step_count=40)


@given(st.integers(1, 50), st.integers(0, 200))
def test_who_saves_when_told_never_waits_and_wastes_one_batch_at_most(batch: int, count: int) -> None:
    sequence = ReservedSequence(0, batch)
    limit = 0
    for expected in range(count):
        if sequence.to_save is not None:
            limit = sequence.to_save
            sequence.confirm(limit)
        assert sequence.take() == expected
    assert limit - count <= batch


def test_nothing_is_taken_before_it_is_saved() -> None:
    sequence = ReservedSequence(1000, batch=10)
    assert sequence.to_save == 1010
    with pytest.raises(Misuse):
        sequence.take()
    sequence.confirm(1010)
    assert sequence.to_save is None
    assert [sequence.take() for _ in range(5)] == [1000, 1001, 1002, 1003, 1004]
    assert sequence.to_save == 1015


@pytest.mark.parametrize("limit", [999, MAX_SEQUENCE + 2])
def test_a_reservation_only_grows(limit: int) -> None:
    sequence = ReservedSequence(1000)
    with pytest.raises(Misuse):
        sequence.confirm(limit)


@pytest.mark.parametrize(("saved", "batch"), [(0, 0), (-1, 10)])
def test_reservations_that_do_not_exist(saved: int, batch: int) -> None:
    with pytest.raises(Misuse):
        ReservedSequence(saved, batch)


def test_the_last_number() -> None:
    reserved = ReservedSequence(MAX_SEQUENCE, batch=10)
    assert reserved.to_save == MAX_SEQUENCE + 1
    reserved.confirm(MAX_SEQUENCE + 1)
    for sequence in (reserved, MemorySequence(MAX_SEQUENCE)):
        assert sequence.take() == MAX_SEQUENCE
        with pytest.raises(ContextExhausted):
            sequence.take()
    assert reserved.to_save is None
    with pytest.raises(ContextExhausted):
        ReservedSequence(MAX_SEQUENCE + 1).take()
