"""Which network a request comes from, and the throttle's bucket for it."""

import pytest
from starlette.requests import Request

from admittance.errors import Throttled
from admittance.server.accounts.throttle import LoginThrottle, source_of
from admittance.server.database import Database


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
        ("testclient", "testclient"),
    ],
)
def test_a_source_is_an_ipv4_address_or_an_ipv6_network(host: str, source: str) -> None:
    assert source_of(Request({"type": "http", "client": (host, 1)})) == source


def test_a_request_over_a_unix_socket_has_the_empty_source() -> None:
    assert source_of(Request({"type": "http", "client": None})) == ""


async def test_one_source_guessing_at_many_accounts_is_slowed_down(database: Database) -> None:
    throttle = LoginThrottle(database, bytes(32))
    for number in range(20):
        await throttle.charge(email=f"a{number}@example.org", source="192.0.2.7", now=1000)
    with pytest.raises(Throttled):
        await throttle.charge(email="c@example.org", source="192.0.2.7", now=1000)
    await throttle.charge(email="c@example.org", source="192.0.2.8", now=1000)


async def test_a_refused_try_is_charged_to_nobody(database: Database) -> None:
    throttle = LoginThrottle(database, bytes(32))
    for number in range(22):
        try:
            await throttle.charge(email=f"a{number}@example.org", source="192.0.2.7", now=1000)
        except Throttled:
            break
    for _ in range(10):
        with pytest.raises(Throttled):
            await throttle.charge(email="d@example.org", source="192.0.2.7", now=1000)
    for _ in range(5):
        await throttle.charge(email="d@example.org", source="192.0.2.9", now=1000)


async def test_an_hour_of_peace_is_forgiven(database: Database) -> None:
    throttle = LoginThrottle(database, bytes(32))
    for now in range(0, 3000, 300):
        await throttle.charge(email="a@example.org", source=str(now), now=now)
    for _ in range(5):
        await throttle.charge(email="a@example.org", source="last", now=2700 + 3600)
