"""Second factors with real processes: login and SMS at a keyboard, a code of an enrolled device, the owner's word."""

import asyncio
import json
import re
import secrets
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from admittance.demo.household import OWNER, Household, RunningDevice, until
from admittance.demo.ports import free_ports
from admittance.demo.processes import Programs
from admittance.demo.stage import HOME, Stage, device_model
from admittance.device import control

pytestmark = pytest.mark.asyncio(loop_scope="module")

PANEL, SAFE, GATE = "panel", "safe", "gate"
LISTED = ("--presence", "display", "--seal", "hybrid", "--listed")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Household]:
    folder: Path = tmp_path_factory.mktemp("home")
    async with Programs(folder / "logs") as programs:
        stage = Stage(folder, programs)
        stage.write_config()
        server = await stage.serve()
        await stage.init_maker()
        await server.end()
        (port,) = free_ports(1)
        token = stage.secret_file("sms-token", secrets.token_urlsafe(18))
        await programs.start(
            "sms",
            [
                *(sys.executable, "-m", "admittance.demo.sms_gateway", "--listen", f"127.0.0.1:{port}"),
                *("--token-file", token, "--out", folder / "sms.jsonl"),
            ],
        )
        sms = f'[sms]\nprovider = "http"\nurl = "http://127.0.0.1:{port}/"\ntoken_file = "{token}"\n\n'
        panel = device_model(PANEL, "display", "listed", []) + "keyboard = true\n\n"
        safe = device_model(SAFE, "display", "listed", []) + 'second_factor = ["code"]\n\n'
        gate = device_model(GATE, "display", "listed", []) + 'second_factor = ["approval"]\n\n'
        stage.write_config(sms + panel + safe + gate)
        await stage.serve()
        await stage.open_premises()
        household = Household(stage)
        await household.open_account()
        yield household


async def sms_code(home: Household, before: int = 0) -> str:
    inbox = home.stage.folder / "sms.jsonl"
    await until(lambda: inbox.exists() and len(inbox.read_text().splitlines()) > before, "An SMS arrives.")
    found = re.search(r"\b[0-9]{8}\b", json.loads(inbox.read_text().splitlines()[-1])["text"])
    assert found is not None
    return found[0]


async def made(home: Household, model: str) -> RunningDevice:
    """A device that its server knows, switched on."""
    device = await home.make(model, *LISTED)
    manifest = device.batch / "manifest.jsonl"
    await home.stage.admit("import", "devices", "import", manifest, "--config", home.stage.config)
    await home.switch_on(device, "--poll-s", "0.5")
    await until(lambda: (device.state / control.SOCKET_NAME).exists(), f"{model} runs.")
    return device


async def test_a_panel_enrols_by_login_and_sms_and_then_lets_a_safe_in(home: Household) -> None:
    stage, profile = home.stage, ("--profile", home.profile)
    await stage.admit("phone-set", "account", "phone", "set", "+491701234567", *profile)
    first = stage.secret_file("phone-code", await sms_code(home))
    await stage.admit("phone-confirm", "account", "phone", "confirm", "--code-file", first, *profile)

    panel = await made(home, PANEL)
    at_panel = ("device", "enrol", "--state", panel.state)
    wifi = stage.secret_file("panel-wifi", stage.wifi_password)
    started = await stage.admit(
        *("login", *at_panel, "--login", OWNER, "--password-file", stage.folder / "password"),
        *("--network", HOME, "--network-password-file", wifi, "--start-only"),
    )
    assert started.last == {"started": "sms"}
    wrong = stage.secret_file("wrong-code", "00000000")
    refused = await stage.admit("wrong", *at_panel, "--sms", "--code-file", wrong, expect=4)
    assert refused.last["error"] == "factor_refused"
    code = stage.secret_file("sms-code", await sms_code(home, 1))
    enrolled = await stage.admit("sms-code", *at_panel, "--sms", "--code-file", code)
    assert enrolled.last["enrolled"]
    assert (await home.enrolled(panel)).epoch == 1

    code_made = await stage.admit("panel-code", "device", "code", "--state", panel.state)
    typed = stage.secret_file("typed-code", code_made.last["code"].lower())
    safe = await made(home, SAFE)
    photo = await home.photograph(safe)
    await home.provision(photo, *home.wifi(stage.wifi_password), "--code-file", typed)
    await home.enrolled(safe)
    shown = await stage.admit("show", "devices", "show", safe.device_id, *profile)
    assert shown.last["enrolment"]["factor"] == "code"


async def test_a_gate_waits_for_its_owner(home: Household) -> None:
    stage, profile = home.stage, ("--profile", home.profile)
    gate = await made(home, GATE)
    photo = await home.photograph(gate)
    phone = asyncio.create_task(home.provision(photo, *home.wifi(stage.wifi_password)))
    async with asyncio.timeout(60):
        while not (await stage.admit("pending", "devices", "pending", *profile)).last["enrolments"]:
            await asyncio.sleep(0.3)
    await stage.admit("approve", "devices", "approve", gate.device_id, *profile)
    await phone
    await home.enrolled(gate)
