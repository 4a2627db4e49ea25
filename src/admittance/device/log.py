"""What the agent tells of its doings: one line an event, never with a secret."""

import json
from collections.abc import Callable
from typing import Protocol, TextIO


class Log(Protocol):
    def __call__(self, event: str, **fields: str | int | float | bool | None) -> None:
        """Tell of one event."""


class LineLog:
    """Writes each event as one line: JSON, or text for people. `uptime_s` counts from the start of the agent."""

    def __init__(self, output: TextIO, monotonic: Callable[[], float], *, as_json: bool) -> None:
        self._output = output
        self._monotonic = monotonic
        self._started = monotonic()
        self._as_json = as_json

    def __call__(self, event: str, **fields: str | int | float | bool | None) -> None:
        uptime_s = round(self._monotonic() - self._started, 3)
        if self._as_json:
            line = json.dumps({"event": event, "uptime_s": uptime_s, **fields})
        else:
            details = " ".join(f"{name}={value}" for name, value in fields.items())
            line = f"{uptime_s:10.3f} {event} {details}".rstrip()
        self._output.write(line + "\n")
        self._output.flush()
