"""What would fill the audit log if each time were a row: it is noted now and then."""

from collections import OrderedDict
from collections.abc import Hashable

EVERY_S = 600
MAX_KNOWN = 4096


class Seldom:
    """Says of anything at most once in `EVERY_S` seconds that it is due to be noted, on one node."""

    def __init__(self) -> None:
        self._noted: OrderedDict[Hashable, float] = OrderedDict()

    def is_due(self, what: Hashable, now: float) -> bool:
        """Whether to note it; then it is not due again for a while."""
        if now - self._noted.get(what, 0.0) < EVERY_S:
            return False
        self._noted[what] = now
        self._noted.move_to_end(what)
        if len(self._noted) > MAX_KNOWN:
            self._noted.popitem(last=False)
        return True
