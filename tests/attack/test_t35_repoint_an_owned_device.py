"""T35. Means: the button and the display of a device that has an owner, or power over its Wi-Fi. Goal: point it to
another network or server, reset it through its access point, or make it open its access point.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from admittance.errors import Conflict, DeviceRefused, NotFound
from admittance.protocol.provisioning.network_secret import Network
from admittance.wire.possession_qr import PossessionQr
from tests.attack.world import HOME, Device, Visit, World, activate

EVIL = Network("Neighbour", "the attacker's own")
BROKEN_S = 1.5


async def _refused_with(visit: Visit, sealed: bytes) -> str:
    with pytest.raises(DeviceRefused) as refused:
        await visit.configure(sealed, os.urandom(32))
    return refused.value.reason


async def _stock_requests(visit: Visit) -> list[str]:
    """What the device says to each stock request that would change it."""
    reasons = []
    for call in (
        visit.client.set_network(EVIL.ssid, EVIL.passphrase),
        visit.client.network_status(),
        visit.client.control("reset"),
        visit.client.control("reprovision"),
    ):
        try:
            await visit.run(call)
            reasons.append("done")
        except DeviceRefused as error:
            reasons.append(error.reason)
    return reasons


async def _unchanged(device: Device) -> dict[str, Any]:
    status = await device.status()
    return {name: status[name] for name in ("owned", "enrolled", "network", "joined", "epoch", "resets")}


async def test_a_stranger_with_the_displayed_code_changes_nothing(world: World, owner: Path, stranger: Path) -> None:
    device = await world.owned(owner)
    before = await _unchanged(device)
    assert (before["owned"], before["network"]) == (True, HOME)
    await device.press()
    code = await device.next_code()
    async with world.guest(device) as thief, world.api(stranger) as api, world.api(owner) as own:
        visit = await thief.enter(code.username, code.pop)
        assert (await visit.hello()).owned
        assert await _stock_requests(visit) == ["not_permitted"] * 4

        with pytest.raises(Conflict):
            await activate(visit, api)
        with pytest.raises(NotFound):
            await api.release(device.device_id)

        other = await world.unowned()
        others_code = await other.next_code()
        async with world.guest(other) as at_other:
            theirs = await activate(await at_other.enter(others_code.username, others_code.pop), api)
        assert await _refused_with(visit, theirs.sealed) == "wrong_device"

        older = await activate(await _again(visit, device, code, thief), own)
        fresh = await _again(visit, device, code, thief)
        await fresh.evidence(os.urandom(32))
        assert await _refused_with(fresh, older.sealed) == "wrong_nonce"
    assert await _unchanged(device) == before
    assert not device.events("network_tried")[1:]
    assert not device.events("reset")


async def _again(visit: Visit, device: Device, used: PossessionQr, guest: Any) -> Visit:
    """Another session by a code that is displayed now: another transaction can begin in it."""
    code = await device.next_code(used)
    entered: Visit = await guest.enter(code.username, code.pop)
    return entered


async def test_what_the_owner_permits_is_for_the_owner_alone(world: World, owner: Path) -> None:
    """The owner sets the device up again; the transaction is not over when the stranger presses the button."""
    device = await world.owned(owner)
    await device.press()
    async with world.guest(device) as phone, world.guest(device) as thief, world.api(owner) as api:
        code = await device.next_code()
        visit = await phone.enter(code.username, code.pop)
        met = await activate(visit, api)
        await visit.configure(met.sealed, os.urandom(32))
        await visit.run(visit.client.network_status())
        stolen = await device.next_code(code)
        strangers = await thief.enter(stolen.username, stolen.pop)
        assert await _stock_requests(strangers) == ["not_permitted"] * 4
    assert (await _unchanged(device))["network"] == HOME


async def test_a_broken_wifi_never_opens_the_access_point(world: World, owner: Path) -> None:
    device = await world.owned(owner)
    name = device.birth.access_point_ssid
    opened = len(device.events("access_point_opened"))

    async def on_air(seconds: float) -> set[str]:
        seen: set[str] = set()
        async with world.bystander() as station:
            end = asyncio.get_running_loop().time() + seconds
            while asyncio.get_running_loop().time() < end:
                seen |= {network.ssid for network in await station.scan()}
                await asyncio.sleep(0.05)
        return seen

    async with world.observer() as premises:
        try:
            failures = len(device.events("contact_failed"))
            await premises.take_down(HOME)
            await device.told("contact_failed", failures + 1)
            seen = await on_air(BROKEN_S)
            await premises.set_passphrase(HOME, "somebody changed it")
            await premises.bring_up(HOME)
            seen |= await on_air(BROKEN_S / 2)
            assert device.program is not None
            await device.program.kill()
            await world.power_up(device)
            await device.told("contact_failed", 1)
            seen |= await on_air(BROKEN_S / 2)
        finally:
            await premises.bring_up(HOME)
            await premises.set_passphrase(HOME, world.home.passphrase)
    assert HOME in seen, "The air was watched."
    assert name not in seen
    assert not device.events("access_point_opened")
    assert opened == 1
    await device.press()
    assert name in await on_air(0.2), "The button opens it."
