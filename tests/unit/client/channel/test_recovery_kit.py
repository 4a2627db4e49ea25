"""The recovery kit on paper."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from admittance.client.channel.recovery_kit import RecoveryKit
from admittance.errors import Malformed
from admittance.protocol.signing import spki_of
from admittance.wire import crockford
from admittance.wire.device_id import device_id

DEVICE_KEY = spki_of(ec.derive_private_key(7, ec.SECP256R1()).public_key())
KIT = RecoveryKit(device_id(b"some identity"), 3, bytes(range(16)), DEVICE_KEY)


def test_a_kit_is_read_as_it_was_printed() -> None:
    assert RecoveryKit.of_text(KIT.text()) == KIT
    assert all(len(group) <= 5 for group in KIT.text().split("-"))


@given(st.binary(max_size=64), st.integers(0, 2**32 - 1), st.binary(min_size=16, max_size=16), st.integers(1, 2**64))
def test_every_kit_survives_paper(identity: bytes, epoch: int, seed: bytes, scalar: int) -> None:
    key = spki_of(ec.derive_private_key(scalar, ec.SECP256R1()).public_key())
    kit = RecoveryKit(device_id(identity), epoch, seed, key)
    assert RecoveryKit.of_text(kit.text()) == kit


def test_a_kit_is_typed_as_people_type() -> None:
    typed = KIT.text().lower().replace("0", "o").replace("1", "l").replace("-", " ") + "\n"
    assert RecoveryKit.of_text(typed) == KIT


def test_each_typing_error_is_found() -> None:
    symbols = KIT.text().replace("-", "")
    for position, symbol in enumerate(symbols):
        other = crockford.ALPHABET[crockford.ALPHABET.index(symbol) ^ 1]
        with pytest.raises(Malformed):
            RecoveryKit.of_text(symbols[:position] + other + symbols[position + 1 :])


def test_a_cut_kit_asks_for_all_of_it() -> None:
    with pytest.raises(Malformed, match="every group"):
        RecoveryKit.of_text(KIT.text()[:-12])


@given(st.text(max_size=150))
def test_no_other_text_is_a_kit(text: str) -> None:
    with pytest.raises(Malformed):
        RecoveryKit.of_text(text)


def test_the_key_comes_from_the_seed_and_the_device() -> None:
    numbers = KIT.key().private_numbers().private_value
    assert numbers == RecoveryKit.of_text(KIT.text()).key().private_numbers().private_value
    other_seed = RecoveryKit(KIT.device_id, 3, bytes(16), DEVICE_KEY)
    other_device = RecoveryKit(device_id(b"another"), 3, KIT.seed, DEVICE_KEY)
    for other in (other_seed, other_device):
        assert other.key().private_numbers().private_value != numbers


def test_a_kit_does_not_show_its_seed() -> None:
    assert repr(KIT) == f"RecoveryKit(device_id={KIT.device_id!r})"
