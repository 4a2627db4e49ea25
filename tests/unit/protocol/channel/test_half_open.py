import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import NotFound
from admittance.protocol.channel.half_open import IN_ALL, LIFETIME_S, PER_PEER, HalfOpen


def test_a_handshake_is_taken_out_once() -> None:
    half_open: HalfOpen[str] = HalfOpen()
    half_open.add("app", b"\x05", "handshake", 0.0)
    assert half_open.connection_ids("app") == {b"\x05"}
    assert half_open.take("app", b"\x05", 1.0) == "handshake"
    with pytest.raises(NotFound):
        half_open.take("app", b"\x05", 1.0)
    assert len(half_open) == 0


def test_another_peer_does_not_get_it() -> None:
    half_open: HalfOpen[str] = HalfOpen()
    half_open.add("app", b"\x05", "handshake", 0.0)
    with pytest.raises(NotFound):
        half_open.take("other", b"\x05", 1.0)
    assert half_open.take("app", b"\x05", 1.0) == "handshake"


def test_it_lives_exactly_so_long() -> None:
    half_open: HalfOpen[str] = HalfOpen()
    half_open.add("app", b"\x05", "handshake", 0.0)
    half_open.add("app", b"\x06", "handshake", 0.0)
    half_open.take("app", b"\x05", LIFETIME_S - 0.001)
    with pytest.raises(NotFound):
        half_open.take("app", b"\x06", LIFETIME_S)
    assert len(half_open) == 0


def test_a_peer_that_floods_displaces_its_own() -> None:
    half_open: HalfOpen[int] = HalfOpen()
    half_open.add("app", b"\x05", 5, 0.0)
    for number in range(200):
        half_open.add("flood", bytes((number % 24,)), number, 0.001 * number)
    assert len(half_open) == PER_PEER + 1
    assert half_open.take("app", b"\x05", 1.0) == 5


def test_many_peers_that_flood_spare_who_has_one() -> None:
    half_open: HalfOpen[int] = HalfOpen()
    for peer in range(40):
        for number in range(5):
            half_open.add(peer, bytes((number,)), number, 0.001 * peer)
    half_open.add("app", b"\x05", 5, 0.05)
    for peer in range(100, 120):
        half_open.add(peer, b"\x01", 1, 0.06)
    assert len(half_open) == IN_ALL
    assert half_open.take("app", b"\x05", 1.0) == 5


def test_of_equals_the_oldest_gives_way() -> None:
    half_open: HalfOpen[int] = HalfOpen()
    for peer in range(IN_ALL):
        half_open.add(peer, b"\x01", peer, 0.001 * peer)
    half_open.add("new", b"\x01", 1, 1.0)
    with pytest.raises(NotFound):
        half_open.take(0, b"\x01", 1.0)
    assert half_open.take(1, b"\x01", 1.0) == 1


def test_a_peer_that_goes_is_forgotten() -> None:
    half_open: HalfOpen[int] = HalfOpen()
    half_open.add("app", b"\x05", 5, 0.0)
    half_open.drop("app")
    half_open.drop("nobody")
    assert len(half_open) == 0


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 23), st.floats(0, 0.5))))
def test_it_never_holds_more_than_its_bounds(steps: list[tuple[int, int, float]]) -> None:
    half_open: HalfOpen[int] = HalfOpen(per_peer=3, in_all=10)
    now = 0.0
    for peer, connection_id, later in steps:
        now += later
        half_open.add(peer, bytes((connection_id,)), peer, now)
        assert len(half_open) <= 10
        assert len(half_open.connection_ids(peer)) <= 3
        assert bytes((connection_id,)) in half_open.connection_ids(peer)
