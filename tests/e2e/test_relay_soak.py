"""A relay node while devices come and go, small: `make soak` is the same with 5,000 devices for five minutes."""

from bench.soak import Scale, soak


def test_each_request_is_answered_once_or_reported_failed_while_devices_come_and_go() -> None:
    outcome = soak(
        Scale(
            devices=150,
            talkers=20,
            restless_s=5.0,
            ask_s=0.3,
            warm_up_s=2.0,
            duration_s=13.0,
            device_processes=1,
        )
    )

    assert outcome.violations == []
    assert outcome.sent == outcome.answered + outcome.failed
    assert outcome.answered > outcome.failed
    assert outcome.reconnected > 0
