from admittance.device.backoff import Backoff


def test_delays_double_up_to_the_longest() -> None:
    backoff = Backoff(lambda: 0.0, longest_s=10)
    assert [backoff.next() for _ in range(6)] == [1, 2, 4, 8, 10, 10]


def test_jitter_shortens_by_up_to_a_half() -> None:
    backoff = Backoff(lambda: 1.0, longest_s=10)
    assert [backoff.next() for _ in range(3)] == [0.5, 1, 2]


def test_a_success_starts_again() -> None:
    backoff = Backoff(lambda: 0.0)
    backoff.next()
    backoff.next()
    backoff.reset()
    assert backoff.next() == 1
