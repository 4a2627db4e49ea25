from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed, NotDecryptable
from admittance.protocol.provisioning.network_secret import Network, decrypt_network, encrypt_network
from admittance.wire import cbor, message
from tests.wire_messages import bytes16, bytes32, changed, unsigned, words


def fits(size: int) -> Callable[[str], bool]:
    return lambda text: len(text.encode()) <= size


networks = st.builds(
    Network, ssid=st.text(min_size=1, max_size=32).filter(fits(32)), passphrase=st.text(max_size=64).filter(fits(64))
)
PLACE: dict[str, Any] = {
    "app_key": bytes(range(32)),
    "salt": b"s" * 32,
    "device_id": "AD" + "A" * 20,
    "transaction_id": b"t" * 16,
    "attempt": 1,
}
HOME = Network("Home", "correct horse")
GOOD = encrypt_network(**PLACE, network=HOME)


@given(bytes32, bytes32, words, bytes16, unsigned, networks)
def test_a_network_decrypts_where_it_belongs(
    app_key: bytes, salt: bytes, device_id: str, transaction_id: bytes, attempt: int, network: Network
) -> None:
    place = (app_key, salt, device_id, transaction_id, attempt)
    assert decrypt_network(*place, encrypt_network(*place, network)) == network


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"app_key": bytes(32)},
        {"salt": bytes(32)},
        {"device_id": "AD" + "B" * 20},
        {"transaction_id": bytes(16)},
        {"attempt": 0},
        {"attempt": 2},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_and_nowhere_else(elsewhere: dict[str, Any]) -> None:
    with pytest.raises(NotDecryptable):
        decrypt_network(**(PLACE | elsewhere), ciphertext=GOOD)


@given(changed(GOOD) | st.binary(max_size=60))
def test_changed_bytes_do_not_decrypt(ciphertext: bytes) -> None:
    with pytest.raises(NotDecryptable):
        decrypt_network(**PLACE, ciphertext=ciphertext)


@pytest.mark.parametrize("sizes", [(0, 32), (31, 32), (33, 32), (32, 0), (32, 31)])
def test_keys_and_salts_of_another_size_do_not_decrypt(sizes: tuple[int, int]) -> None:
    place = PLACE | {"app_key": bytes(sizes[0]), "salt": bytes(sizes[1])}
    with pytest.raises(NotDecryptable):
        decrypt_network(**place, ciphertext=GOOD)


def test_the_ciphertext_is_a_function_of_its_arguments() -> None:
    assert encrypt_network(**PLACE, network=HOME) == GOOD


@given(st.binary(max_size=60) | changed(message.encode(HOME)))
def test_a_plaintext_decodes_to_its_own_bytes_or_is_malformed(plaintext: bytes) -> None:
    try:
        network = message.decode(plaintext, Network)
    except Malformed:
        return
    assert message.encode(network) == plaintext


@pytest.mark.parametrize(
    "value",
    [
        ["", "x"],
        ["é" * 16 + "e", "x"],
        ["a" * 33, ""],
        ["a", "é" * 33],
        ["a", "b" * 65],
        ["a"],
        ["a", "", ""],
        [b"a", ""],
    ],
)
def test_networks_that_no_radio_can_join_are_malformed(value: list[object]) -> None:
    with pytest.raises(Malformed):
        message.decode(cbor.encode(value), Network)


def test_names_and_passphrases_are_counted_in_bytes() -> None:
    assert Network("é" * 16, "é" * 32)
    with pytest.raises(Malformed):
        Network("é" * 17, "")
    with pytest.raises(Malformed):
        Network("a", "é" * 33)


def test_a_representation_shows_no_passphrase() -> None:
    assert repr(HOME) == "Network(ssid='Home', passphrase=…)"
    assert "horse" not in str(HOME)
