"""When a grant holds: a span of time, and within it hours of the week on the clock of a place.

The hours are what a clock on the wall there shows. An hour that the place's clocks skip in spring is in no window;
one that they show twice in autumn is in a window both times. Devices know no time zones: they and the tokens get the
intervals, in UTC.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

from admittance.errors import Malformed

DAY_MINUTES: Final = 24 * 60
WEEKDAYS: Final = frozenset(range(1, 8))
"""ISO 8601: Monday is 1."""

_DAY: Final = timedelta(days=1)
_DAY_S: Final = 86_400
_PROBE_S: Final = 3600
"""No time zone changes its offset twice within this."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Unix seconds: `begins_at` belongs to it, `ends_at` does not."""

    begins_at: int
    ends_at: int


@dataclass(frozen=True, slots=True)
class WeeklyHours:
    """From `from_minute` to `to_minute` after midnight on each of `days` (ISO weekdays, 1 is Monday), in `zone`.

    Hours that end at or before the minute that they begin at end on the next day. Raises `Malformed`.
    """

    days: frozenset[int]
    from_minute: int
    to_minute: int
    zone: tzinfo

    def __post_init__(self) -> None:
        if not self.days or not self.days <= WEEKDAYS:
            raise Malformed("Weekdays are numbers from 1, Monday, to 7, and there is at least one.")
        if not 0 <= self.from_minute < DAY_MINUTES or not 0 < self.to_minute <= DAY_MINUTES:
            raise Malformed("Hours begin from 00:00 to 23:59 and end from 00:01 to 24:00.")

    def spans(self, first: date, last: date) -> Iterator[tuple[datetime, datetime]]:
        """Each day's hours, from `first` to `last`, as the clock on the wall shows them."""
        length = timedelta(minutes=(self.to_minute - self.from_minute - 1) % DAY_MINUTES + 1)
        day = first
        while day <= last:
            if day.isoweekday() in self.days:
                begin = datetime.combine(day, time(self.from_minute // 60, self.from_minute % 60))
                yield begin, begin + length
            day += _DAY


@dataclass(frozen=True, slots=True)
class Window:
    """From `begins_at` until before `ends_at` (Unix seconds), and within that at `hours`; always if None.

    Raises `Malformed` for a window that ends before it begins.
    """

    begins_at: int
    ends_at: int
    hours: WeeklyHours | None = None

    def __post_init__(self) -> None:
        if self.begins_at >= self.ends_at:
            raise Malformed("A window ends after it begins.")

    def holds(self, now: float) -> bool:
        """Whether a request at `now` (Unix seconds) is within the window."""
        return self.current(now) is not None

    def current(self, now: float) -> Interval | None:
        """The interval that `now` is in; no token may outlive it."""
        second = int(now)
        return next(iter(self.intervals(second, second + 1)), None)

    def intervals(self, after: int, before: int) -> list[Interval]:
        """The window's intervals that have a second from `after` until before `before` (Unix seconds), in order.

        None is longer than 25 hours where there are hours; one may begin where another ends.
        """
        after, before = max(after, self.begins_at), min(before, self.ends_at)
        if after >= before:
            return []
        if self.hours is None:
            return [Interval(self.begins_at, self.ends_at)]
        zone = self.hours.zone
        first = datetime.fromtimestamp(after, zone).date() - 2 * _DAY
        last = datetime.fromtimestamp(before, zone).date() + 2 * _DAY
        found = (
            Interval(max(piece.begins_at, self.begins_at), min(piece.ends_at, self.ends_at))
            for begin, end in self.hours.spans(first, last)
            for piece in _on_clock(begin, end, zone)
        )
        return sorted(
            (piece for piece in found if piece.begins_at < before and piece.ends_at > after),
            key=lambda piece: piece.begins_at,
        )


def _on_clock(begin: datetime, end: datetime, zone: tzinfo) -> list[Interval]:
    """When the clocks of `zone` show a time from `begin` until before `end`."""
    shown_from, shown_to = (int(shown.replace(tzinfo=UTC).timestamp()) for shown in (begin, end))
    found: list[Interval] = []
    for stretch, offset_s in _stretches(shown_from - _DAY_S, shown_to + _DAY_S, zone):
        begins_at = max(shown_from - offset_s, stretch.begins_at)
        ends_at = min(shown_to - offset_s, stretch.ends_at)
        if begins_at >= ends_at:
            continue
        if found and found[-1].ends_at == begins_at:
            begins_at = found.pop().begins_at
        found.append(Interval(begins_at, ends_at))
    return found


def _stretches(first: int, last: int, zone: tzinfo) -> Iterator[tuple[Interval, int]]:
    """The stretches of constant offset from `first` until `last`, each with its offset in seconds."""
    begins_at, offset_s = first, _offset_s(first, zone)
    probe = first
    while probe < last:
        ahead = min(probe + _PROBE_S, last)
        if (changed := _offset_s(ahead, zone)) != offset_s:
            changes_at = _change(probe, ahead, zone)
            yield Interval(begins_at, changes_at), offset_s
            begins_at, offset_s = changes_at, changed
        probe = ahead
    yield Interval(begins_at, last), offset_s


def _change(before: int, after: int, zone: tzinfo) -> int:
    """The first second with the offset of `after`, which differs from that of `before`."""
    new = _offset_s(after, zone)
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (before, middle) if _offset_s(middle, zone) == new else (middle, after)
    return after


def _offset_s(at: int, zone: tzinfo) -> int:
    offset = datetime.fromtimestamp(at, zone).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0
