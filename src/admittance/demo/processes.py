"""The programs of a demonstration: real processes that end with it, whatever happens."""

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from admittance.errors import AdmittanceError, ConfigurationError
from admittance.leash import leash

ADMIT = (sys.executable, "-m", "admittance")

START_TIMEOUT_S = 90.0
END_TIMEOUT_S = 5.0
POLL_INTERVAL_S = 0.05
TAIL_LINES = 25


class ProgramFailed(AdmittanceError):
    """A program ended, or answered otherwise than it must. `log` holds the last lines that it printed."""

    code = "program_failed"

    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log
        self.add_note(log)


@dataclass(frozen=True)
class Outcome:
    """How a program that runs to its end did: the objects it printed, one per line, and its exit code."""

    code: int
    objects: tuple[dict[str, Any], ...]

    @property
    def last(self) -> dict[str, Any]:
        return self.objects[-1] if self.objects else {}


class Program:
    """One long-running process, with its log in a file."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    def tail(self) -> str:
        return tail(self.log)

    async def ready(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait until `condition` holds. Raises `ProgramFailed` when the process ends or takes too long."""
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not await condition():
                    if not self.running:
                        raise ProgramFailed(
                            f"{self.name} ended with exit code {self._process.returncode}.", self.tail()
                        )
                    await asyncio.sleep(POLL_INTERVAL_S)
        except TimeoutError:
            raise ProgramFailed(f"{self.name} was not ready after {START_TIMEOUT_S:.0f} s.", self.tail()) from None

    async def end(self) -> None:
        """Ask the process to end, and kill it if it does not."""
        if self.running:
            self._process.terminate()
            try:
                async with asyncio.timeout(END_TIMEOUT_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    async def kill(self) -> None:
        """End the process as a power cut would."""
        if self.running:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()


class Programs:
    """Starts programs, and ends all of them when it is left, in the reverse order."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._programs: list[Program] = []
        self._leash = leash()

    async def __aenter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for program in reversed(self._programs):
            await program.end()

    async def start(self, name: str, command: Sequence[str | Path]) -> Program:
        """Start `command` in the background."""
        log = self._logs / f"{name}.log"
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *self._leash,
                *map(str, command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(),
                start_new_session=True,
            )
        program = Program(name, process, log)
        self._programs.append(program)
        return program

    async def run(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        expect: int | None = 0,
        stdin: bytes = b"",
        timeout_s: float = 120.0,
        on_object: Callable[[dict[str, Any]], None] | None = None,
    ) -> Outcome:
        """Run `command` to its end and return what it printed, one JSON object a line.

        Raises `ProgramFailed` when the exit code is not `expect` (None: any), or the time is over.
        """
        log = self._logs / f"{name}.log"
        objects: list[dict[str, Any]] = []
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *self._leash,
                *map(str, command),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                env=_environment(),
                start_new_session=True,
            )
            try:
                async with asyncio.timeout(timeout_s):
                    await self._read(process, stdin, output.fileno(), objects, on_object)
                    code = await process.wait()
            except TimeoutError:
                raise ProgramFailed(f"{name} did not end within {timeout_s:.0f} s.", tail(log)) from None
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if expect is not None and code != expect:
            raise ProgramFailed(f"{name} ended with exit code {code}, expected {expect}.", tail(log))
        return Outcome(code, tuple(objects))

    async def _read(
        self,
        process: asyncio.subprocess.Process,
        stdin: bytes,
        log: int,
        objects: list[dict[str, Any]],
        on_object: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        if process.stdin is None or process.stdout is None:
            raise ConfigurationError("This system gives child processes no pipes.")
        process.stdin.write(stdin)
        process.stdin.close()
        async for line in process.stdout:
            os.write(log, line)
            try:
                value = msgspec.json.decode(line)
            except msgspec.DecodeError:
                continue
            if isinstance(value, dict):
                objects.append(value)
                if on_object is not None:
                    on_object(value)


def tail(log: Path) -> str:
    """Return the last lines of a log."""
    if not log.exists():
        return ""
    with log.open(encoding="utf-8", errors="replace") as file:
        return "".join(deque(file, maxlen=TAIL_LINES)).rstrip()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
