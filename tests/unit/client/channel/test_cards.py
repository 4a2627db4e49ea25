"""The texts by which apps introduce themselves and devices."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from admittance.client.channel.cards import AppCard, DeviceCard, from_text, to_text
from admittance.errors import Malformed
from admittance.protocol.signing import spki_of
from admittance.wire import base64url, message

SPKI = spki_of(ec.generate_private_key(ec.SECP256R1()).public_key())
OTHER = spki_of(ec.generate_private_key(ec.SECP256R1()).public_key())
DEVICE_ID = "ADQ3WKJX4M7Q2B5TPHZ3NA"

APP = AppCard(SPKI, OTHER, "Anna's phone")
DEVICE = DeviceCard(DEVICE_ID, "https://home.example", SPKI, 2, "lock-1", ["wss://home.example:8446"], b"")


def test_a_card_is_read_as_it_was_written() -> None:
    assert from_text(to_text(APP), AppCard) == APP
    assert from_text(f"  {to_text(DEVICE)}\n", DeviceCard) == DEVICE


def test_a_card_of_the_other_kind_is_refused() -> None:
    with pytest.raises(Malformed, match="admit credentials card"):
        from_text(to_text(DEVICE), AppCard)
    with pytest.raises(Malformed, match="admit credentials add"):
        from_text(to_text(APP), DeviceCard)


def test_only_p256_keys_are_taken() -> None:
    other_curve = spki_of(ed25519.Ed25519PrivateKey.generate().public_key())
    off_the_curve = SPKI[:-1] + bytes([SPKI[-1] ^ 1])
    for spki in (other_curve, off_the_curve, b""):
        text = base64url.encode(message.encode(AppCard(SPKI, spki, "app")))
        with pytest.raises(Malformed):
            from_text(text, AppCard)


def test_a_device_card_names_a_device() -> None:
    card = DeviceCard("../session", DEVICE.origin, SPKI, 1, "x", [], b"")
    with pytest.raises(Malformed):
        from_text(base64url.encode(message.encode(card)), DeviceCard)


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200).map(base64url.encode)))
def test_no_other_text_is_a_card(text: str) -> None:
    with pytest.raises(Malformed):
        from_text(text, AppCard)


@given(position=st.integers(0, 400), symbol=st.sampled_from("AZaz09-_"))
def test_a_changed_card_is_another_card_or_none(position: int, symbol: str) -> None:
    text = to_text(APP)
    position %= len(text)
    changed = text[:position] + symbol + text[position + 1 :]
    try:
        read = from_text(changed, AppCard)
    except Malformed:
        return
    assert (read == APP) == (changed == text)
