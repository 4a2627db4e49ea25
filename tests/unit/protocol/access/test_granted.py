"""What a device makes of pushes and uses: in whatever order they come, no key that ended is left, and no grant is
used more often than it allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from admittance.errors import Conflict, Malformed, NotFound, OutsideWindow, QuotaExceeded, UsesSpent, WrongEpoch
from admittance.protocol.access.granted import TOLD_S, GrantedAccess, check_window
from admittance.wire.access import MAX_COUNTS, MAX_KEYS, AccessPush, GrantedKey, GrantUse
from admittance.wire.channel import GET, Permission

EPOCH, NOW = 3, 1_800_000_000
SCOPE = (Permission("/lock", GET),)


def key(number: int, grant: int | None = None, uses: int = 0, ends: int = 60) -> GrantedKey:
    token = number.to_bytes(16, "big")
    named = (number if grant is None else grant).to_bytes(15, "big") + b"g"
    return GrantedKey(token, b"s" * 32, named, "guest", SCOPE, NOW - 60, NOW + ends, uses)


def push(
    sequence: int, *keys: GrantedKey, base: int | None = None, ended: tuple[bytes, ...] = (), epoch: int = EPOCH
) -> AccessPush:
    return AccessPush(epoch, sequence - 1 if base is None else base, sequence, keys, ended)


def taken(*pushes: AccessPush, now: int = NOW) -> GrantedAccess:
    access = GrantedAccess(EPOCH)
    for each in pushes:
        access = access.take(each, now=now)
    return access


def test_pushes_add_and_end() -> None:
    first, second, third = key(1), key(2), key(3)
    access = taken(push(1, first, second), push(2, third, ended=(first.token, second.grant)))
    assert (access.sequence, access.keys) == (2, (third,))
    for ended in (first, second):
        with pytest.raises(NotFound):
            access.find(ended.token)
    assert access.find(third.token) is third


def test_a_push_of_everything_replaces_everything() -> None:
    assert taken(push(1, key(1), key(2)), push(7, key(3), base=0)).keys == (key(3),)


def test_what_a_push_ends_it_does_not_add() -> None:
    assert taken(push(1, key(1), key(2), ended=(key(1).token, key(2).grant))).keys == ()


@pytest.mark.parametrize("sequence", [1, 2, 3])
@pytest.mark.parametrize("base", [0, 1, 3])
def test_a_push_that_is_not_newer_changes_nothing(sequence: int, base: int) -> None:
    access = taken(push(3, key(1), base=0))
    assert access.take(push(sequence, key(2), base=base, ended=(key(1).token,)), now=NOW) is access


def test_what_cannot_be_taken_is_refused_by_its_class() -> None:
    access = taken(push(1, key(1)))
    for epoch in (EPOCH - 1, EPOCH + 1):
        with pytest.raises(WrongEpoch):
            access.take(push(2, key(2), epoch=epoch), now=NOW)
    with pytest.raises(Conflict):
        access.take(push(3, key(2), base=2), now=NOW)
    with pytest.raises(Malformed):
        access.take(push(2, key(2), key(2)), now=NOW)


def test_room_is_made_by_what_has_ended_and_by_nothing_else() -> None:
    full = taken(push(1, *(key(number) for number in range(MAX_KEYS - 1)), key(99, ends=10)))
    with pytest.raises(QuotaExceeded):
        full.take(push(2, key(100)), now=NOW)
    assert full.take(push(2, key(100)), now=NOW + 10).find(key(100).token)


def test_a_key_that_has_ended_stays_a_day_for_its_holder_to_be_told() -> None:
    access = taken(push(1, key(1)))
    ends_at = key(1).expires_at
    assert access.take(push(2), now=ends_at + TOLD_S - 1).keys == (key(1),)
    assert access.take(push(2), now=ends_at + TOLD_S).keys == ()


@pytest.mark.parametrize(("at", "holds"), [(-61, False), (-60, True), (59.9, True), (60, False)])
def test_a_window_has_its_first_second_and_not_its_last(at: float, holds: bool) -> None:
    if holds:
        check_window(key(1), NOW + at)
        return
    with pytest.raises(OutsideWindow):
        check_window(key(1), NOW + at)


def test_the_last_use_takes_the_grants_keys_with_it() -> None:
    first, second, other = key(1, 7, uses=2), key(2, 7, uses=2), key(3)
    access = taken(push(1, first, second, other)).use(first, now=NOW)
    assert access.keys == (first, second, other)
    access = access.use(second, now=NOW)
    assert access.keys == (other,)
    for spent in (first, second):
        with pytest.raises(UsesSpent):
            access.use(spent, now=NOW)
    assert access.state.used == (GrantUse(first.grant, 2),)


def test_uses_that_are_not_counted_leave_no_trace() -> None:
    access = taken(push(1, key(1)))
    assert access.use(key(1), now=NOW) is access


def test_a_count_outlives_its_keys_until_the_server_ends_the_grant() -> None:
    single = key(1, uses=1)
    used = taken(push(1, single)).use(single, now=NOW)
    assert used.take(push(2, single, key(2, 1, uses=1)), now=NOW).keys == ()
    assert used.take(push(9, single, base=0), now=NOW).keys == ()
    assert used.take(push(2, ended=(single.grant,)), now=NOW).state.used == ()


def test_where_no_further_grant_can_be_counted_none_is_used() -> None:
    access = GrantedAccess(EPOCH)
    for number in range(MAX_COUNTS):
        each = key(number, uses=1, ends=60 + number)
        access = replace(access, keys=(each,)).use(each, now=NOW)
    one_more = key(999, uses=1)
    with pytest.raises(QuotaExceeded):
        access.use(one_more, now=NOW)
    assert access.use(one_more, now=NOW + 60).used(key(0).grant) == 0


def test_another_epoch_begins_with_nothing() -> None:
    access = taken(push(1, key(1)))
    assert access.of_epoch(EPOCH) is access
    assert access.of_epoch(EPOCH + 1) == GrantedAccess(EPOCH + 1)


def test_of_a_state_that_is_not_the_latest_no_key_and_no_counted_use_is_left() -> None:
    counted, free = key(1, uses=3), key(2)
    access = taken(push(1, counted, free)).use(counted, now=NOW).after_damage()
    assert (access.sequence, access.keys) == (0, ())
    again = access.take(push(5, counted, free, base=0), now=NOW)
    assert again.keys == (free,)


tokens = st.integers(0, 7)


class Disorder(RuleBasedStateMachine):
    """A server whose pushes are lost, delayed, repeated and taken in any order, and a guest who uses what it gets.

    The server ends tokens that it gave before; the model knows which ones the device was told are over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.access = GrantedAccess(EPOCH)
        self.sequence = 0
        self.sent: list[AccessPush] = []
        self.applied: list[AccessPush] = []
        self.uses: dict[bytes, int] = {}
        self.over: set[bytes] = set()
        self.tokens = 0
        self.now = NOW

    @rule(
        grant=tokens,
        uses=st.integers(0, 3),
        whole=st.booleans(),
        ended=st.lists(st.integers(0, 30), max_size=3),
        lag=st.integers(0, 2),
    )
    def send(self, grant: int, uses: int, whole: bool, ended: list[int], lag: int) -> None:
        self.tokens += 1
        self.sequence += 1
        allowed = self.uses.setdefault(key(0, grant).grant, uses)
        new = key(100 + self.tokens, grant, allowed, ends=600)
        over = tuple((100 + number).to_bytes(16, "big") for number in ended if number < self.tokens)
        base = 0 if whole else max(0, self.sequence - 1 - lag)
        self.sent.append(push(self.sequence, new, base=base, ended=over))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        arrived = data.draw(st.sampled_from(self.sent))
        before = self.access
        try:
            self.access = self.access.take(arrived, now=self.now)
        except Conflict:
            assert self.access is before
            return
        except QuotaExceeded:
            return
        if self.access is before:
            return
        assert self.access.sequence == arrived.sequence > before.sequence
        if arrived.base == 0:
            self.over |= {each.token for each in before.keys} - {each.token for each in arrived.keys}
        self.over |= set(arrived.ended)

    @rule(data=st.data())
    def use(self, data: st.DataObject) -> None:
        if not self.access.keys:
            return
        chosen = data.draw(st.sampled_from(self.access.keys))
        before = self.access.used(chosen.grant)
        self.access = self.access.use(chosen, now=self.now)
        assert self.access.used(chosen.grant) == before + (chosen.uses > 0)

    @rule(seconds=st.integers(0, 60))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def nothing_that_ended_is_left(self) -> None:
        assert not {each.token for each in self.access.keys} & self.over

    @invariant()
    def no_grant_is_used_more_often_than_it_allows(self) -> None:
        for grant, allowed in self.uses.items():
            assert allowed == 0 or self.access.used(grant) <= allowed

    @invariant()
    def no_spent_key_is_left(self) -> None:
        assert not any(self.access.is_spent(each) for each in self.access.keys)


TestDisorder = Disorder.TestCase


@given(st.lists(st.sampled_from(["push", "use", "damage"]), max_size=12))
def test_damage_never_gives_a_use_back(steps: list[str]) -> None:
    """Whatever was missing from the state that is left: a grant of two uses is used twice at most."""
    double, uses, sequence = key(1, uses=2), 0, 0
    access = before = GrantedAccess(EPOCH)
    for step in steps:
        if step == "push":
            sequence += 1
            before, access = access, access.take(push(sequence, double, base=0), now=NOW)
        elif step == "use" and access.keys:
            before, access = access, access.use(double, now=NOW)
            uses += 1
        elif step == "damage":
            access = before = before.after_damage()
    assert uses <= 2
