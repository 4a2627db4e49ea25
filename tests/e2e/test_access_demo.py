"""`admit demo access`, as people run it."""

import asyncio
import json
import sys
from pathlib import Path

from tests.e2e.demo_traces import processes_naming

ADMIT = (sys.executable, "-m", "admittance")
REASONS = {
    "fake_app": "integrity_refused",
    "app_not_attested": "integrity_required",
    "second_try": "authentication_failed",
    "second_key": "uses_spent",
    "next_morning": "expired",
    "stolen_login": "authentication_failed",
    "stolen_token": "channel_lost",
    "other_device": "authentication_failed",
}
"""How each step that shows a refusal is refused. A door says nothing at all to who can't open its messages."""

STEPS = [
    "server",
    "doors",
    "guest",
    "fake_app",
    "grant",
    "app_not_attested",
    "attested",
    "opened",
    "second_try",
    "second_key",
    "short_evening",
    "next_morning",
    "stolen_login",
    "stolen_token",
    "other_device",
    "monitor",
    "offline_token",
    "over_bluetooth",
    "audit",
]


async def test_the_demonstration_shows_every_step_and_holds(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    demo = await asyncio.create_subprocess_exec(
        *(*ADMIT, "demo", "access", "--json", "--keep", str(folder)), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await demo.communicate()
    told = [json.loads(line) for line in output.splitlines()]
    assert all(step["ok"] for step in told), told
    assert demo.returncode == 0
    assert [step["step"] for step in told[:-1]] == STEPS
    assert {step["step"]: step["error"] for step in told if "error" in step} == REASONS
    assert told[-1]["step"] == "summary"
    assert processes_naming(folder) == []
