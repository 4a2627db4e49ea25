"""Looking after many connections with one timer: a few of them at each tick, each at even intervals."""

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Wheel(Generic[T]):
    """Gives each item once in as many turns as it has `spokes`."""

    def __init__(self, spokes: int) -> None:
        self._spokes: list[set[T]] = [set() for _ in range(spokes)]
        self._next = 0

    def add(self, item: T) -> None:
        self._spoke(item).add(item)

    def discard(self, item: T) -> None:
        self._spoke(item).discard(item)

    def turn(self) -> tuple[T, ...]:
        """The next few items."""
        self._next = (self._next + 1) % len(self._spokes)
        return tuple(self._spokes[self._next])

    def __iter__(self) -> Iterator[T]:
        return (item for spoke in self._spokes for item in spoke)

    def __len__(self) -> int:
        return sum(map(len, self._spokes))

    def _spoke(self, item: T) -> set[T]:
        return self._spokes[hash(item) % len(self._spokes)]


class Deadlines(Generic[T]):
    """Items that have `after_s` seconds each."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._due: dict[T, float] = {}

    def add(self, item: T, now: float) -> None:
        """Begin, or begin again."""
        self._due.pop(item, None)
        self._due[item] = now + self._after_s

    def discard(self, item: T) -> None:
        self._due.pop(item, None)

    def due(self, now: float) -> list[T]:
        """Take out those whose time is over."""
        over = []
        for item, at in self._due.items():
            if at > now:
                break
            over.append(item)
        for item in over:
            del self._due[item]
        return over

    def __contains__(self, item: T) -> bool:
        return item in self._due

    def __len__(self) -> int:
        return len(self._due)
