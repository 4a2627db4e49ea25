"""The device agent as a process, in the simulated premises, against a server over TLS; named by the fault."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from admittance.device.control import ask
from admittance.device.state import StateFile
from admittance.errors import AdmittanceError
from admittance.protocol.provisioning.client import run
from admittance.protocol.provisioning.network_secret import Network
from tests.agent_world import HOME, World, agent_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with agent_world(tmp_path) as world:
        yield world


@pytest.mark.parametrize(
    ("network", "cause"),
    [
        (Network("Home", "wrong horse"), "wrong_password"),
        (Network("Nowhere", "correct horse"), "not_found"),
        (Network("Full", "no more leases"), "no_address"),
        (Network("Guest", ""), "no_server"),
    ],
)
async def test_a_network_that_fails_is_told_apart_and_retried_in_the_same_session(
    world: World, network: Network, cause: str
) -> None:
    agent = await world.start()
    await agent.event("code_shown")
    phone = await world.meet()
    await phone.configure()
    await phone.send_network(1, network)
    failed = await phone.status("failed", "online", "enrolled")
    assert (failed.state, failed.cause) == ("failed", cause)
    record = StateFile(world.state).load()
    assert record is not None
    assert record.network is None
    await phone.send_network(2, HOME)
    await agent.event("enrolled")
    assert (await phone.status("enrolled")).attempt == 2
    await agent.event("access_point_closed")
    status = await ask(world.state, "status")
    assert (status["owned"], status["network"], status["joined"]) == (True, "Home", "Home")


@pytest.mark.parametrize("moment", ["configured", "network_tried", "network_kept", "enrolling", "enrolled"])
async def test_killed_during_onboarding_the_device_ends_with_one_certificate(world: World, moment: str) -> None:
    agent = await world.start()
    await agent.event("code_shown")
    phone = await world.meet()
    await phone.configure()
    if moment != "configured":
        await phone.send_network(1, HOME)
        await agent.event(moment)
    await agent.kill()
    again = await world.start()
    record = StateFile(world.state).load()
    assert record is not None
    assert record.last_sequence == 1
    if record.network is None:
        await again.event("code_shown")
        phone = await world.meet()
        await phone.configure(purpose="reprovision", ticket=b"")
        await phone.send_network(1, HOME)
    await again.event("status")
    assert len(world.server.certificates) == 1
    assert list(world.server.tickets) == [b"t" * 32]


async def test_a_wifi_that_fails_never_opens_the_access_point_of_an_owned_device(world: World) -> None:
    agent = await world.onboarded()
    observer = await world.observer()
    seen = len(agent.events)
    await observer.set_passphrase("Home", "another horse")
    failed = await agent.event("contact_failed", seen)
    await observer.aclose()
    assert failed["cause"] in ("wrong_password", "no_server")
    assert not (await ask(world.state, "status"))["access_point_open"]
    await agent.kill()
    again = await world.start()
    await again.event("contact_failed")
    assert "access_point_opened" not in again.names()
    await ask(world.state, "press")
    opened = await again.event("access_point_opened")
    assert opened["cause"] == "press"


async def test_a_reprovisioning_that_fails_leaves_the_device_on_its_old_network(world: World) -> None:
    agent = await world.onboarded()
    await ask(world.state, "press")
    seen = len(agent.events)
    phone = await world.meet()
    await phone.configure(purpose="reprovision", ticket=b"")
    await phone.send_network(1, Network("Guest", ""))
    assert (await phone.status("failed")).cause == "no_server"
    await agent.event("status", seen)
    status = await ask(world.state, "status")
    assert (status["network"], status["joined"], status["epoch"]) == ("Home", "Home", 1)
    assert len(world.server.certificates) == 1


async def test_a_factory_reset_is_reported_and_leaves_nothing_of_the_owner(world: World) -> None:
    agent = await world.onboarded()
    assert await ask(world.state, "reset") == {"resets": 1}
    await agent.event("reset_reported")
    seen = agent.names().index("reset")
    await agent.event("access_point_opened", seen)
    assert world.server.resets == [1]
    record = StateFile(world.state).load()
    assert record is not None
    assert (record.owned, record.network, record.server, record.operational) == (False, None, None, None)
    assert (record.epoch, record.last_sequence, record.resets, record.reset_unreported) == (1, 1, 1, False)
    leftovers = b"".join(path.read_bytes() for path in world.state.glob("state*"))
    assert HOME.passphrase.encode() not in leftovers
    status = await ask(world.state, "status")
    assert status["joined"] is None


async def test_a_reset_without_network_is_reported_at_the_next_contact(world: World) -> None:
    agent = await world.onboarded()
    observer = await world.observer()
    await observer.take_down("Home")
    seen = len(agent.events)
    await ask(world.state, "reset")
    await agent.event("code_shown", seen)
    assert world.server.resets == []
    await observer.bring_up("Home")
    await observer.aclose()
    phone = await world.meet()
    await phone.configure(purpose="reprovision", ticket=b"n" * 32)
    await phone.send_network(1, HOME)
    await agent.event("enrolled", seen)
    assert world.server.resets == [1]


async def test_a_device_that_is_refused_keeps_asking_and_comes_back(world: World) -> None:
    agent = await world.onboarded()
    world.server.refuse = True
    seen = len(agent.events)
    refused = await agent.event("access_refused", seen)
    assert refused["cause"] == "authentication_failed"
    await agent.event("contact_failed", seen)
    world.server.refuse = False
    seen = len(agent.events)
    await agent.event("status", seen)


async def test_a_stock_app_sets_the_network_of_an_unowned_device_only(world: World) -> None:
    agent = await world.start()
    await agent.event("code_shown")
    phone = await world.meet()
    seen = await run(phone.client.scan(), phone.exchange)
    assert [network.ssid for network in seen] == ["Home", "Guest", "Full"]
    await run(phone.client.set_network("Home", "correct horse"), phone.exchange)
    await agent.event("network_kept")
    assert (await run(phone.client.network_status(), phone.exchange)).ssid == "Home"
    await phone.configure()
    await phone.send_network(1, HOME)
    await agent.event("access_point_closed")
    await ask(world.state, "press")
    phone = await world.meet()
    with pytest.raises(AdmittanceError):
        await run(phone.client.set_network("Guest", ""), phone.exchange)
    assert (await ask(world.state, "status"))["network"] == "Home"


async def test_a_device_without_display_opens_by_its_button(tmp_path: Path) -> None:
    async with agent_world(tmp_path, presence="button", seal="symmetric") as world:
        agent = await world.start("--display", "none", "--open-s", "2")
        await agent.event("access_point_closed")
        phone = await world.press_and_meet()
        evidence = await phone.evidence()
        assert evidence.presence == "button"
        await phone.configure(seal_key=world.made.birth.seal_key)
        await phone.send_network(1, HOME)
        await agent.event("enrolled")
        assert (await phone.status("enrolled")).cause == ""


async def test_no_secret_is_logged(world: World) -> None:
    agent = await world.onboarded()
    text = repr(agent.events)
    assert HOME.passphrase not in text
    assert world.made.birth.access_point_passphrase not in text
