"""`admit demo enrolment`, as people run it."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

from tests.e2e.demo_traces import processes_naming

ADMIT = (sys.executable, "-m", "admittance")
STEPS = [
    "server",
    "make",
    "models",
    "accounts",
    "power",
    "login",
    "code",
    "evidence",
    "sessions",
    "other_doors",
    "clone",
    "reset",
    "again",
    "release",
    "claim",
    "history",
    "mail",
    "audit",
]
SECRETS = ("password", "buyer-password", "typed", "panel-wifi", "sms-token")
CONFIGURATION = 6


async def test_the_demonstration_shows_every_step_and_holds(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    demo = await asyncio.create_subprocess_exec(
        *(*ADMIT, "demo", "enrolment", "--json", "--keep", str(folder)), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await demo.communicate()
    told = [json.loads(line) for line in output.splitlines()]
    assert all(step["ok"] for step in told), told
    assert demo.returncode == 0
    assert [step["step"] for step in told[:-1]] == STEPS
    assert (told[-1]["step"], told[-1]["devices"]) == ("summary", 2)
    assert processes_naming(folder) == []
    secrets = {line for name in SECRETS for line in (folder / name).read_text().splitlines()}
    logs = {log.name: log.read_text() for log in (folder / "logs").glob("*.log")}
    assert [name for name, text in logs.items() if any(secret in text for secret in secrets)] == []


async def test_without_a_software_tpm_it_says_what_to_install(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("unshare", "setpriv"):
        (programs / name).symlink_to(shutil.which(name) or name)
    demo = await asyncio.create_subprocess_exec(
        *(*ADMIT, "demo", "enrolment", "--json"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PATH": str(programs)},
    )
    output, _ = await demo.communicate()
    told = json.loads(output)
    assert (demo.returncode, told["error"]) == (CONFIGURATION, "configuration")
    assert "Debian package swtpm" in told["detail"]
