"""T24. Means: everything that passed between a guest and a door when the guest used a single-use grant, from the same
address; the guest's own key; the power switch. Goal: that the door opens once more.
"""

import asyncio
import random
from contextlib import suppress
from pathlib import Path

from admittance.errors import AdmittanceError, AuthenticationFailed, NotAllowed
from admittance.wire.coap import datagram
from tests.access_world import Site
from tests.attack.datagram_wire import DatagramWire
from tests.attack.possession import carried_out, give, new_order, order
from tests.attack.world import until

POWER_CUTS = 6
LONGEST_S = 0.03


async def settled(site: Site) -> None:
    """What was said to the device until now has been dealt with: it answers what comes after."""
    key = site.granted()
    await site.push(key)
    async with site.near(key, site.world.directory / "asker") as channel:
        await channel.get("/orders")


async def say_again(site: Site, wire: DatagramWire, recorded: list[bytes]) -> None:
    """Say everything as it was, in another order, and each message under another id, as if it had not come yet."""
    disordered = random.Random(1).sample(recorded, len(recorded))
    afresh = []
    for number, data in enumerate(recorded):
        known = datagram.decode(data)
        afresh.append(datagram.encode(datagram.Datagram(known.type, 0x7000 + number, known.message)))
    for data in (*recorded, *disordered, *afresh):
        wire.say(data)
        await asyncio.sleep(0)
    await settled(site)


async def test_what_the_guest_said_opens_nothing_a_second_time(granting: Site, tmp_path: Path) -> None:
    """Neither in its conversation, nor after a new one was begun with its token, nor after the power was off."""
    key, said = granting.granted(1), new_order()
    await granting.push(key)
    async with DatagramWire.to_device(lambda: granting.address) as wire:
        async with granting.near(key, tmp_path, wire.address) as channel:
            assert await give(channel, said) is None
            recorded = list(wire.recorded)
            await say_again(granting, wire, recorded)
        await say_again(granting, wire, recorded)
        await granting.power_cut()
        await granting.power_up()
        await say_again(granting, wire, recorded)
    assert carried_out(granting).count(said) == 1


async def test_a_replayed_token_alone_gets_a_context_that_opens_nothing(granting: Site, tmp_path: Path) -> None:
    """The grant is not used up: who posts its token gets an answer, and the old messages do not hold under it, nor
    when the device has forgotten the old context."""
    key, said = granting.granted(5), new_order()
    await granting.push(key)
    async with DatagramWire.to_device(lambda: granting.address) as wire:
        async with granting.near(key, tmp_path, wire.address) as channel:
            assert await give(channel, said) is None
        recorded = list(wire.recorded)
        for _ in range(3):
            await say_again(granting, wire, recorded)
        await granting.power_cut()
        await granting.power_up()
        answered = len(wire.answers)
        for _ in range(3):
            await say_again(granting, wire, recorded)
        assert len(wire.answers) > answered
    assert carried_out(granting).count(said) == 1
    assert {use.grant: use.used for use in (await granting.state()).used}[key.grant] == 1


async def test_the_guest_itself_has_one_use_however_it_asks(granting: Site, tmp_path: Path) -> None:
    """Twice in one conversation, sixteen times at once, in a context of its own, after the power was off."""
    before = len(carried_out(granting))
    key = granting.granted(1)
    await granting.push(key)
    async with granting.near(key, tmp_path) as channel:
        refusals = await asyncio.gather(*(give(channel, new_order()) for _ in range(16)))
        assert sum(refusal is None for refusal in refusals) == 1
        assert {type(refusal) for refusal in refusals if refusal} == {NotAllowed}
    assert isinstance(await order(granting, key, tmp_path), AuthenticationFailed)
    causes = {event["cause"] for event in granting.told("access_refused")}
    assert {"uses_spent", "not_found"} <= causes
    await granting.power_cut()
    await granting.power_up()
    assert isinstance(await order(granting, key, tmp_path), AuthenticationFailed)
    assert len(carried_out(granting)) == before + 1


async def test_two_guests_of_one_grant_share_its_one_use(granting: Site, tmp_path: Path) -> None:
    before = len(carried_out(granting))
    first = granting.granted(1)
    second = granting.another(first)
    await granting.push(first, second)
    async with granting.near(first, tmp_path) as one, granting.near(second, tmp_path) as other:
        refusals = await asyncio.gather(give(one, new_order()), give(other, new_order()))
    assert sum(refusal is None for refusal in refusals) == 1
    assert len(carried_out(granting)) == before + 1


async def test_a_server_that_does_not_know_of_the_use_gives_no_second_one(granting: Site, tmp_path: Path) -> None:
    """The device's word of the use got lost, and the server sends everything again."""
    key = granting.granted(1)
    await granting.push(key)
    assert await order(granting, key, tmp_path) is None
    before = len(carried_out(granting))
    await granting.push(key, base=0)
    assert isinstance(await order(granting, key, tmp_path), AuthenticationFailed)
    again = granting.another(key)
    await granting.push(again)
    assert isinstance(await order(granting, again, tmp_path), AuthenticationFailed)
    assert len(carried_out(granting)) == before


async def test_the_power_fails_at_any_instant(granting: Site, tmp_path: Path) -> None:
    """A use that the power cut into may be lost; it is never there twice."""
    moments = random.Random(24)
    for _ in range(POWER_CUTS):
        key, said = granting.granted(1), [new_order() for _ in range(3)]
        await granting.push(key)
        async with DatagramWire.to_device(lambda: granting.address) as wire:
            with suppress(AdmittanceError):
                async with granting.near(key, tmp_path, wire.address) as channel:
                    asking = asyncio.create_task(give(channel, said[0], timeout_s=1))
                    await asyncio.sleep(moments.random() * LONGEST_S)
                    await granting.power_cut()
                    await asking
            await granting.power_up()
            await say_again(granting, wire, list(wire.recorded))
        for again in said[1:]:
            await order(granting, key, tmp_path, again)
        assert sum(carried_out(granting).count(each) for each in said) <= 1
    await until(lambda: granting.record.access.sequence == granting.sequence, "The device knows all pushes.")
