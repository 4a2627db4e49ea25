"""What one connection may send: two token buckets, one of frames and one of bytes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Allowance:
    """A second's worth may come at once."""

    frames_per_s: float
    bytes_per_s: float


class Meter:
    """The time matters only when a bucket is empty, so who keeps within the allowance costs no look at the clock.

    After a silence of a second or longer a connection may therefore spend a second's worth twice at once. `frames`
    and `bytes` are what is left: who handles every frame takes it out there, since `spend` costs more than the sum.
    """

    __slots__ = ("_allowance", "_at", "bytes", "frames")

    def __init__(self, allowance: Allowance, now: float) -> None:
        self._allowance = allowance
        self.frames = allowance.frames_per_s
        self.bytes = allowance.bytes_per_s
        self._at = now

    def spend(self, frames: int, size: int) -> bool:
        """Take `frames` and `size` bytes out, which may go below zero; false where something is owed now."""
        self.frames -= frames
        self.bytes -= size
        return self.frames >= 0 and self.bytes >= 0

    def owed_s(self, now: float) -> float:
        """Fill up to `now` (seconds, monotonic); the seconds until nothing is owed, 0 if nothing is."""
        passed, self._at = max(0.0, now - self._at), now
        allowance = self._allowance
        self.frames = min(allowance.frames_per_s, self.frames + passed * allowance.frames_per_s)
        self.bytes = min(allowance.bytes_per_s, self.bytes + passed * allowance.bytes_per_s)
        return max(0.0, -self.frames / allowance.frames_per_s, -self.bytes / allowance.bytes_per_s)
