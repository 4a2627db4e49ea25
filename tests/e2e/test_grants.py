"""A guest opens a real lock: by an owner's word, a key from the server and its own channel; once, and no more."""

from typing import Any

import pytest

from admittance.demo.household import Household, until
from admittance.demo.processes import Outcome

pytestmark = pytest.mark.asyncio(loop_scope="module")

LAMP = ("--presence", "display", "--seal", "hybrid", "--certified")
OPEN = '{"state": "unlocked"}'


async def test_a_guest_that_was_let_in_once_opens_the_door_once(home: Household) -> None:
    stage = home.stage
    device = await home.make("lamp-a", *LAMP)
    await home.switch_on(device, "--application", "lock", "--poll-s", "0.5")
    await home.provision(await home.photograph(device), *home.wifi(stage.wifi_password))
    await until(lambda: device.told("relay_connected") == 1, "The device is on the relay.")
    guest = Household(stage, owner="guest@example.org", prefix="guest-")
    await guest.open_account()

    async def owner(*arguments: str) -> Any:
        return (await stage.admit("owner", *arguments, "--profile", home.profile)).last

    async def as_guest(*arguments: str, expect: int = 0) -> Outcome:
        return await stage.admit("guest", *arguments, "--profile", guest.profile, expect=expect)

    nothing = await as_guest("access", "get", device.device_id, expect=5)
    assert nothing.last["error"] == "not_found"
    given = await owner(
        *("grants", "give", device.device_id, "--to", guest.owner, "--action", "PUT /lock", "--once"),
    )
    held = (await as_guest("access", "get", device.device_id, "--name", "front-door")).last
    assert (held["grant"], held["actions"]) == (given["grant"], ["PUT /lock"])
    opened = await as_guest("talk", "front-door", "put", "/lock", "--cbor", OPEN)
    assert opened.last["code"].startswith("2.")
    again = await as_guest("talk", "front-door", "put", "/lock", "--cbor", OPEN, expect=None)
    assert again.code != 0
    spent = await as_guest("access", "get", device.device_id, expect=3)
    assert spent.last["error"] == "uses_spent"
    (bolt,) = stage.folder.rglob("bolt")
    assert bolt.read_text().splitlines() == ["unlocked"]
    events = [event["event"] for event in (await owner("grants", "history", given["grant"]))["events"]]
    assert events == ["grant.given", "grant.token_issued", "grant.used"]

    await owner("grants", "revoke", given["grant"])
    assert (await as_guest("access", "get", device.device_id, expect=3)).last["error"] == "expired"
