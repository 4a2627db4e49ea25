"""Telling a demonstration: one line a step, or one JSON object."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

import msgspec
import segno

from admittance.errors import AdmittanceError

NAME_WIDTH = 62


class NotShown(AdmittanceError):
    """A step ran, but what it was to show did not hold."""

    code = "not_shown"


def require(condition: bool, what: str) -> None:
    """Raise `NotShown` unless `condition` holds; `what` says what was to be seen."""
    if not condition:
        raise NotShown(what)


@dataclass
class Step:
    """A step under way; `facts` are shown with it."""

    name: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Story:
    """Writes steps to `out` as they end. `ok` stays true while every step held."""

    out: TextIO
    as_json: bool
    ok: bool = True
    steps: int = 0
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[Step]:
        """Time one step and tell it; an error in it is told, and raised again."""
        step = Step(name)
        started = time.monotonic()
        try:
            yield step
        except BaseException as error:
            self.ok = False
            detail = str(error) or type(error).__name__
            self._tell(step, title, False, time.monotonic() - started, {**step.facts, "detail": detail})
            raise
        self._tell(step, title, True, time.monotonic() - started, step.facts)

    def show_code(self, text: str) -> None:
        """Show a QR code in the terminal; with JSON nothing."""
        if not self.as_json:
            segno.make_qr(text).terminal(out=self.out, compact=True, border=2)

    def summary(self, facts: dict[str, Any]) -> None:
        """Tell how the whole went."""
        seconds = round(time.monotonic() - self.started, 3)
        if self.as_json:
            self._object({"step": "summary", "ok": self.ok, "seconds": seconds, "steps": self.steps, **facts})
            return
        verdict = "All steps held" if self.ok else "NOT all steps held"
        told = ", ".join(f"{value} {name}" for name, value in facts.items() if not isinstance(value, str))
        self._write(f"\n{verdict}: {self.steps} steps, {told}, {seconds:.1f} s.")

    def _tell(self, step: Step, title: str, ok: bool, seconds: float, facts: dict[str, Any]) -> None:
        self.steps += 1
        if self.as_json:
            self._object({"step": step.name, "ok": ok, "seconds": round(seconds, 3), **facts})
            return
        mark = "✓" if ok else "✗"
        told = "  ".join(f"{name}: {value}" for name, value in facts.items())
        self._write(f"{mark} {title:<{NAME_WIDTH}} {seconds:6.2f} s{f'  {told}' if told else ''}")

    def _object(self, value: dict[str, Any]) -> None:
        self._write(msgspec.json.encode(value).decode())

    def _write(self, line: str) -> None:
        self.out.write(line + "\n")
        self.out.flush()
