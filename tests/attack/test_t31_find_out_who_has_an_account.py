"""T31. Means: an owner's account, and a list of addresses. Goal: find out which of them have an account, by letting
them in, or by invitations.
"""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.attack.granted_lock import Granting, give
from tests.attack.site import ON_SQLITE, Site

_OF_EACH = ("grant", "email", "created_at", "begins_at", "ends_at", "open_until")


@pytest_asyncio.fixture(loop_scope="session")
async def granting(site: Site) -> AsyncIterator[Granting]:
    granting = Granting(site)
    yield granting
    await granting.end()


def shown(grant: dict[str, object]) -> dict[str, object]:
    """What could tell one address from another."""
    return {name: value for name, value in grant.items() if name not in _OF_EACH}


@ON_SQLITE
async def test_a_grant_to_an_address_tells_nothing_of_it(site: Site, granting: Granting) -> None:
    owner, guest = await site.somebody("owner"), await site.somebody("guest")
    device, _lock = await granting.lock(owner)
    known = await give(owner, device.device_id, guest.email)
    unknown = await give(owner, device.device_id, "nobody-at-all@example.org")
    assert shown(known) == shown(unknown)
    for path in ("", "/history"):
        seen = [await owner.ask("GET", f"/api/grants/{each['grant']}{path}") for each in (known, unknown)]
        if path:
            events = [[(event["event"], event["by"]) for event in each["events"]] for each in seen]
            assert events[0] == events[1]
        else:
            assert shown(seen[0]) == shown(seen[1])
    listed = (await owner.ask("GET", "/api/grants"))["given"]
    mine = [each for each in listed if each["grant"] in (known["grant"], unknown["grant"])]
    assert shown(mine[0]) == shown(mine[1])
    changed = [
        await owner.ask("PATCH", f"/api/grants/{each['grant']}", {"name": "Other"}) for each in (known, unknown)
    ]
    assert shown(changed[0]) == shown(changed[1])
