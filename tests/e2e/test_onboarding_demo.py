"""`admit demo onboarding`, as people run it."""

import asyncio
import json
import signal
import sys
from pathlib import Path

from tests.e2e.demo_traces import processes_naming

ADMIT = (sys.executable, "-m", "admittance")
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
    demo = await asyncio.create_subprocess_exec(
        *(*ADMIT, "demo", "onboarding", "--json", "--keep", str(tmp_path / "demo")), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await demo.communicate()
    told = [json.loads(line) for line in output.splitlines()]
    assert all(step["ok"] for step in told), told
    assert demo.returncode == 0
    assert {step["step"] for step in told[:-1]} == STEPS
    assert (told[-1]["step"], told[-1]["devices"]) == ("summary", 2)
    assert processes_naming(tmp_path) == []
    assert _secrets_in_logs(tmp_path / "demo") == []


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


def _secrets_in_logs(folder: Path) -> list[str]:
    """The logs that hold what was in a secret file of the demonstration."""
    secrets = {
        line for name in ("password", "link", "wifi", "typed") for line in (folder / name).read_text().splitlines()
    }
    return [
        log.name
        for log in (folder / "logs").glob("*.log")
        if log.name != "account.log" and any(secret in log.read_text() for secret in secrets)
    ]
