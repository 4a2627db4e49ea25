"""The delay after failures."""

from admittance.protocol.provisioning.throttle import Throttle


def test_delay_doubles_up_to_its_ceiling() -> None:
    throttle = Throttle()
    delays = []
    now = 0.0
    for _ in range(8):
        throttle.failed(now)
        delays.append(throttle.wait_s(now))
        now += delays[-1]
    assert delays == [1, 2, 4, 8, 16, 30, 30, 30]


def test_opens_exactly_when_the_delay_is_over() -> None:
    throttle = Throttle()
    assert throttle.wait_s(0.0) == 0
    throttle.failed(5.0)
    assert throttle.wait_s(5.5) == 0.5
    assert throttle.wait_s(6.0) == 0


def test_success_forgets_the_failures() -> None:
    throttle = Throttle()
    throttle.failed(0.0)
    throttle.failed(1.0)
    throttle.succeeded()
    assert throttle.wait_s(1.0) == 0
    throttle.failed(2.0)
    assert throttle.wait_s(2.0) == 1
