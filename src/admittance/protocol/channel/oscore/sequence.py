"""Sender sequence numbers: each is taken once, whatever happens (RFC 8613, sections 7.2 and B.1.1)."""

from typing import Final, Protocol

from admittance.errors import ContextExhausted, Misuse
from admittance.wire.oscore import MAX_SEQUENCE

DEFAULT_BATCH: Final = 256


class SenderSequence(Protocol):
    """Where a context takes the numbers of what it sends."""

    def take(self) -> int:
        """The next number. Raises `ContextExhausted` when there are no more."""
        ...


class MemorySequence:
    """Numbers of a context that does not outlive its process."""

    def __init__(self, first: int = 0) -> None:
        self._next = first

    def take(self) -> int:
        number = self._next
        if number > MAX_SEQUENCE:
            raise ContextExhausted("The sequence numbers of this security context are used up.")
        self._next = number + 1
        return number


class ReservedSequence:
    """Numbers of a context that outlives its process: they are reserved on disk, in batches, before they are used.

    `saved` is the limit that the disk holds: numbers below it may have been used, so this process begins there.
    `to_save` is the next limit to write. When it is on the disk for certain, `confirm` it; only then `take` goes on.
    A new limit is due as soon as half of a batch is used, so that a process can write it ahead of need.
    """

    def __init__(self, saved: int = 0, batch: int = DEFAULT_BATCH) -> None:
        if batch < 1 or saved < 0:
            raise Misuse("a reservation of no numbers, or below zero")
        self._next = saved
        self._limit = saved
        self._batch = batch

    @property
    def to_save(self) -> int | None:
        """The limit to write now; `None` if enough numbers are reserved, or there are no more."""
        if self._limit > MAX_SEQUENCE or self._limit - self._next > self._batch // 2:
            return None
        return min(self._next + self._batch, MAX_SEQUENCE + 1)

    def confirm(self, limit: int) -> None:
        """The disk holds `limit`. Raises `Misuse` for one that takes a reservation back."""
        if not self._limit <= limit <= MAX_SEQUENCE + 1:
            raise Misuse("a reservation grows, up to 2**40")
        self._limit = limit

    def take(self) -> int:
        """The next number. Raises `ContextExhausted` when all 2**40 are used, `Misuse` before one is reserved."""
        if self._next > MAX_SEQUENCE:
            raise ContextExhausted("The sequence numbers of this security context are used up.")
        if self._next >= self._limit:
            raise Misuse("save the next limit before taking a number")
        number = self._next
        self._next = number + 1
        return number
