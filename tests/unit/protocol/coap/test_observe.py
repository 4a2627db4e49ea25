import pytest

from admittance.errors import Malformed
from admittance.protocol.coap.observe import DEREGISTER, MAX_AGE_S, REGISTER, Freshness, NotificationNumbers, asked
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import OBSERVE


@pytest.mark.parametrize(
    ("code", "value", "expected"),
    [
        (codes.GET, b"", REGISTER),
        (codes.FETCH, b"", REGISTER),
        (codes.GET, b"\x01", DEREGISTER),
        (codes.GET, b"\x02", None),
        (codes.GET, None, None),
        (codes.PUT, b"", None),
        (codes.POST, b"", None),
    ],
)
def test_what_a_request_asks_for(code: int, value: bytes | None, expected: int | None) -> None:
    options = () if value is None else ((OBSERVE, value),)
    assert asked(CoapMessage(code, options=options)) == expected


def test_an_observe_value_has_24_bits() -> None:
    with pytest.raises(Malformed):
        asked(CoapMessage(codes.GET, options=((OBSERVE, bytes(4)),)))


def test_numbers_grow_and_begin_anew() -> None:
    numbers = NotificationNumbers()
    assert [numbers.take() for _ in range(3)] == [0, 1, 2]
    numbers._next = 2**24 - 1
    assert [numbers.take() for _ in range(2)] == [2**24 - 1, 0]


@pytest.mark.parametrize(
    ("known", "number", "later_s", "is_fresh"),
    [
        (5, 6, 0, True),
        (5, 5, 0, False),
        (6, 5, 0, False),
        (0, 2**23 - 1, 0, True),
        (0, 2**23, 0, False),
        (2**24 - 1, 0, 0, True),
        (2**23, 0, 0, False),
        (6, 5, MAX_AGE_S, False),
        (6, 5, MAX_AGE_S + 0.001, True),
    ],
)
def test_which_of_two_is_fresher(known: int, number: int, later_s: float, is_fresh: bool) -> None:
    """RFC 7641, section 3.4."""
    freshness = Freshness()
    assert freshness.is_fresh(known, 100.0)
    assert freshness.is_fresh(number, 100.0 + later_s) is is_fresh


def test_a_stale_one_does_not_become_the_newest() -> None:
    freshness = Freshness()
    assert [freshness.is_fresh(number, 0.0) for number in (7, 3, 5, 8)] == [True, False, False, True]
