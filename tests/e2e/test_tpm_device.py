"""Devices with a software TPM, the real server, and everything between them as processes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from admittance.demo.household import Household, RunningDevice, until
from admittance.demo.processes import Programs
from admittance.demo.stage import Stage, device_model
from admittance.device.control import ask

pytestmark = pytest.mark.asyncio(loop_scope="module")

KINDS = ("rsa", "p384")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Household]:
    """An owner at a server that takes devices only by a TPM of the maker's; the premises are open."""
    folder: Path = tmp_path_factory.mktemp("home")
    async with Programs(folder / "logs") as programs:
        stage = Stage(folder, programs)
        stage.write_config()
        server = await stage.serve()
        await stage.init_maker()
        await server.end()
        stage.write_config(
            f'[makers.acme]\nca_file = "{stage.factory / "maker-ca.pem"}"\n\n'
            f'[tpm]\nek_roots = ["{stage.factory / "ek-ca.pem"}"]\n\n'
            + "".join(device_model(kind, "display", "tpm", ["acme"]) for kind in KINDS)
        )
        await stage.serve()
        await stage.open_premises()
        household = Household(stage)
        await household.open_account()
        yield household


@pytest.mark.parametrize("kind", KINDS)
async def test_a_device_is_enrolled_by_its_tpm_and_known_again_after_a_reset(home: Household, kind: str) -> None:
    safe = await home.make(kind, "--presence", "display", "--seal", "hybrid", "--certified", "--tpm", "--ek", kind)
    await home.switch_on(safe, "--poll-s", "0.3", "--linger-s", "1")
    await provisioned(home, safe)
    found = await home.enrolled(safe)
    assert found.assurance == "tpm"

    await ask(safe.state, "reset")
    await until(lambda: safe.told("reset_reported") == 1, "The reset is reported.")
    await provisioned(home, safe)
    again = await home.enrolled(safe)
    assert (again.assurance, again.epoch) == ("tpm", found.epoch)
    assert again.certificate != found.certificate


async def provisioned(home: Household, device: RunningDevice) -> None:
    """Provision a device, and wait until it proved itself to the server, and by its TPM's key to the relay."""
    enrolled, on_relay = device.told("enrolled"), device.told("relay_connected")
    photo = await home.photograph(device)
    await home.provision(photo, *home.wifi(home.stage.wifi_password))
    await until(lambda: device.told("enrolled") > enrolled, f"{device.model} is enrolled.")
    known = device.told("status")
    await until(lambda: device.told("status") > known, f"{device.model} is known.")
    await until(lambda: device.told("relay_connected") > on_relay, f"{device.model} is on the relay.")
