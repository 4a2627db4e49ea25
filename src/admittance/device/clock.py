"""Time on a device whose wall clock may say 1970.

The wall clock is never read. A server that proved itself tells the time; from there the monotonic clock counts on.
Before the first such time after power-up only a floor is known: a time that has certainly passed.
"""

from collections.abc import Callable


class TrustedClock:
    """Unix time from the server, never behind the floor, nor behind what it told before: a server whose own clock was
    turned back makes it stand still. `floor` and all results are Unix seconds."""

    def __init__(self, monotonic: Callable[[], float], floor: int) -> None:
        self._monotonic = monotonic
        self._offset = floor - monotonic()
        self._floor = floor
        self._told = float(floor)
        self._trusted = False

    @property
    def trusted(self) -> bool:
        """Whether a server told the time since power-up; before that `now` is but a lower bound."""
        return self._trusted

    def now(self) -> float:
        self._told = max(self._told, self._monotonic() + self._offset)
        return self._told

    def monotonic(self) -> float:
        return self._monotonic()

    def set_server_time(self, server_time: int) -> None:
        """Take the time of a server that proved itself; a time before the floor raises nothing and is not taken."""
        if server_time < self._floor:
            return
        self._offset = server_time - self._monotonic()
        self._floor = server_time
        self._trusted = True

    def has_passed(self, time: int) -> None:
        """A signed message was made at `time`: it is not before that, whatever else is known."""
        self._floor = max(self._floor, time)
        self._offset = max(self._offset, time - self._monotonic())

    def floor(self) -> int:
        """The time to persist: the clock of the next power-up starts here."""
        return int(self.now()) if self._trusted else self._floor
