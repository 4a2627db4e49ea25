"""The replay window of a recipient (RFC 8613, section 7.4): which sequence numbers were seen."""

from admittance.errors import Replayed


class ReplayWindow:
    """Remembers the `size` numbers up to the highest one seen; what lies below is refused without being remembered.

    A window that was lost (RFC 8613, appendix B.1.2) refuses every number until `start` tells where it begins.
    """

    def __init__(self, size: int = 64, *, lost: bool = False) -> None:
        self._size = size
        self._mask = (1 << size) - 1
        self._highest = -1
        self._seen = 0
        self._is_lost = lost

    @property
    def is_lost(self) -> bool:
        return self._is_lost

    def check(self, number: int) -> None:
        """Raises `Replayed` for a number that was seen, or may have been."""
        age = self._highest - number
        if age < 0 and not self._is_lost:
            return
        if self._is_lost or age >= self._size or self._seen >> age & 1:
            raise Replayed("This message was seen before, or is older than the replay window.")

    def mark(self, number: int) -> None:
        """Remember a number that `check` let pass, once its message is known to be genuine."""
        ahead = number - self._highest
        if ahead > 0:
            self._seen = (self._seen << ahead | 1) & self._mask if ahead < self._size else 1
            self._highest = number
        else:
            self._seen |= 1 << -ahead

    def start(self, number: int) -> None:
        """Begin at the number of a request that is known to be fresh: it and all below count as seen."""
        self._highest = number
        self._seen = self._mask
        self._is_lost = False
