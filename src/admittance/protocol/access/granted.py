"""What a device knows of the access that was granted on it: a value, which the device saves before it answers.

`now` is Unix time by the device's clock, which never goes back. A key is good in its window; how often its grant was
used is counted over all keys of the grant, and outlives them.
"""

from typing import Annotated, Final

from msgspec import Meta
from msgspec.structs import replace

from admittance.errors import Conflict, Malformed, NotFound, OutsideWindow, QuotaExceeded, UsesSpent, WrongEpoch
from admittance.wire.access import MAX_COUNTS, MAX_KEYS, AccessPush, AccessState, GrantedKey, GrantUse
from admittance.wire.message import Bytes16, Message, Unsigned

TOLD_S: Final = 86_400
"""How long a key stays after its end, so that its holder can be told that it has ended."""


class Count(Message, frozen=True):
    """How often a grant was used. No key of it that the device was given is good at `until` (Unix time)."""

    grant: Bytes16
    used: Unsigned
    until: Unsigned


class GrantedAccess(Message, frozen=True):
    """The possession keys of one epoch, up to the push numbered `sequence`, and the uses of their grants."""

    epoch: Unsigned = 0
    sequence: Unsigned = 0
    keys: Annotated[tuple[GrantedKey, ...], Meta(max_length=MAX_KEYS)] = ()
    counts: Annotated[tuple[Count, ...], Meta(max_length=MAX_COUNTS)] = ()

    @property
    def state(self) -> AccessState:
        """What the server is told."""
        used = tuple(GrantUse(count.grant, count.used) for count in self.counts)
        return AccessState(self.epoch, self.sequence, used)

    def of_epoch(self, epoch: int) -> "GrantedAccess":
        """This, or nothing at all in another epoch."""
        return self if epoch == self.epoch else GrantedAccess(epoch)

    def find(self, token: bytes) -> GrantedKey:
        """The key that `token` names, within its window or not. Raises `NotFound`."""
        for key in self.keys:
            if key.token == token:
                return key
        raise NotFound("There is no such key: it was never given, was used up, or is over.")

    def used(self, grant: bytes) -> int:
        """How often a grant was used."""
        return next((count.used for count in self.counts if count.grant == grant), 0)

    def is_spent(self, key: GrantedKey) -> bool:
        """Whether the grant of `key` allows no further use."""
        return 0 < key.uses <= self.used(key.grant)

    def take(self, push: AccessPush, *, now: int) -> "GrantedAccess":
        """The state after a push; one that is not newer than this changes nothing.

        Raises `WrongEpoch`, `Conflict` for a push that builds on another sequence than this, `QuotaExceeded` for more
        keys than there is room for, and `Malformed` for a token that comes twice.
        """
        if push.epoch != self.epoch:
            raise WrongEpoch("The push is for another epoch.")
        if len({key.token for key in push.keys}) < len(push.keys):
            raise Malformed("A push has a token twice.")
        if push.sequence <= self.sequence:
            return self
        if push.base not in (0, self.sequence):
            raise Conflict("The push builds on another sequence: send everything.")
        new = {key.token for key in push.keys}
        kept = () if push.base == 0 else tuple(key for key in self.keys if key.token not in new)
        ended = frozenset(push.ended)
        counts = tuple(_counting_on(count, push.keys) for count in self.counts if count.grant not in ended)
        changed = replace(self, sequence=push.sequence, keys=(), counts=counts)
        standing = tuple(
            key
            for key in (*kept, *push.keys)
            if not {key.token, key.grant} & ended and not changed.is_spent(key) and now < key.expires_at + TOLD_S
        )
        return replace(changed, keys=_with_room(standing, now))

    def use(self, key: GrantedKey, *, now: int) -> "GrantedAccess":
        """The state once `key` was used one time more; where that was the last, the grant's keys are gone.

        Raises `UsesSpent`, and `QuotaExceeded` where no further grant can be counted.
        """
        if key.uses == 0:
            return self
        if self.is_spent(key):
            raise UsesSpent("This access was used as often as it allows.")
        until = max(each.expires_at for each in (key, *self.keys) if each.grant == key.grant)
        count = Count(key.grant, self.used(key.grant) + 1, until)
        others = tuple(each for each in self.counts if each.grant != key.grant)
        counted = replace(self, counts=(*_with_place(others, now), count))
        return replace(counted, keys=tuple(each for each in self.keys if not counted.is_spent(each)))

    def after_damage(self) -> "GrantedAccess":
        """What holds when this is not the latest state but the one before, because the latest can't be read.

        The change that is missing may have been a use, or the end of a key. So no key is left, each grant that counts
        its uses has none left, and the server is to send everything.
        """
        counts = {count.grant: count for count in self.counts}
        for key in self.keys:
            if key.uses:
                counts[key.grant] = Count(key.grant, max(key.uses, self.used(key.grant)), key.expires_at)
        lasting = sorted(counts.values(), key=lambda count: count.until)
        return replace(self, sequence=0, keys=(), counts=tuple(lasting[-MAX_COUNTS:]))


def check_window(key: GrantedKey, now: float) -> None:
    """Raises `OutsideWindow` unless `key` is good at `now`."""
    if now < key.not_before:
        raise OutsideWindow("This access does not hold yet.")
    if now >= key.expires_at:
        raise OutsideWindow("This access has ended.")


def _counting_on(count: Count, keys: tuple[GrantedKey, ...]) -> Count:
    """A count that lasts as long as the keys of its grant that came."""
    return replace(count, until=max([count.until, *(key.expires_at for key in keys if key.grant == count.grant)]))


def _with_room(keys: tuple[GrantedKey, ...], now: int) -> tuple[GrantedKey, ...]:
    """Those that fit: where there are too many, those that have ended go."""
    fitting = keys if len(keys) <= MAX_KEYS else tuple(key for key in keys if now < key.expires_at)
    if len(fitting) > MAX_KEYS:
        raise QuotaExceeded(f"A device has at most {MAX_KEYS} possession keys.")
    return fitting


def _with_place(counts: tuple[Count, ...], now: int) -> tuple[Count, ...]:
    """Counts with room for one more: the one whose keys ended first goes."""
    if len(counts) < MAX_COUNTS:
        return counts
    oldest = min(counts, key=lambda count: count.until)
    if now < oldest.until:
        raise QuotaExceeded("The device can count the uses of no further grant.")
    return tuple(count for count in counts if count is not oldest)
