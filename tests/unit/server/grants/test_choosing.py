"""Which grant a token is issued under, and for how long: for any window, zone and change of clocks."""

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from admittance.errors import IntegrityRequired, NotAllowed, NotFound, OutsideWindow, UsesSpent
from admittance.server.grants.actions import actions_of, covers, permissions_of
from admittance.server.grants.choosing import MAX_TTL_S, choose
from admittance.server.grants.model import Allowed, Grant, Hours, Terms
from admittance.server.grants.reach import reach

DEVICE = "AD" + "A" * 20
DAY_S = 86_400
ZONES = ("Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "UTC")
CHANGES = tuple(
    int(datetime(*moment, tzinfo=UTC).timestamp())
    for moment in ((2027, 3, 28, 1), (2027, 10, 31, 1), (2027, 4, 3, 15), (2027, 10, 2, 15, 30), (2027, 3, 14, 5, 30))
)
"""When clocks change in these zones."""

moments = st.builds(
    lambda change, offset: change + offset, st.sampled_from(CHANGES), st.integers(-2 * DAY_S, 2 * DAY_S)
)
hours = st.none() | st.builds(
    Hours,
    weekdays=st.sets(st.integers(1, 7), min_size=1).map(lambda days: tuple(sorted(days))),
    from_minute=st.integers(0, 1439),
    to_minute=st.integers(1, 1440),
    zone=st.sampled_from(ZONES),
)


@st.composite
def grants(draw: st.DrawFn) -> Grant:
    begins_at = draw(moments)
    terms = Terms("x", begins_at, begins_at + draw(st.integers(1, 5 * DAY_S)), draw(hours), 0, draw(st.booleans()))
    return grant(terms, number=draw(st.integers(0, 255)))


def grant(terms: Terms, *actions: str, number: int = 1, used: int = 0) -> Grant:
    allowed = (Allowed(DEVICE, permissions_of(actions or ("PUT /lock", "GET /lock")), used),)
    return Grant(bytes([number] * 16), "owner", "guest", "", terms, allowed, 0, None)


def on_the_wall(terms: Terms, at: int) -> bool:
    """Whether a clock there shows an hour of the window: told by the clock, and not by intervals."""
    asked = terms.hours
    if not terms.begins_at <= at < terms.ends_at:
        return False
    if asked is None:
        return True
    there = datetime.fromtimestamp(at, ZoneInfo(asked.zone))
    minute, day = there.hour * 60 + there.minute, there.isoweekday()
    if asked.from_minute < asked.to_minute:
        return day in asked.weekdays and asked.from_minute <= minute < asked.to_minute
    before = (day - 2) % 7 + 1
    return (day in asked.weekdays and minute >= asked.from_minute) or (
        before in asked.weekdays and minute < asked.to_minute
    )


@given(given_=st.lists(grants(), min_size=1, max_size=4), now=moments, attested=st.none() | st.integers(1, 2 * DAY_S))
def test_no_token_outlives_the_hours_of_its_grant(given_: list[Grant], now: int, attested: int | None) -> None:
    attested_until = None if attested is None else now + attested
    living = [each for each in given_ if each.lives(now)]
    try:
        chosen = choose(living, DEVICE, (), attested_until=attested_until, now=now)
    except (NotFound, OutsideWindow, IntegrityRequired):
        open_now = [each for each in living if on_the_wall(each.terms, now)]
        assert all(each.terms.integrity for each in open_now)
        assert not open_now or attested_until is None
        return
    expires_at = chosen.expires_at(now, attested_until)
    assert now < expires_at <= now + MAX_TTL_S
    assert attested_until is None or expires_at <= attested_until
    step = max(1, (expires_at - now) // 50)
    for at in (*range(now, expires_at, step), expires_at - 1, chosen.interval.begins_at):
        assert on_the_wall(chosen.grant.terms, at)
    assert on_the_wall(chosen.grant.terms, chosen.interval.ends_at - 1)


@given(given_=st.lists(grants(), max_size=3), now=moments, attested=st.none() | st.integers(-DAY_S, 2 * DAY_S))
def test_a_stream_lasts_as_long_as_some_grant_is_open_and_no_longer(
    given_: list[Grant], now: int, attested: int | None
) -> None:
    attested_until = None if attested is None else now + attested

    def is_open(at: int) -> bool:
        return any(
            on_the_wall(each.terms, at) and (not each.terms.integrity or at < (attested_until or 0))
            for each in given_
        )

    until = reach(given_, now, attested_until)
    assume(until - now < 3 * DAY_S)
    for at in (*range(now, until, max(1, (until - now) // 50)), until - 1):
        assert at < now or is_open(at)
    assert not is_open(until)


def test_of_several_the_longest_is_taken_and_one_that_counts_only_if_it_must_be() -> None:
    plain = Terms("x", 0, 1000, None, 0, False)
    short, long = grant(plain, number=1), grant(replace(plain, ends_at=2000), number=2)
    counted = grant(replace(plain, ends_at=3000, uses=1), number=3)
    assert choose([short, counted, long], DEVICE, (), attested_until=None, now=5).grant is long
    assert choose([counted], DEVICE, (), attested_until=None, now=5).grant is counted


def test_the_refusal_that_is_nearest_to_being_let_in_is_told() -> None:
    plain = Terms("x", 0, 1000, None, 0, False)
    later = grant(replace(plain, begins_at=500))
    spent = grant(replace(plain, uses=2), used=2)
    attested = grant(replace(plain, integrity=True))
    other = grant(plain, "GET /door")
    for given_, refusal in (
        ([], NotFound),
        ([other], NotAllowed),
        ([other, later], OutsideWindow),
        ([later, spent], UsesSpent),
        ([spent, attested, later], IntegrityRequired),
    ):
        with pytest.raises(refusal) as raised:
            choose(given_, DEVICE, ("PUT /lock",), attested_until=None, now=5)
        assert raised.type is refusal


METHODS = ("GET", "POST", "PUT", "DELETE", "FETCH")
paths = st.sampled_from(("/lock", "/doors/*", "/doors/1", "/doors/1/bolt", "/doors/a/*", "/doorstep", "/*"))
action_sets = st.sets(st.builds("{} {}".format, st.sampled_from(METHODS), paths), min_size=1, max_size=6)


@given(actions=action_sets)
def test_actions_and_permissions_say_the_same(actions: set[str]) -> None:
    assert set(actions_of(permissions_of(actions))) == actions


@given(granted=action_sets, asked=action_sets)
def test_what_is_covered_is_granted_action_by_action(granted: set[str], asked: set[str]) -> None:
    def is_granted(action: str) -> bool:
        method, _, path = action.partition(" ")
        return any(
            method == each.split(" ")[0]
            and (path == each.split(" ")[1] or (each.endswith("/*") and path.startswith(each.split(" ")[1][:-1])))
            for each in granted
        )

    expected = all(is_granted(each) for each in asked)
    assert covers(permissions_of(granted), permissions_of(asked)) == expected
