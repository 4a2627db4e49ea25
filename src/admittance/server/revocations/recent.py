"""What ended lately, for whoever was being let in just then."""

from collections import OrderedDict
from typing import NamedTuple

REMEMBERED = 10_000


class _Ending(NamedTuple):
    number: int
    place: int


class RecentEndings:
    """The last endings that a node heard of, at most `REMEMBERED`."""

    def __init__(self) -> None:
        self._heard = 0
        self._endings: OrderedDict[tuple[str, str], _Ending] = OrderedDict()

    def add(self, kind: str, key: str, number: int) -> None:
        """See `admittance.server.relay.ports.EndingsListener.ended`."""
        self._heard += 1
        self._endings[kind, key] = _Ending(number, self._heard)
        self._endings.move_to_end((kind, key))
        if len(self._endings) > REMEMBERED:
            self._endings.popitem(last=False)

    def mark(self) -> int:
        """Take this before looking whether somebody may come in, and ask `since` once they are in."""
        return self._heard

    def since(self, mark: int, kind: str, key: str) -> bool:
        """Whether that access ended after `mark` was taken; true also where too much ended to remember."""
        ending = self._endings.get((kind, key))
        return self._heard - mark > REMEMBERED or (ending is not None and ending.place > mark)

    def after(self, number: int, kind: str, key: str) -> bool:
        """Whether that access ended later than in the ending of that number."""
        ending = self._endings.get((kind, key))
        return ending is not None and ending.number > number
