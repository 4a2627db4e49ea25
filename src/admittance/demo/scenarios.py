"""Playing a scenario to its end, or to the first step that does not hold."""

import asyncio
import contextlib
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol, TextIO

from admittance.demo.access import Access
from admittance.demo.channel import Channel
from admittance.demo.onboarding import Onboarding
from admittance.demo.processes import ProgramFailed, Programs, tail
from admittance.demo.relay_nodes import NATS_SERVER
from admittance.demo.stage import Stage
from admittance.demo.steps import Story
from admittance.errors import AdmittanceError, ConfigurationError

OR_MAKE: Final = ", or run: make demo-enrolment"


class Scenario(Protocol):
    """What is played: raises at the first step that does not hold. `devices` were set up so far."""

    @property
    def devices(self) -> int: ...

    async def run(self) -> None: ...


def find(name: str) -> Callable[[Stage, Story], Scenario]:
    """Return the scenario of that name. Raises `ConfigurationError` if this machine lacks what it needs."""
    if name == "channel":
        return _channel()
    if name == "access":
        return Access
    return _enrolment() if name == "enrolment" else Onboarding


def _channel() -> Callable[[Stage, Story], Scenario]:
    if shutil.which(NATS_SERVER) is None:
        raise ConfigurationError("NATS is missing. Install the Debian package nats-server, or run: make demo-channel")
    return Channel


def _enrolment() -> Callable[[Stage, Story], Scenario]:
    if shutil.which("swtpm") is None:
        raise ConfigurationError(f"The software TPM is missing. Install the Debian package swtpm{OR_MAKE}")
    try:
        from admittance.demo.enrolment import Enrolment
    except ConfigurationError as error:
        raise ConfigurationError(f"{str(error).removesuffix('.')}{OR_MAKE}") from error
    return Enrolment


async def play(name: str, folder: Path, out: TextIO, errors: TextIO, as_json: bool) -> bool:
    """Play the scenario `name` in `folder`. Returns whether every step held. Raises what `find` raises.

    Steps are told to `out`. What failed is explained to `errors`, with the last lines of the program that failed.
    """
    make = find(name)
    story = Story(out, as_json)
    async with Programs(folder / "logs") as programs:
        scenario = make(Stage(folder, programs), story)
        try:
            await _until_told(scenario.run)
        except ProgramFailed as error:
            errors.write(f"{error}\n{error.log}\n")
        except AdmittanceError as error:
            errors.write(f"{error}\n{_logs(folder / 'logs')}\n")
    story.summary({"scenario": name, "devices": scenario.devices})
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
