"""A delay that doubles with each failure, up to a ceiling: it slows a guesser and never locks anybody out."""


class Throttle:
    """Delays of `first_s`, twice that, and so on up to `most_s`; a success forgets them all."""

    def __init__(self, first_s: float = 1.0, most_s: float = 30.0) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._next_s = first_s
        self._open_at = float("-inf")

    def wait_s(self, now: float) -> float:
        """How long the next try must wait; 0 if it need not."""
        return max(0.0, self._open_at - now)

    def failed(self, now: float) -> None:
        self._open_at = now + self._next_s
        self._next_s = min(2 * self._next_s, self._most_s)

    def succeeded(self) -> None:
        self._next_s = self._first_s
        self._open_at = float("-inf")
