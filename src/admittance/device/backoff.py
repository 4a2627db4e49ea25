"""How long to wait before trying again."""

from collections.abc import Callable
from typing import Final

FIRST_S: Final = 1.0
LONGEST_S: Final = 300.0


class Backoff:
    """Delays that double from 1 s to `longest_s`, each shortened by up to a half so that devices spread out.

    `jitter` gives numbers from 0 to 1.
    """

    def __init__(self, jitter: Callable[[], float], longest_s: float = LONGEST_S) -> None:
        self._jitter = jitter
        self._longest_s = longest_s
        self._delay_s = FIRST_S

    def next(self) -> float:
        """The next delay in seconds."""
        delay_s = min(self._delay_s, self._longest_s)
        self._delay_s = delay_s * 2
        return delay_s * (1 - self._jitter() / 2)

    def reset(self) -> None:
        """Start again at 1 s, after a success."""
        self._delay_s = FIRST_S
