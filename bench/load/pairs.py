"""Pairs of ends that send each other payloads through a server: as fast as they can, or in step with a clock."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.load.ends import End

SETTLE_S = 10.0


@dataclass(frozen=True)
class Pair:
    """`near` begins; `far` answers each payload with one of its own."""

    near: End
    far: End


class Load:
    """Load on the server by all of the pairs together. Each payload that arrives is one relayed frame."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._pairs = pairs
        self._is_saturating = False
        self._sent = 0
        self._relayed = 0
        for pair in pairs:
            pair.far.took = self._answers(pair.far)
            pair.near.took = self._repeats(pair.near)

    async def saturate(self, window: int, duration_s: float, *, together: bool) -> int:
        """Keep `window` payloads of each pair on their way. Gives how many frames were relayed.

        `together`: what an end answers at once goes in one write.
        """
        began = self._relayed
        for pair in self._pairs:
            pair.near.sends_together = pair.far.sends_together = together
        self._is_saturating = True
        for pair in self._pairs:
            self._send(pair.near, window)
        await asyncio.sleep(duration_s)
        self._is_saturating = False
        await self._settle()
        return self._relayed - began

    async def pace(self, per_second: float, duration_s: float) -> int:
        """One pair after the other sends a payload, `per_second` in all. Gives how many frames were relayed."""
        began, start, sent = self._relayed, time.monotonic(), 0
        while (passed := time.monotonic() - start) < duration_s:
            while sent < passed * per_second:
                self._send(self._pairs[sent % len(self._pairs)].near, 1)
                sent += 1
            await asyncio.sleep(max(0.0, start + (sent + 1) / per_second - time.monotonic()))
        await self._settle()
        return self._relayed - began

    def _send(self, end: End, count: int) -> None:
        self._sent += count
        end.send(count)

    def _answers(self, end: End) -> Callable[[int], None]:
        def took(count: int) -> None:
            self._relayed += count
            self._send(end, count)

        return took

    def _repeats(self, end: End) -> Callable[[int], None]:
        def took(count: int) -> None:
            self._relayed += count
            if self._is_saturating:
                self._send(end, count)

        return took

    async def _settle(self) -> None:
        """Wait until everything that was sent has arrived. Raises `RuntimeError` if it doesn't."""
        until = time.monotonic() + SETTLE_S
        while self._relayed < self._sent:
            if time.monotonic() > until:
                failures = [end.failure for pair in self._pairs for end in (pair.near, pair.far) if end.failure]
                raise RuntimeError(f"{self._sent - self._relayed} of {self._sent} payloads were lost {failures[:3]}")
            await asyncio.sleep(0.01)
