from admittance.device.clock import TrustedClock


class Monotonic:
    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


def test_before_the_first_server_time_the_clock_is_a_lower_bound() -> None:
    monotonic = Monotonic()
    clock = TrustedClock(monotonic, 1_000)
    monotonic.now += 7
    assert (clock.now(), clock.trusted, clock.floor()) == (1_007, False, 1_000)


def test_a_device_that_never_heard_the_time_starts_at_1970() -> None:
    assert TrustedClock(Monotonic(), 0).now() == 0


def test_the_server_sets_the_clock_and_the_monotonic_clock_counts_on() -> None:
    monotonic = Monotonic()
    clock = TrustedClock(monotonic, 1_000)
    clock.set_server_time(50_000)
    monotonic.now += 10.5
    assert (clock.now(), clock.trusted, clock.floor()) == (50_010.5, True, 50_010)


def test_a_time_before_the_floor_is_not_taken() -> None:
    clock = TrustedClock(Monotonic(), 1_000)
    clock.set_server_time(999)
    assert (clock.now(), clock.trusted) == (1_000, False)


def test_a_server_whose_clock_was_turned_back_makes_it_stand_still() -> None:
    monotonic = Monotonic()
    clock = TrustedClock(monotonic, 1_000)
    clock.set_server_time(50_000)
    monotonic.now += 30
    assert clock.now() == 50_030
    clock.set_server_time(50_010)
    assert (clock.now(), clock.floor()) == (50_030, 50_030)
    monotonic.now += 19
    assert clock.now() == 50_030
    monotonic.now += 2
    assert clock.now() == 50_031


def test_the_floor_never_goes_back() -> None:
    monotonic = Monotonic()
    clock = TrustedClock(monotonic, 1_000)
    clock.set_server_time(50_000)
    clock.set_server_time(40_000)
    assert clock.floor() == 50_000
    later = TrustedClock(monotonic, clock.floor())
    later.set_server_time(49_999)
    assert later.floor() == 50_000
