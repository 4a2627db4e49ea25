import pytest

from admittance.device.relay.retrying import Retrying
from admittance.errors import Unavailable, WebSocketClosed
from admittance.wire.relay import CloseCode, retry_after_text

LOST = WebSocketClosed(1006)
URLS = ("wss://a", "wss://b", "wss://c")


def test_nodes_are_tried_in_turn() -> None:
    retrying = Retrying(lambda: 0.0)
    tried = []
    for _ in range(4):
        tried.append(retrying.url(URLS))
        retrying.failed(LOST, 0.0)
    assert tried == ["wss://a", "wss://b", "wss://c", "wss://a"]


@pytest.mark.parametrize(("jitter", "first", "last"), [(0.0, 1.0, 30.0), (1.0, 0.5, 15.0)])
def test_delays_grow_from_a_second_to_half_a_minute(jitter: float, first: float, last: float) -> None:
    retrying = Retrying(lambda: jitter)
    delays = [retrying.failed(Unavailable("no"), 0.0) for _ in range(8)]
    assert (delays[0], delays[-1]) == (first, last)
    assert delays == sorted(delays)


def test_a_connection_that_held_starts_the_delays_over() -> None:
    retrying = Retrying(lambda: 0.0)
    assert [retrying.failed(LOST, 0.0) for _ in range(3)] == [1.0, 2.0, 4.0]
    assert retrying.failed(LOST, 10.0) == 1.0
    assert retrying.failed(LOST, 9.9) == 2.0


def test_a_time_that_the_node_names_is_obeyed() -> None:
    retrying = Retrying(lambda: 0.0)
    drained = WebSocketClosed(CloseCode.UNAVAILABLE, retry_after_text(2345))
    assert retrying.failed(drained, 60.0) == 2.345


@pytest.mark.parametrize("code", [CloseCode.NOT_AUTHENTICATED, CloseCode.REVOKED, CloseCode.SUPERSEDED])
def test_where_the_device_is_not_welcome_it_waits_long(code: CloseCode) -> None:
    assert Retrying(lambda: 0.0).failed(WebSocketClosed(code), 60.0) == 30.0


def test_news_start_everything_over() -> None:
    retrying = Retrying(lambda: 0.0)
    for _ in range(4):
        retrying.failed(LOST, 0.0)
    retrying.reset()
    assert retrying.url(URLS) == "wss://a"
    assert retrying.failed(LOST, 0.0) == 1.0
