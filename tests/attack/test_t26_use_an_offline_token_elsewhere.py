"""T26, without a network. Means: offline tokens and keys of one monitor, a second monitor of the same hospital, and a
radio that says whatever name it likes. Goal: get in at the second monitor, or at the first after it changed hands.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from admittance.client.channel.content import Content
from admittance.errors import AuthenticationFailed, ChannelLost
from admittance.protocol.access.authz_info import PossessionKey
from admittance.wire.cwt import OfflineStanding
from tests.monitor_world import EPOCH, Ward, ward


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def first(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ward]:
    async with ward(tmp_path_factory.mktemp("first")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def second(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ward]:
    async with ward(tmp_path_factory.mktemp("second")) as opened:
        yield opened


async def refused(monitor: Ward, key: PossessionKey, folder: Path) -> str:
    """The monitor's own reason why it let nobody in."""
    before = len(monitor.causes())
    assert isinstance(await monitor.read(key, folder), AuthenticationFailed)
    return monitor.causes()[before]


async def test_a_token_for_one_monitor_at_another(first: Ward, second: Ward, tmp_path: Path) -> None:
    """Even one that the server of both encrypted to the other's key."""
    key = first.issuer.token()
    assert isinstance(await first.read(key, tmp_path), Content)
    assert await refused(second, key, tmp_path) == "signature_invalid"
    elsewhere = second.issuer.token(audience=f"{second.issuer.origin}/d/{first.device_id}")
    assert await refused(second, elsewhere, tmp_path) == "wrong_device"


async def test_a_token_of_another_server(second: Ward, tmp_path: Path) -> None:
    foreign = second.issuer.token(issuer="https://another.example")
    assert await refused(second, foreign, tmp_path) == "wrong_origin"


async def test_a_token_whose_key_is_another_monitors(first: Ward, second: Ward, tmp_path: Path) -> None:
    key = second.issuer.token(access_spki=first.issuer.access_spki)
    assert await refused(second, key, tmp_path) == "not_decryptable"


async def test_tokens_of_other_owners(second: Ward, tmp_path: Path) -> None:
    for epoch in (EPOCH - 1, EPOCH + 1):
        key = second.issuer.token(standing=OfflineStanding(epoch, 99, os.urandom(16)))
        assert await refused(second, key, tmp_path) == "wrong_epoch"


async def test_a_false_monitor_hands_the_token_on(first: Ward, second: Ward, tmp_path: Path) -> None:
    """A radio that takes the first monitor's name gets the guest's token, and not the key."""
    key = first.issuer.token()
    outcome = await first.read(PossessionKey(key.token, os.urandom(32)), tmp_path)
    assert isinstance(outcome, AuthenticationFailed | ChannelLost)
    assert isinstance(await first.read(key, tmp_path), Content)
