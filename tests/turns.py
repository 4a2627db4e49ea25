"""Turns of the processes that run tests side by side: a test that holds a program to a time gets the machine alone.

Such a test has the mark ``alone``. It waits until the others' tests have ended, and none begins before it has. The
files with such tests come first: who waits runs no event loop, and what lives in one for several tests would be mute.
"""

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def turn(run_id: str, *, alone: bool) -> Iterator[None]:
    """Hold a place among the tests of a run, or all places."""
    folder = Path(tempfile.gettempdir())
    with (
        (folder / f"admittance-tests-{run_id}.gate").open("w") as gate,
        (folder / f"admittance-tests-{run_id}.places").open("w") as places,
    ):
        # Who waits for all places holds the gate meanwhile, so that no further test takes one.
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(places, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


def run_id_of(config: pytest.Config) -> str | None:
    """What the processes of one run have in common; None where there is one alone."""
    workerinput: dict[str, str] | None = getattr(config, "workerinput", None)
    return None if workerinput is None else workerinput["testrunuid"]


def with_their_turn_first(items: list[pytest.Item]) -> list[pytest.Item]:
    """The tests in the same order, but first the files in which a test has the mark ``alone``."""
    files = {item.path for item in items if item.get_closest_marker("alone")}
    return sorted(items, key=lambda item: item.path not in files)
