"""Values of grants: who may do what on which device, when, and how often."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from admittance.errors import Malformed
from admittance.protocol.access.windows import Interval, WeeklyHours, Window
from admittance.wire import base64url
from admittance.wire.channel import Permission

GRANT_BYTES: Final = 16
MAX_NAME_CHARACTERS: Final = 64
MAX_USES: Final = 1_000_000
MAX_WINDOW_S: Final = 10 * 366 * 86_400
MAX_DEVICES: Final = 16
"""Of one grant."""

MAX_OF_OWNER: Final = 500
MAX_OF_DEVICE: Final = 64
MAX_NEW_A_DAY: Final = 100
MAX_OPEN_INVITATIONS: Final = 20
"""Grants that have not ended: of one owner, and on one device; and what an owner may make of them."""


@dataclass(frozen=True)
class Hours:
    """Hours of the week as people wrote them: ISO weekdays, minutes after midnight, an IANA zone."""

    weekdays: tuple[int, ...]
    from_minute: int
    to_minute: int
    zone: str


@dataclass(frozen=True)
class Terms:
    """What a grant says, but for whom and on which devices. Times are Unix seconds, `uses` 0 is not counted.

    Raises `Malformed` for terms that make no sense.
    """

    name: str
    begins_at: int
    ends_at: int
    hours: Hours | None
    uses: int
    integrity: bool

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= MAX_NAME_CHARACTERS or not self.name.isprintable():
            raise Malformed(f"A grant's name has 1 to {MAX_NAME_CHARACTERS} printable characters.")
        if not 0 <= self.uses <= MAX_USES:
            raise Malformed(f"Uses are counted from 1 to {MAX_USES}; 0 does not count them.")
        if self.ends_at - self.begins_at > MAX_WINDOW_S or self.begins_at < 0:
            raise Malformed("A grant lasts ten years at most.")
        _ = self.window

    @property
    def window(self) -> Window:
        """Raises `Malformed`."""
        hours = self.hours
        if hours is None:
            return Window(self.begins_at, self.ends_at)
        weekly = WeeklyHours(frozenset(hours.weekdays), hours.from_minute, hours.to_minute, zone_of(hours.zone))
        return Window(self.begins_at, self.ends_at, weekly)


@dataclass(frozen=True)
class Allowed:
    """What a grant allows on one device. `used` is how often it was used there, as far as the server knows;
    `uncounted` of these uses the device does not count any more. At `ended_at` the device's owner changed, or its
    access ended."""

    device_id: str
    permissions: tuple[Permission, ...]
    used: int = 0
    uncounted: int = 0
    ended_at: int | None = None


@dataclass(frozen=True)
class Grant:
    """One grant. `guest_id` is None until an account has it: while an invitation is open, and for an address without
    account. `email` is the address that the owner gave, empty for an invitation."""

    grant_id: bytes
    owner_id: str
    guest_id: str | None
    email: str
    terms: Terms
    allowed: tuple[Allowed, ...]
    created_at: int
    ended_at: int | None

    @property
    def shown_id(self) -> str:
        return base64url.encode(self.grant_id)

    def lives(self, now: float) -> bool:
        """Whether it has neither been ended nor run out; it may be between its hours."""
        return self.ended_at is None and now < self.terms.ends_at

    def interval(self, now: float) -> Interval | None:
        """The interval of its window that `now` is in; None outside, and for a grant that has ended."""
        return self.terms.window.current(now) if self.lives(now) else None


def parse_grant_id(shown: str) -> bytes:
    """Raises `Malformed`."""
    return base64url.decode(shown, length=GRANT_BYTES)


def zone_of(name: str) -> ZoneInfo:
    """The IANA time zone of that name. Raises `Malformed`."""
    if name not in _zones():
        raise Malformed("There is no such time zone; name one of the IANA database, such as Europe/Berlin.")
    return ZoneInfo(name)


@lru_cache(1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones() - {"localtime"})
