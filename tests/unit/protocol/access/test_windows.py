"""Grant windows: time zones, daylight saving, midnight. The model is a look at the clock on the wall."""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.protocol.access.windows import WEEKDAYS, Interval, WeeklyHours, Window

# Half an hour of daylight saving, offsets of quarters of an hour, changes at midnight, a skipped day, none at all.
ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Havana",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Asia/Tehran",
    "UTC",
]
YEAR = 365 * 86_400
LONG_AGO, FAR_AHEAD = 1_200_000_000, 2_000_000_000
BERLIN = ZoneInfo("Europe/Berlin")

hours = st.builds(
    WeeklyHours,
    days=st.sets(st.sampled_from(sorted(WEEKDAYS)), min_size=1).map(frozenset),
    from_minute=st.integers(0, 1439),
    to_minute=st.integers(1, 1440),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
)
moments = st.integers(LONG_AGO, FAR_AHEAD)


def on_the_wall(at: int, weekly: WeeklyHours) -> bool:
    """What a person sees who looks at clock and calendar there."""
    shown = datetime.fromtimestamp(at, weekly.zone)
    minute = shown.hour * 60 + shown.minute
    yesterday = (shown.date() - timedelta(days=1)).isoweekday()
    if weekly.from_minute < weekly.to_minute:
        return shown.isoweekday() in weekly.days and weekly.from_minute <= minute < weekly.to_minute
    tonight = shown.isoweekday() in weekly.days and minute >= weekly.from_minute
    return tonight or (yesterday in weekly.days and minute < weekly.to_minute)


def around_changes(zone: ZoneInfo, year: int) -> list[int]:
    """Moments on either side of each change of offset in a year."""
    start = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
    offsets = [(at, datetime.fromtimestamp(at, zone).utcoffset()) for at in range(start, start + YEAR, 1800)]
    return [at for (before, old), (at, new) in itertools.pairwise(offsets) if old != new and before]


@given(hours, moments)
def test_a_window_holds_when_the_clock_on_the_wall_says_so(weekly: WeeklyHours, now: int) -> None:
    window = Window(LONG_AGO - YEAR, FAR_AHEAD + YEAR, weekly)
    assert window.holds(now) is on_the_wall(now, weekly)


@settings(deadline=None)
@given(hours, st.integers(2010, 2030), st.integers(-90, 90), st.data())
def test_it_does_so_around_every_change_of_the_clocks(
    weekly: WeeklyHours, year: int, minutes: int, data: st.DataObject
) -> None:
    zone = weekly.zone
    assert isinstance(zone, ZoneInfo)
    changes = around_changes(zone, year)
    if not changes:
        return
    now = data.draw(st.sampled_from(changes)) + 60 * minutes
    assert Window(0, 2**33, weekly).holds(now) is on_the_wall(now, weekly)


@given(hours, moments, st.integers(1, 10 * 86_400))
def test_intervals_are_in_order_apart_and_whole(weekly: WeeklyHours, after: int, length: int) -> None:
    window = Window(LONG_AGO - YEAR, FAR_AHEAD + YEAR, weekly)
    found = window.intervals(after, after + length)
    for interval in found:
        assert window.holds(interval.begins_at)
        assert window.holds(interval.ends_at - 1)
        assert interval.begins_at < after + length
        assert interval.ends_at > after
        assert window.current(interval.begins_at) == interval
    for one, next_one in itertools.pairwise(found):
        assert one.ends_at <= next_one.begins_at
        if one.ends_at < next_one.begins_at:
            assert not window.holds(one.ends_at)


@given(moments, st.integers(1, YEAR), st.integers(-YEAR, 2 * YEAR))
@example(LONG_AGO, 10, 0)
@example(LONG_AGO, 10, 10)
@example(LONG_AGO, 10, -1)
def test_without_hours_it_holds_from_its_beginning_until_before_its_end(start: int, length: int, at: int) -> None:
    window = Window(start, start + length)
    assert window.holds(start + at) is (0 <= at < length)


@given(hours, moments, st.integers(1, 86_400), moments)
def test_hours_never_reach_beyond_the_span(weekly: WeeklyHours, start: int, length: int, now: int) -> None:
    window = Window(start, start + length, weekly)
    for interval in window.intervals(start - YEAR, start - YEAR + 10):
        raise AssertionError(interval)
    for interval in window.intervals(start, start + length):
        assert start <= interval.begins_at < interval.ends_at <= start + length


def berlin(days: set[int], begin: str, end: str) -> WeeklyHours:
    minutes = [int(text[:2]) * 60 + int(text[3:]) for text in (begin, end)]
    return WeeklyHours(frozenset(days), *minutes, BERLIN)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def test_an_hour_that_spring_skips_is_in_no_window() -> None:
    window = Window(0, 2**33, berlin({7}, "02:00", "03:00"))
    assert window.intervals(at("2026-03-29T00:00:00Z"), at("2026-03-30T00:00:00Z")) == []


def test_hours_over_the_skipped_hour_are_one_hour_shorter() -> None:
    window = Window(0, 2**33, berlin({7}, "01:00", "04:00"))
    assert window.current(at("2026-03-29T00:30:00Z")) == Interval(
        at("2026-03-29T01:00:00+01:00"), at("2026-03-29T04:00:00+02:00")
    )


def test_an_hour_that_autumn_shows_twice_is_in_the_window_twice() -> None:
    window = Window(0, 2**33, berlin({7}, "02:10", "02:20"))
    assert window.intervals(at("2026-10-25T00:00:00Z"), at("2026-10-25T04:00:00Z")) == [
        Interval(at("2026-10-25T02:10:00+02:00"), at("2026-10-25T02:20:00+02:00")),
        Interval(at("2026-10-25T02:10:00+01:00"), at("2026-10-25T02:20:00+01:00")),
    ]


def test_hours_over_midnight_belong_to_the_day_that_they_begin_on() -> None:
    window = Window(0, 2**33, berlin({5}, "22:00", "02:00"))
    assert window.holds(at("2026-11-20T23:00:00+01:00"))  # a Friday
    assert window.holds(at("2026-11-21T01:59:59+01:00"))
    assert not window.holds(at("2026-11-21T02:00:00+01:00"))
    assert not window.holds(at("2026-11-20T01:00:00+01:00"))


def test_a_whole_day_is_from_midnight_to_midnight() -> None:
    window = Window(0, 2**33, berlin({6}, "00:00", "24:00"))
    assert window.current(at("2026-11-21T12:00:00+01:00")) == Interval(
        at("2026-11-21T00:00:00+01:00"), at("2026-11-22T00:00:00+01:00")
    )


@pytest.mark.parametrize(
    ("days", "begin", "end"),
    [(set(), 0, 60), ({0}, 0, 60), ({8}, 0, 60), ({1}, -1, 60), ({1}, 1440, 60), ({1}, 0, 0), ({1}, 0, 1441)],
)
def test_hours_that_are_none_are_refused(days: set[int], begin: int, end: int) -> None:
    with pytest.raises(Malformed):
        WeeklyHours(frozenset(days), begin, end, BERLIN)


@pytest.mark.parametrize("length", [0, -1])
def test_a_window_that_ends_before_it_begins_is_refused(length: int) -> None:
    with pytest.raises(Malformed):
        Window(1000, 1000 + length)
