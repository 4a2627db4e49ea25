"""Demonstrations as people run them, and what they could leave behind."""

import asyncio
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from admittance.demo.processes import ADMIT

CONFIGURATION = 6
_ISOLATION = ("unshare", "setpriv")


async def demonstrated(name: str, folder: Path) -> list[dict[str, Any]]:
    """The steps that ``admit demo NAME`` tells, with its summary; all held, and no process is left."""
    demo = await asyncio.create_subprocess_exec(
        *(*ADMIT, "demo", name, "--json", "--keep", str(folder)), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await demo.communicate()
    told: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines()]
    assert all(step["ok"] for step in told), told
    assert demo.returncode == 0
    assert told[-1]["step"] == "summary"
    assert processes_naming(folder) == []
    return told


async def told_without_programs(name: str, folder: Path) -> str:
    """What ``admit demo NAME`` says where no server is installed."""
    programs = folder / "bin"
    programs.mkdir()
    for program in _ISOLATION:
        (programs / program).symlink_to(shutil.which(program) or program)
    demo = await asyncio.create_subprocess_exec(
        *(*ADMIT, "demo", name, "--json"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PATH": str(programs)},
    )
    output, _ = await demo.communicate()
    told = json.loads(output)
    assert (demo.returncode, told["error"]) == (CONFIGURATION, "configuration")
    detail: str = told["detail"]
    return detail


def logs_with_secrets(folder: Path, names: Sequence[str], *, but: str = "") -> list[str]:
    """The logs of a demonstration, all `but` one, that hold a line of its files of those names."""
    secrets = {line for name in names for line in (folder / name).read_text().splitlines()}
    return [
        log.name
        for log in (folder / "logs").glob("*.log")
        if log.name != but and any(secret in log.read_text() for secret in secrets)
    ]


def processes_naming(folder: Path) -> list[bytes]:
    """The command lines of running processes that name `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in command:
            found.append(command)
    return found
