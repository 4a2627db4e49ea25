"""T25, without a network. Means: offline tokens with their keys that were good once, or will be; the monitor's power
plug. Goal: use one outside of its time, by a monitor that lost the time or was told a wrong one.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from admittance.client.channel.content import Content
from admittance.errors import AuthenticationFailed, NotAllowed
from tests.monitor_world import Ward, ward


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def monitor(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ward]:
    async with ward(tmp_path_factory.mktemp("ward")) as opened:
        yield opened


async def refused(monitor: Ward, key: object, folder: Path) -> str:
    """The monitor's own reason why it let nobody in."""
    before = len(monitor.causes())
    assert isinstance(await monitor.read(key, folder), AuthenticationFailed)
    return monitor.causes()[before]


async def test_before_and_after_its_hour(monitor: Ward, tmp_path: Path) -> None:
    now = int(time.time())
    early = monitor.issuer.token(not_before=now + 600)
    assert await refused(monitor, early, tmp_path) == "outside_window"
    late = monitor.issuer.token(now - 3601)
    assert await refused(monitor, late, tmp_path) == "expired"


async def test_an_open_channel_outlives_no_token(monitor: Ward, tmp_path: Path) -> None:
    now = int(time.time())
    async with monitor.near(monitor.issuer.token(expires_at=now + 6), tmp_path) as channel:
        assert (await channel.get("/measurements")).payload
        await asyncio.sleep(max(0.0, now + 7 - time.time()))
        with pytest.raises(NotAllowed):
            await channel.get("/measurements")


async def test_the_plug_is_pulled(monitor: Ward, tmp_path: Path) -> None:
    """Without the time: no token of the clock's, none with a nonce that the monitor did not make since, and none
    again that was counted before."""
    await monitor.power_cut()
    nonce = await monitor.nonce()
    counted = monitor.issuer.token(cnonce=nonce, exi_s=600)
    unused = monitor.issuer.token(cnonce=nonce, exi_s=600)
    assert isinstance(await monitor.read(counted, tmp_path), Content)
    assert await refused(monitor, monitor.issuer.token(), tmp_path) == "time_unknown"
    made_up = monitor.issuer.token(cnonce=bytes(16), exi_s=600)
    assert await refused(monitor, made_up, tmp_path) == "wrong_nonce"
    await monitor.power_cut()
    for key in (counted, unused):
        assert await refused(monitor, key, tmp_path) == "wrong_nonce"


async def test_the_seconds_of_exi_are_not_counted_twice(monitor: Ward, tmp_path: Path) -> None:
    """From the first channel on, however often the token comes again."""
    await monitor.power_cut()
    short = monitor.issuer.token(cnonce=await monitor.nonce(), exi_s=10)
    assert isinstance(await monitor.read(short, tmp_path), Content)
    ends_at = asyncio.get_running_loop().time() + 11
    assert isinstance(await monitor.read(short, tmp_path), Content)
    await asyncio.sleep(max(0.0, ends_at - asyncio.get_running_loop().time()))
    assert await refused(monitor, short, tmp_path) == "expired"


async def test_the_clock_is_turned_back(monitor: Ward, tmp_path: Path) -> None:
    """A monitor that was told of a later hour by anything that the server signed never believes in an earlier one."""
    await monitor.power_cut()
    nonce = await monitor.nonce()
    tomorrow = time.time() + 86_400
    later = monitor.issuer.token(tomorrow, cnonce=nonce, exi_s=600)
    assert isinstance(await monitor.read(later, tmp_path), Content)
    await monitor.power_cut()
    expired = monitor.issuer.token(cnonce=await monitor.nonce(), exi_s=600)
    assert await refused(monitor, expired, tmp_path) == "expired"
