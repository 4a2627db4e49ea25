"""What is done once for all that happened in one turn of the event loop."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")

MOST = 16
"""So many answers or log lines wait for each other: in a busy turn, the first would wait for hundreds."""


class Turn(Generic[T]):
    """Collects items, and gives them to `over` when the event loop has run what was ready, or `most` are there."""

    def __init__(self, over: Callable[[Sequence[T]], None], most: int | None = None) -> None:
        self._over = over
        self._most = most
        self._items: list[T] = []

    def add(self, item: T) -> None:
        """Raises `RuntimeError` where no event loop runs."""
        self._items.append(item)
        if len(self._items) == 1:
            asyncio.get_running_loop().call_soon(self._end)
        elif len(self._items) == self._most:
            self._end()

    def _end(self) -> None:
        items, self._items = self._items, []
        if items:
            self._over(items)


class Holder(Protocol):
    """Holds what it will send."""

    def flush(self) -> None:
        """Send it."""


def flush_all(holders: Sequence[Holder]) -> None:
    """The end of a turn in which something was held."""
    for holder in holders:
        holder.flush()
