"""A process of load that carries out commands: one JSON object a line, each answered with one."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

Answer = dict[str, Any]


class Worker:
    """The process, to who started it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, command: str, **arguments: object) -> Answer:
        """Have a command carried out and wait for it. Raises `RuntimeError` if the process ended."""
        self.begin(command, **arguments)
        return self.end()

    def begin(self, command: str, **arguments: object) -> None:
        """Have a command carried out; `end` waits for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
        self._process.stdin.flush()

    def end(self) -> Answer:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process of load ended early")
        answer: Answer = json.loads(line)
        return answer


@contextmanager
def working(module: str, description: bytes) -> Iterator[Worker]:
    """``python -m module`` with a first line that describes its work, until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        process.stdin.write(description.decode() + "\n")
        try:
            yield Worker(process)
        finally:
            process.kill()


def work(make: Callable[[str], Callable[[Answer], Awaitable[Answer]]]) -> None:
    """Be that process: `make` gets the description and gives what carries out a command."""

    async def serve() -> None:
        carry_out = make(sys.stdin.readline())
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await carry_out(json.loads(line))), flush=True)

    uvloop.run(serve())
