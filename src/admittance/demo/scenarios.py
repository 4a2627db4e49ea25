"""Playing a scenario to its end, or to the first step that does not hold."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TextIO

from admittance.demo.onboarding import Onboarding
from admittance.demo.processes import ProgramFailed, Programs, tail
from admittance.demo.stage import Stage
from admittance.demo.steps import Story
from admittance.errors import AdmittanceError


async def play_onboarding(folder: Path, out: TextIO, errors: TextIO, as_json: bool) -> bool:
    """Play the onboarding of two devices in `folder`. Returns whether every step held.

    Steps are told to `out`. What failed is explained to `errors`, with the last lines of the program that failed.
    """
    story = Story(out, as_json)
    async with Programs(folder / "logs") as programs:
        scenario = Onboarding(Stage(folder, programs), story)
        try:
            await _until_told(scenario.run)
        except ProgramFailed as error:
            errors.write(f"{error}\n{error.log}\n")
        except AdmittanceError as error:
            errors.write(f"{error}\n{_logs(folder / 'logs')}\n")
    story.summary({"scenario": "onboarding", "devices": scenario.devices})
    return story.ok


async def _until_told(work: Callable[[], Awaitable[None]]) -> None:
    """Run `work`; a signal to end cancels it, so that the programs are ended first."""
    task = asyncio.ensure_future(work())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _logs(folder: Path) -> str:
    shown = (f"--- {path.name}\n{tail(path)}" for path in sorted(folder.glob("*.log")))
    return "\n".join(shown)
