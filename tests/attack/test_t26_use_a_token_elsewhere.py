"""T26. Means: a guest's token and key of one door, all that passes between guest and door, and the other doors of the
same owner. Goal: open another door than the granted one, or the same one after it changed hands.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace

from admittance.errors import AuthenticationFailed
from admittance.protocol.access.possession import master_secret
from admittance.wire.coap import codes
from tests.access_world import EPOCH, Site, access_site
from tests.attack.channel_site import ACTUATOR
from tests.attack.datagram_wire import DatagramWire
from tests.attack.possession import carried_out, give, new_order, order


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def other(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with access_site(tmp_path_factory.mktemp("other"), str(ACTUATOR)) as opened:
        yield opened


async def test_a_key_of_one_door_at_another(granting: Site, other: Site, tmp_path: Path) -> None:
    key = granting.granted()
    await granting.push(key)
    assert await order(granting, key, tmp_path) is None
    assert isinstance(await order(other, key, tmp_path), AuthenticationFailed)
    assert carried_out(other) == []


async def test_a_key_of_one_door_under_the_token_of_another(granting: Site, other: Site, tmp_path: Path) -> None:
    """The other door knows a token of that name, with a key of its own; and a key is another one at each door, even
    of the same shares."""
    key = granting.granted()
    await granting.push(key)
    await other.push(replace(key, master_secret=bytes(32)))
    assert isinstance(await order(other, key, tmp_path), AuthenticationFailed)
    shares = {"client_share": b"c" * 32, "client": "app", "grant": key.grant}
    secrets = {master_secret(b"s" * 32, device_id=site.device_id, **shares) for site in (granting, other)}
    assert len(secrets) == 2
    assert carried_out(other) == []


async def test_what_was_said_to_one_door_is_said_to_another(granting: Site, other: Site, tmp_path: Path) -> None:
    """Even one that has the same key."""
    key, said = granting.granted(), new_order()
    await granting.push(key)
    await other.push(key)
    towards = [granting.address]
    async with DatagramWire.to_device(lambda: towards[0]) as wire:
        async with granting.near(key, tmp_path, wire.address) as channel:
            assert await give(channel, said) is None
        towards[0] = other.address
        for data in wire.recorded:
            wire.say(data)
    assert await order(other, key, tmp_path, "the guest's own") is None
    assert carried_out(other) == ["the guest's own"]
    await other.push(ended=(key.grant,))


async def test_keys_for_another_epoch_than_the_devices(other: Site, tmp_path: Path) -> None:
    """Such as those of an owner who comes later, or came before."""
    before = carried_out(other)
    for epoch in (EPOCH - 1, EPOCH + 1):
        key = other.granted()
        assert await other.push(key, epoch=epoch) == codes.FORBIDDEN
        assert await other.push(key, epoch=epoch, base=0) == codes.FORBIDDEN
        assert isinstance(await order(other, key, tmp_path), AuthenticationFailed)
    assert carried_out(other) == before
