"""Which of a guest's grants a token is issued under, or why none: everything that the server can check of a grant."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from admittance.errors import (
    AdmittanceError,
    IntegrityRequired,
    NotAllowed,
    NotFound,
    OutsideWindow,
    UsesSpent,
)
from admittance.protocol.access.windows import Interval
from admittance.server.grants.actions import covers, permissions_of
from admittance.server.grants.model import Allowed, Grant
from admittance.wire.channel import Permission

MAX_TTL_S: Final = 3600

_NO_GRANT = "You were granted nothing on such a device."
_RANKS: Final = (NotFound, NotAllowed, OutsideWindow, UsesSpent, IntegrityRequired)
"""Of refusals by several grants the last of these is told: it is the nearest to being let in."""


@dataclass(frozen=True)
class Chosen:
    """A grant, what is allowed under it at the device, what of that the token is for, and within which interval."""

    grant: Grant
    allowed: Allowed
    permissions: tuple[Permission, ...]
    interval: Interval

    def expires_at(self, now: float, attested_until: int | None) -> int:
        """No token outlives the interval, the app's attestation, or an hour."""
        ends = [self.interval.ends_at, int(now) + MAX_TTL_S]
        return min(ends if attested_until is None else [*ends, attested_until])


def choose(
    living: Sequence[Grant],
    device_id: str,
    actions: Sequence[str],
    *,
    attested_until: int | None,
    now: float,
) -> Chosen:
    """Of living grants that allow all of `actions` now the longest; one that counts uses if no other does.

    Raises:
        NotFound: there is none.
        NotAllowed: none allows these actions; `OutsideWindow`, `UsesSpent` and `IntegrityRequired` say more.
    """
    found: list[Chosen] = []
    refusal: AdmittanceError = NotFound(_NO_GRANT)
    for grant in living:
        try:
            found.append(_check(grant, device_id, actions, attested_until=attested_until, now=now))
        except tuple(_RANKS) as error:
            refusal = max(refusal, error, key=lambda each: _RANKS.index(type(each)))
    if not found:
        raise refusal
    return max(found, key=lambda each: (not each.grant.terms.uses, each.interval.ends_at, each.grant.grant_id))


def _check(grant: Grant, device_id: str, actions: Sequence[str], *, attested_until: int | None, now: float) -> Chosen:
    """Raises one of `_RANKS`."""
    terms = grant.terms
    allowed = next((each for each in grant.allowed if each.device_id == device_id), None)
    if allowed is None:
        raise NotFound(_NO_GRANT)
    asked = permissions_of(actions) if actions else allowed.permissions
    if not covers(allowed.permissions, asked):
        raise NotAllowed("You were not granted all of this on the device.")
    interval = terms.window.current(now)
    if interval is None:
        raise OutsideWindow("This is not within the hours that you were granted.")
    if 0 < terms.uses <= allowed.used:
        raise UsesSpent("What you were granted has been used as often as it allows.")
    if terms.integrity and (attested_until is None or attested_until <= now):
        raise IntegrityRequired("This grant is for apps whose integrity is proven.")
    return Chosen(grant, allowed, asked, interval)
