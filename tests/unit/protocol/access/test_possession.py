"""The secret of a possession key and the salt of its context; the vectors are in `tests/vectors`."""

import pytest

from admittance.errors import Malformed, Misuse
from admittance.protocol.access.possession import client_keys, master_salt, master_secret, server_keys
from admittance.wire.ace import AuthzInfo, AuthzInfoAnswer

SHARES = {"client_share": b"c" * 32, "device_id": "AD1", "client": "app", "grant": b"g" * 16}


def test_the_salt_is_that_of_rfc_9203() -> None:
    """Section 4.3, figure 12."""
    salt = master_salt(
        bytes.fromhex("018a278f7faab55a"),
        bytes.fromhex("25a8991cd700ac01"),
        input_salt=bytes.fromhex("f9af838368e353e78888e1426bd94e6f"),
    )
    assert salt.hex() == "50f9af838368e353e78888e1426bd94e6f48018a278f7faab55a4825a8991cd700ac01"


def test_both_ends_have_the_same_keys_the_other_way_round() -> None:
    asked, answer = AuthzInfo(bytes(16), b"1" * 8, b"\x16\x45"), AuthzInfoAnswer(b"2" * 8, b"\x00")
    client, server = client_keys(b"s" * 32, asked, answer), server_keys(b"s" * 32, asked, answer)
    assert (client.master_secret, client.master_salt) == (server.master_secret, server.master_salt)
    assert (client.sender_id, client.recipient_id) == (b"\x00", b"\x16\x45")
    assert (server.sender_id, server.recipient_id) == (b"\x16\x45", b"\x00")


@pytest.mark.parametrize("client_id", [b"\x00", None])
def test_the_ends_have_ids_that_differ(client_id: bytes | None) -> None:
    asked = AuthzInfo(bytes(16), bytes(8), client_id)
    for keys in (client_keys, server_keys):
        with pytest.raises(Malformed):
            keys(b"s" * 32, asked, AuthzInfoAnswer(bytes(8), b"\x00"))


def test_every_input_changes_the_secret() -> None:
    secrets = {
        master_secret(b"s" * 32, **SHARES),
        master_secret(b"t" * 32, **SHARES),
        *(
            master_secret(b"s" * 32, **SHARES | change)
            for change in (
                {"client_share": b"d" * 32},
                {"client_share": b""},
                {"device_id": "AD2"},
                {"client": "other"},
                {"grant": b"h" * 16},
            )
        ),
    }
    assert len(secrets) == 7
    assert {len(secret) for secret in secrets} == {32}


@pytest.mark.parametrize(("server", "client"), [(31, 32), (32, 31), (32, 33), (0, 32)])
def test_shares_have_32_bytes(server: int, client: int) -> None:
    with pytest.raises(Misuse):
        master_secret(bytes(server), **SHARES | {"client_share": bytes(client)})
