"""A monitor without any network takes a token over Bluetooth; monitor, air and app are processes of their own."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import cbor2
import pytest
import pytest_asyncio

from admittance.client.channel.content import Content
from admittance.client.possession.key_store import KeyStore
from admittance.errors import AuthenticationFailed
from admittance.premises import isolation
from admittance.wire.offline import EPOCH_LIST_PATH
from tests.monitor_world import Ward, ward

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def monitor(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ward]:
    async with ward(tmp_path_factory.mktemp("ward")) as opened:
        yield opened


async def admit(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run the command of an app with this profile, without any network; its exit code and output."""
    process = await asyncio.create_subprocess_exec(
        *(*isolation.prefix(), sys.executable, "-m", "admittance", *arguments),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "ADMITTANCE_PROFILE": str(folder)},
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_a_guest_reads_the_measurements_over_bluetooth(monitor: Ward, tmp_path: Path) -> None:
    token = monitor.issuer.token()
    KeyStore(tmp_path).keep(monitor.held(token, monitor.issuer.epoch_list(monitor.issuer.sequence)))
    code, output = await admit(
        tmp_path, "talk", "--ble", monitor.controller, monitor.device_id, "get", "/measurements", "--json"
    )
    assert code == 0
    assert "heart-rate" in output
    assert json.loads(output)
    assert monitor.record.offline.lowest_sequence == monitor.issuer.sequence


async def test_a_guest_follows_the_measurements_and_sets_the_alarm(monitor: Ward, tmp_path: Path) -> None:
    async with monitor.near(monitor.issuer.token(), tmp_path) as channel:
        await channel.put("/alarm", Content.of_cbor({"highest": 130}))
        assert cbor2.loads((await channel.get("/alarm")).payload)["highest"] == 130
        seen = 0
        async with aclosing(channel.observe("/measurements")) as measurements:
            async for _ in measurements:
                seen += 1
                if seen == 3:
                    break


async def test_a_monitor_that_lost_the_time_takes_a_token_with_its_nonce(monitor: Ward, tmp_path: Path) -> None:
    assert await monitor.nonce() == b""
    await monitor.power_cut()
    assert isinstance(await monitor.read(monitor.issuer.token(), tmp_path), AuthenticationFailed)
    assert monitor.causes()[0] == "time_unknown"
    fresh = monitor.issuer.token(cnonce=await monitor.nonce(), exi_s=600)
    assert isinstance(await monitor.read(fresh, tmp_path), Content)


async def test_any_client_brings_what_was_revoked(monitor: Ward, tmp_path: Path) -> None:
    nonce = await monitor.nonce()
    old = monitor.issuer.token(cnonce=nonce, exi_s=600)
    new = monitor.issuer.token(cnonce=nonce, exi_s=600)
    async with monitor.near(new, tmp_path) as channel:
        assert isinstance(await monitor.read(old, tmp_path / "other"), Content)
        await channel.post(EPOCH_LIST_PATH, Content(monitor.issuer.epoch_list(monitor.issuer.sequence)))
        assert isinstance(await monitor.read(old, tmp_path / "other"), AuthenticationFailed)
        assert (await channel.get("/measurements")).payload
    assert monitor.causes()[-1] == "sequence_replayed"
