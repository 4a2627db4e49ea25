import asyncio
from collections.abc import Sequence

import pytest

from admittance.server.turn import MOST, Turn


async def test_items_of_a_turn_come_together() -> None:
    over: list[Sequence[int]] = []
    turn = Turn(over.append)
    turn.add(1)
    turn.add(2)
    assert over == []
    await asyncio.sleep(0)
    turn.add(3)
    await asyncio.sleep(0)
    assert over == [[1, 2], [3]]


async def test_a_busy_turn_ends_early() -> None:
    over: list[Sequence[int]] = []
    turn = Turn(over.append, MOST)
    for number in range(MOST + 1):
        turn.add(number)
    assert over == [list(range(MOST))]
    await asyncio.sleep(0)
    assert over[1:] == [[MOST]]


async def test_a_turn_without_a_bound_takes_all() -> None:
    over: list[Sequence[int]] = []
    turn = Turn(over.append)
    for number in range(10 * MOST):
        turn.add(number)
    assert over == []
    await asyncio.sleep(0)
    assert over == [list(range(10 * MOST))]


async def test_nothing_ends_twice() -> None:
    over: list[Sequence[int]] = []
    turn = Turn(over.append, MOST)
    for number in range(MOST):
        turn.add(number)
    await asyncio.sleep(0)
    assert len(over) == 1


def test_there_must_be_an_event_loop() -> None:
    with pytest.raises(RuntimeError):
        Turn(print).add(1)
