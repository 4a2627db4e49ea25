"""Nonces that tell their age and are of one power-up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import WrongNonce
from admittance.protocol.access.device_nonces import FRESH_S, DeviceNonces

NONCES = DeviceNonces(b"k" * 32)


@given(st.floats(0, 2**31), st.floats(0, FRESH_S - 1))
def test_a_nonce_is_good_for_a_quarter_of_an_hour(made_at: float, age_s: float) -> None:
    NONCES.check(NONCES.make(made_at), made_at + age_s)


@given(st.integers(0, 2**31), st.integers(FRESH_S + 1, 2**31))
def test_and_no_longer(made_at: int, age_s: int) -> None:
    with pytest.raises(WrongNonce):
        NONCES.check(NONCES.make(made_at), made_at + age_s)


def test_a_nonce_from_before_the_power_went_is_none() -> None:
    with pytest.raises(WrongNonce):
        DeviceNonces(b"another key after".ljust(32)).check(NONCES.make(100), 100)


def test_a_nonce_from_the_future_is_none() -> None:
    with pytest.raises(WrongNonce):
        NONCES.check(NONCES.make(101), 100)


@given(st.binary(max_size=32))
def test_any_bytes(nonce: bytes) -> None:
    with pytest.raises(WrongNonce):
        NONCES.check(nonce, 0)
