"""Onboarding with real processes while something goes wrong."""

from pathlib import Path

import pytest

from admittance.client.provisioning_state import FILE
from admittance.demo.household import Household, RunningDevice, until
from admittance.demo.processes import ADMIT
from admittance.demo.stage import HOME

pytestmark = pytest.mark.asyncio(loop_scope="module")

CERTIFIED_LAMP = ("--presence", "display", "--seal", "hybrid", "--certified")


async def lamp(home: Household, name: str) -> tuple[RunningDevice, Path]:
    """A lamp that was just switched on, and a photo of its code."""
    device = await home.make(name, *CERTIFIED_LAMP)
    await home.switch_on(device, "--poll-s", "0.5")
    return device, await home.photograph(device)


async def test_a_wrong_wifi_password_is_retried_without_another_activation(home: Household) -> None:
    device, photo = await lamp(home, "lamp-a")
    done = await home.provision(photo, *home.wifi("wrong-password", "wrong-again", home.stage.wifi_password))
    assert (done.last["attempts"], done.last["purpose"]) == (3, "activate")
    causes = [event["cause"] for event in done.objects if event.get("event") == "network_failed"]
    assert causes == ["wrong_password", "wrong_password"]
    found = await home.enrolled(device)
    assert (found.assurance, found.epoch) == ("certified", 1)
    audit = home.stage.folder / "audit.jsonl"
    await home.stage.programs.run(
        "audit",
        [*ADMIT, "audit", "export", "--config", home.stage.config, "--out", audit],
    )
    rows = [row for row in audit.read_text().splitlines() if device.device_id in row]
    assert sum("device.activated" in row for row in rows) == 1
    assert not any("device.reprovisioned" in row for row in rows)


async def test_a_phone_that_gives_up_on_the_password_goes_on_later(home: Household) -> None:
    device, photo = await lamp(home, "lamp-b")
    failed = await home.provision(photo, *home.wifi("wrong-password"), expect=8)
    assert failed.last["error"] == "network"
    assert "--resume" in failed.last["detail"]
    done = await home.provision("--resume", *home.wifi(home.stage.wifi_password))
    assert done.last["device_id"] == device.device_id
    await home.enrolled(device)
    assert not (home.profile / FILE).exists()


async def test_a_phone_killed_between_activation_and_delivery_goes_on(home: Household) -> None:
    device, photo = await lamp(home, "lamp-c")
    phone = await home.stage.programs.start(
        "killed-phone",
        [
            *home.stage.isolated,
            *(*ADMIT, "provision", photo),
            *home.wifi(home.stage.wifi_password),
            *("--premises", home.stage.premises_socket, "--profile", home.profile, "--json"),
        ],
    )
    activated = b'{"event":"finished","step":"activation"}'
    await until(lambda: activated in phone.log.read_bytes(), "The phone activates.")
    await phone.kill()
    assert device.told("enrolled") == 0
    done = await home.provision("--resume", *home.wifi(home.stage.wifi_password))
    assert (done.last["device_id"], done.last["purpose"]) == (device.device_id, "activate")
    await home.enrolled(device)


async def test_a_device_killed_after_its_onboarding_comes_back_by_itself(home: Household) -> None:
    device, photo = await lamp(home, "lamp-d")
    await home.provision(photo, *home.wifi(home.stage.wifi_password))
    before = await home.enrolled(device)
    assert device.program is not None
    await device.program.kill()
    await home.switch_on(device, "--poll-s", "0.5")
    await home.joined(device, HOME)
    assert (await home.enrolled(device)).certificate == before.certificate
    assert device.shown() is None


async def test_a_used_code_is_refused(home: Household) -> None:
    device, photo = await lamp(home, "lamp-e")
    await home.provision(photo, *home.wifi(home.stage.wifi_password))
    await home.enrolled(device)
    await home.press(device)
    again = await home.provision(photo, *home.wifi(home.stage.wifi_password), expect=4)
    assert again.last["error"] == "wrong_code"
