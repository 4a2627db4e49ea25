"""`admit demo onboarding`, as people run it."""

import asyncio
import json
import signal
from pathlib import Path

from admittance.demo.processes import ADMIT
from tests.e2e.demonstrations import demonstrated, logs_with_secrets, processes_naming

STEPS = {
    "server",
    "make",
    "models",
    "import",
    "account",
    "power",
    "outdated_code",
    "display_device",
    "button_device",
    "mail",
    "wifi_changed",
    "again_lamp-1",
    "again_plug-1",
    "revocation",
    "audit",
}


async def test_the_demonstration_shows_every_step_and_holds(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    told = await demonstrated("onboarding", folder)
    assert {step["step"] for step in told[:-1]} == STEPS
    assert told[-1]["devices"] == 2
    assert logs_with_secrets(folder, ("password", "link", "wifi", "typed"), but="account.log") == []


async def test_an_interrupted_demonstration_leaves_no_process(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    demo = await asyncio.create_subprocess_exec(
        *(*ADMIT, "demo", "--json", "--keep", str(folder)), stdout=asyncio.subprocess.PIPE
    )
    assert demo.stdout is not None
    assert json.loads(await demo.stdout.readline())["step"] == "server"
    assert processes_naming(folder) != []
    demo.send_signal(signal.SIGINT)
    output, _ = await demo.communicate()
    assert demo.returncode == 1
    assert json.loads(output.splitlines()[-1])["ok"] is False
    assert processes_naming(folder) == []
