"""T22. Means: a possession key with an open conversation, and all that passed in it. Goal: go on with the device
after the key or its grant was revoked, or the device has another owner, or none.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from admittance.client.channel.device_channel import DeviceChannel
from admittance.device import control
from admittance.errors import AdmittanceError, AuthenticationFailed
from admittance.wire import message
from admittance.wire.coap import codes
from admittance.wire.readings import ENDED_PATH, EndedNotice
from tests.access_world import EPOCH, Site, access_site
from tests.attack.channel_site import ACTUATOR
from tests.attack.possession import carried_out, give, new_order, order
from tests.attack.world import until


@dataclass
class Watch:
    """What a guest is shown who observes the device."""

    states: list[object] = field(default_factory=list)


@asynccontextmanager
async def watching(channel: DeviceChannel) -> AsyncIterator[Watch]:
    watch = Watch()

    async def observe() -> None:
        async with aclosing(channel.observe("/orders", timeout_s=2)) as states:
            async for state in states:
                watch.states.append(state.plain())

    observing = asyncio.create_task(observe())
    try:
        await until(lambda: bool(watch.states), "The guest observes.")
        yield watch
    finally:
        observing.cancel()
        await asyncio.gather(observing, return_exceptions=True)


async def assert_out(site: Site, channel: DeviceChannel, watch: Watch, before: int) -> None:
    """What happens now is nothing that the guest sees, and nothing that it says has an effect."""
    shown = len(watch.states)
    owner_says = site.granted()
    if (await site.push(owner_says)) == codes.CHANGED:
        assert await order(site, owner_says, site.world.directory / "another") is None
        before += 1
    assert isinstance(await give(channel, new_order(), timeout_s=1), AdmittanceError)
    assert len(watch.states) == shown
    assert len(carried_out(site)) == before


@pytest.mark.parametrize("how", ["token", "grant", "everything anew"])
async def test_a_revoked_key_is_out_at_once(granting: Site, tmp_path: Path, how: str) -> None:
    key = granting.granted()
    await granting.push(key)
    before = len(carried_out(granting))
    async with granting.near(key, tmp_path) as channel, watching(channel) as watch:
        match how:
            case "token":
                await granting.push(ended=(key.token,))
            case "grant":
                await granting.push(ended=(key.grant,))
            case _:
                await granting.push(base=0)
        await assert_out(granting, channel, watch, before)
    assert isinstance(await order(granting, key, tmp_path), AuthenticationFailed)
    await granting.power_cut()
    await granting.power_up()
    assert isinstance(await order(granting, key, tmp_path), AuthenticationFailed)


async def test_an_old_push_brings_no_key_back(granting: Site, tmp_path: Path) -> None:
    """Such as one that the server sent before the revocation, and that comes after it."""
    key = granting.granted()
    await granting.push(key)
    await granting.push(ended=(key.token,))
    granting.sequence -= 2
    try:
        assert await granting.push(key) == codes.CHANGED
    finally:
        granting.sequence += 1
    assert isinstance(await order(granting, key, tmp_path), AuthenticationFailed)


@pytest.mark.parametrize("how", ["given away", "reset"])
async def test_no_key_outlives_its_owner(tmp_path: Path, how: str) -> None:
    async with access_site(tmp_path, str(ACTUATOR)) as site:
        key = site.granted()
        await site.push(key)
        async with site.near(key, tmp_path / "guest") as channel, watching(channel) as watch:
            if how == "reset":
                await control.ask(site.world.state, "reset")
                await site.agent.event("access_point_opened", after=len(site.agent.events))
            else:
                await site.node.ask(codes.POST, message.encode(EndedNotice(EPOCH)), ENDED_PATH)
            shown = len(watch.states)
            assert isinstance(await give(channel, new_order(), timeout_s=1), AdmittanceError)
            assert len(watch.states) == shown
        assert isinstance(await site.refusal(key, tmp_path / "guest"), AdmittanceError)
        assert carried_out(site) == []
        assert site.record.access.keys == ()
