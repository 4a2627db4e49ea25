"""T25. Means: a possession key, the power switch, and at most a server whose own clock was turned back, or no server
at all. Goal: use a grant before, after or between its hours.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from admittance.errors import AdmittanceError, NotAllowed, Unavailable
from tests.access_world import Site, access_site
from tests.attack.channel_site import ACTUATOR
from tests.attack.possession import carried_out, give, new_order, order
from tests.attack.world import WAIT_S

HOUR_S = 3600


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def granting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A device of its own, for its server's clock is not left alone."""
    async with access_site(tmp_path_factory.mktemp("granting"), str(ACTUATOR)) as opened:
        yield opened


def assert_refused(refusal: AdmittanceError | None, says: str) -> None:
    assert isinstance(refusal, NotAllowed)
    assert says in str(refusal)


async def eventually(ask: Callable[[], object], expected: object) -> None:
    async with asyncio.timeout(WAIT_S):
        while ask() != expected:
            await asyncio.sleep(0.05)


async def until_server_time(site: Site, at: float) -> None:
    await asyncio.sleep(max(0.0, at - site.clock()))


async def test_before_and_after_its_hours_in_one_conversation_and_in_new_ones(granting: Site, tmp_path: Path) -> None:
    key, early, due, late = granting.granted(begins_s=4, ends_s=10), *(new_order() for _ in range(3))
    await granting.push(key)
    async with granting.near(key, tmp_path) as channel:
        assert_refused(await give(channel, early), "does not hold yet")
        await until_server_time(granting, key.not_before + 2)
        assert await give(channel, due) is None
        await until_server_time(granting, key.expires_at + 1)
        assert_refused(await give(channel, late), "has ended")
    assert_refused(await order(granting, key, tmp_path, late), "has ended")
    assert [carried_out(granting).count(each) for each in (early, due, late)] == [0, 1, 0]


async def test_between_its_hours(granting: Site, tmp_path: Path) -> None:
    """This evening's key and tomorrow's, both in the guest's hands."""
    evening = granting.granted(begins_s=-HOUR_S, ends_s=-1)
    tomorrow = granting.another(
        evening, not_before=int(granting.clock()) + HOUR_S, expires_at=int(granting.clock()) + 2 * HOUR_S
    )
    before = carried_out(granting)
    await granting.push(evening, tomorrow)
    assert_refused(await order(granting, evening, tmp_path), "has ended")
    assert_refused(await order(granting, tomorrow, tmp_path), "does not hold yet")
    assert carried_out(granting) == before


async def test_a_clock_that_is_turned_back_opens_no_window_again(granting: Site, tmp_path: Path) -> None:
    """Neither while the device is on, nor when it was off meanwhile and hears of no other time than the wrong one."""
    key = granting.granted(ends_s=2)
    await granting.push(key)
    await until_server_time(granting, key.expires_at + 1)
    assert_refused(await order(granting, key, tmp_path), "has ended")
    granting.clock.ahead_s -= HOUR_S
    try:
        heard = len(granting.told("status"))
        await granting.agent.event("status", after=len(granting.agent.events))
        assert len(granting.told("status")) > heard
        assert_refused(await order(granting, key, tmp_path), "has ended")
        assert granting.record.time_floor >= key.expires_at
        await granting.power_cut()
        await granting.power_up()
        assert isinstance(await order(granting, key, tmp_path), Unavailable)
    finally:
        granting.clock.ahead_s += HOUR_S
    await granting.agent.event("status", after=len(granting.agent.events))
    assert_refused(await order(granting, key, tmp_path), "has ended")


async def test_a_clock_that_is_turned_forward_opens_no_later_window(granting: Site, tmp_path: Path) -> None:
    """Whatever the guest's own machine says: only a server that proved itself tells the time."""
    key = granting.granted(begins_s=HOUR_S, ends_s=2 * HOUR_S)
    await granting.push(key)
    assert time.time() < key.not_before
    assert_refused(await order(granting, key, tmp_path), "does not hold yet")


async def test_a_device_that_lost_the_time_lets_no_guest_do_anything(granting: Site, tmp_path: Path) -> None:
    """The power was cut, and its server can't be reached; last in this module, for it stays so."""
    key = granting.granted()
    await granting.push(key)
    assert await order(granting, key, tmp_path) is None
    before = carried_out(granting)
    await granting.power_cut()
    await granting.world.server.close()
    await granting.power_up(with_time=False)
    refusal = await order(granting, key, tmp_path)
    assert isinstance(refusal, Unavailable)
    assert "time" in str(refusal)
    assert carried_out(granting) == before
