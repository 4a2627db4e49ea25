"""How far a guest's access reaches, by all grants together that the guest has on a device."""

from collections.abc import Sequence
from typing import Final

from admittance.server.grants.model import Grant

LATEST: Final = 2**53
"""Attested until then: for ever."""

MAX_STEPS: Final = 64
"""Intervals that one reach may be made of; beyond them a guest connects anew."""


def reach(grants: Sequence[Grant], now: float, attested_until: int | None) -> int:
    """Until when (Unix time) there is always a grant in whose window it is; `now` or before it: there is none now.

    A grant that needs an attested app reaches no further than `attested_until`.
    """
    until = int(now)
    for _ in range(MAX_STEPS):
        ends = [_end(grant, until, attested_until) for grant in grants]
        furthest = max(ends, default=until)
        if furthest <= until:
            break
        until = furthest
    return until


def _end(grant: Grant, at: int, attested_until: int | None) -> int:
    interval = grant.interval(at)
    if interval is None:
        return at
    return min(interval.ends_at, attested_until or 0) if grant.terms.integrity else interval.ends_at
