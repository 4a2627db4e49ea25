"""The agent of a device with a TPM as a process: enrolment, sessions, reset, a cleared TPM and a cloned disk."""

import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from admittance.device.control import ask
from admittance.device.state import Record, StateFile
from admittance.tpm.software import software_tpm
from admittance.wire.birth import EkKind
from tests.agent_world import HOME, World
from tests.tpm_agent_world import TpmServer, tpm_agent_world, tpm_server
from tests.tpm_made import clear, loaded


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with tpm_agent_world(tmp_path) as world:
        yield world


def record(world: World) -> Record:
    kept = StateFile(world.state).load()
    assert kept is not None
    return kept


@pytest.mark.parametrize("kind", ["rsa", "p384"])
async def test_a_device_enrols_by_its_tpm_and_then_proves_itself_by_sessions(tmp_path: Path, kind: EkKind) -> None:
    async with tpm_agent_world(tmp_path, kind) as world:
        agent = await world.onboarded()
        await agent.event("status", after=agent.names().index("status") + 1)
        assert tpm_server(world).sessions >= 2
        assert not list((world.directory / "birth").glob("*.key"))
        await agent.stop()
        with software_tpm(world.directory / "birth" / "tpm") as tcti:
            assert loaded(tcti) == 0


async def test_killed_and_started_again_it_enrols_no_second_time(world: World) -> None:
    agent = await world.onboarded()
    await agent.kill()
    again = await world.start()
    await again.event("status")
    assert "enrolling" not in again.names()
    assert len(world.server.certificates) == 1


async def test_after_a_reset_only_the_hardware_is_the_same(world: World) -> None:
    agent = await world.onboarded()
    before = record(world)
    seen = len(agent.events)
    await ask(world.state, "reset")
    await agent.event("code_shown", seen)
    seen = len(agent.events)
    phone = await world.meet()
    await phone.configure(purpose="reprovision", ticket=b"2" * 32)
    await phone.send_network(1, HOME)
    await agent.event("enrolled", seen)
    first, second = tpm_server(world).attestation_keys[0], tpm_server(world).attestation_keys[-1]
    after = record(world)
    assert first != second
    assert after.keys.attestation != before.keys.attestation
    assert before.operational is not None
    assert after.operational is not None
    assert after.operational.key != before.operational.key


async def test_a_cleared_tpm_costs_the_device_a_new_enrolment_and_nothing_else(world: World) -> None:
    agent = await world.onboarded()
    await agent.stop()
    with software_tpm(world.directory / "birth" / "tpm") as tcti:
        clear(tcti)
    again = await world.start()
    refused = await again.event("access_refused")
    assert refused["cause"] == "tpm_key_lost"
    await again.event("enrolled")
    await again.event("status")
    assert len(world.server.certificates) == 2


async def test_a_clone_of_the_disk_with_another_tpm_does_not_start(world: World) -> None:
    agent = await world.onboarded()
    await agent.stop()
    shutil.rmtree(world.directory / "birth" / "tpm")
    clone = await world.launch()
    failed = await clone.event("failed")
    assert failed["cause"] == "configuration"
    assert "is not that of device" in failed["detail"]
    assert "started" not in clone.names()


async def test_the_tpm_may_be_where_the_command_says(world: World) -> None:
    elsewhere = world.directory / "elsewhere"
    (world.directory / "birth" / "tpm").rename(elsewhere)
    with software_tpm(elsewhere) as tcti:
        agent = await world.start("--tcti", tcti)
        await agent.stop()
    absent = await world.launch("--tcti", tcti)
    assert (await absent.event("failed"))["cause"] == "tpm_unavailable"


async def test_the_software_tpm_ends_with_its_agent(world: World) -> None:
    agent = await world.start()
    children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
    assert len(children) == 1
    await agent.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(int(children[0]), signal.SIGCONT)


async def test_without_a_session_a_tpm_device_gets_nothing(world: World) -> None:
    await world.onboarded()
    status, _ = TpmServer.answer(tpm_server(world), "/device/status", b"", {})
    assert status == 401
