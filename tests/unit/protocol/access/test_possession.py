"""The secret of a possession key and the salt of its context; the vectors are in `tests/vectors`."""

import pytest

from admittance.errors import Misuse
from admittance.protocol.access.possession import master_salt, master_secret

SHARES = {"client_share": b"c" * 32, "device_id": "AD1", "client": "app", "grant": b"g" * 16}


def test_the_salt_is_that_of_rfc_9203() -> None:
    """Section 4.3, figure 12."""
    salt = master_salt(
        bytes.fromhex("018a278f7faab55a"),
        bytes.fromhex("25a8991cd700ac01"),
        input_salt=bytes.fromhex("f9af838368e353e78888e1426bd94e6f"),
    )
    assert salt.hex() == "50f9af838368e353e78888e1426bd94e6f48018a278f7faab55a4825a8991cd700ac01"


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
