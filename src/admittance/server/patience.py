"""How long a connection is waited for: one timer, however often what it is waited for changes."""

import asyncio
import math
from collections.abc import Callable


class Patience:
    """Calls `over` when what was waited for has not come in time.

    A timer that is due too early looks again, so that most waits, which end soon, need none of their own.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, over: Callable[[], None]) -> None:
        self._loop = loop
        self._over = over
        self._until = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, seconds: float) -> None:
        """Wait that long from now, and no longer for what was waited for before."""
        self._until = self._loop.time() + seconds
        if self._timer is None or self._until < self._timer.when():
            self._look_at(self._until)

    def end(self) -> None:
        """What was waited for has come."""
        self._until = math.inf

    def cancel(self) -> None:
        """Nothing will be waited for any more."""
        self.end()
        self._stop_timer()

    def _look_at(self, due: float) -> None:
        self._stop_timer()
        self._timer = self._loop.call_at(due, self._look)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._until <= self._loop.time():
            self.end()
            self._over()
        elif self._until < math.inf:
            self._look_at(self._until)
