"""T25, at the server. Means: a grant that was, will be, or is at other hours; requests at any time. Goal: a key that
is good now, or longer than the hours.
"""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest_asyncio

from tests.attack.granted_lock import HOUR_S, Granting, give, token
from tests.attack.site import ON_SQLITE, Site, code_of


@pytest_asyncio.fixture(loop_scope="session")
async def granting(site: Site) -> AsyncIterator[Granting]:
    granting = Granting(site)
    yield granting
    await granting.end()


def hours(first: int, last: int) -> dict[str, object]:
    """Every day from so many hours after now until so many."""
    begin, end = (datetime.now(UTC) + timedelta(hours=each) for each in (first, last))
    return {"weekdays": [1, 2, 3, 4, 5, 6, 7], "from": f"{begin:%H:%M}", "to": f"{end:%H:%M}", "zone": "UTC"}


@ON_SQLITE
async def test_before_and_between_its_hours_a_grant_gives_no_key(site: Site, granting: Granting) -> None:
    owner, guest = await site.somebody("owner"), await site.somebody("guest")
    device, lock = await granting.lock(owner)
    now = int(time.time())
    days = {"ends_at": now + 30 * 24 * HOUR_S}
    for window in (
        {"begins_at": now + HOUR_S, **days},
        {"hours": hours(2, 3), **days},
        {"hours": hours(-3, -2), **days},
        {"hours": {**hours(-1, 1), "weekdays": [(datetime.now(UTC) + timedelta(days=3)).isoweekday()]}, **days},
    ):
        given = await give(owner, device.device_id, guest.email, **window)
        refused = await token(guest, device.device_id)
        assert (refused.status_code, refused.json()["code"]) == (403, "outside_window")
        assert lock.keys == set()
        await owner.ask("DELETE", f"/api/grants/{given['grant']}")


@ON_SQLITE
async def test_no_key_outlives_the_hours_that_it_was_given_in(site: Site, granting: Granting) -> None:
    owner, guest = await site.somebody("owner"), await site.somebody("guest")
    device, lock = await granting.lock(owner)
    ends_at = int(time.time()) + 600
    await give(owner, device.device_id, guest.email, ends_at=ends_at)
    answer = await token(guest, device.device_id)
    assert answer.json()["expires_in"] <= 600
    assert [key.expires_at for key in lock.access.keys] == [ends_at]


@ON_SQLITE
async def test_a_window_that_has_passed_is_not_given_or_opened_again(site: Site, granting: Granting) -> None:
    owner, guest = await site.somebody("owner"), await site.somebody("guest")
    device, _lock = await granting.lock(owner)
    given = await give(owner, device.device_id, guest.email)
    past = {"begins_at": int(time.time()) - 2 * HOUR_S, "ends_at": int(time.time()) - HOUR_S}
    answer = await owner.send("PATCH", f"/api/grants/{given['grant']}", past)
    assert (answer.status_code, code_of(answer)) == (400, "malformed")
    await owner.ask("DELETE", f"/api/grants/{given['grant']}")
    again = await owner.send("PATCH", f"/api/grants/{given['grant']}", {"ends_at": int(time.time()) + HOUR_S})
    assert (again.status_code, code_of(again)) == (409, "conflict")
