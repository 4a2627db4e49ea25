"""The possession keys of a profile."""

from pathlib import Path

import msgspec
import pytest

from admittance.client.possession.key_store import HeldKey, KeyStore
from admittance.errors import ConfigurationError, Conflict, Malformed, NotFound
from admittance.protocol.access.authz_info import PossessionKey

DOOR = HeldKey(
    device_id="ADQ3WKJX4M7Q2B5TPHZ3NA",
    origin="https://home.example",
    name="door",
    token=bytes(16),
    master_secret=b"secret of 32 bytes, as it should",
    grant="a grant",
    actions=["PUT /lock"],
    expires_at=1_800_000_000,
)
OTHER = msgspec.structs.replace(DOOR, device_id="ADAAAAAAAAAAAAAAAAAAAA")


def test_a_key_is_kept_in_a_private_file(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    keys.keep(DOOR)
    assert keys.find(DOOR.device_id) == DOOR
    assert DOOR.key == PossessionKey(DOOR.token, DOOR.master_secret)
    [file] = (tmp_path / "keys").iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == (f"{DOOR.device_id}.json", 0o600)


def test_the_newest_key_of_a_device_replaces_the_one_before(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    keys.keep(DOOR)
    newer = msgspec.structs.replace(DOOR, token=b"t" * 16)
    keys.keep(newer)
    assert keys.all() == [newer]


def test_keys_are_found_by_a_name_that_one_device_alone_has(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    keys.keep(DOOR)
    assert keys.named("DOOR") == DOOR
    keys.keep(OTHER)
    with pytest.raises(Conflict, match=OTHER.device_id):
        keys.named("door")
    with pytest.raises(NotFound, match="gate"):
        keys.named("gate")


def test_a_forgotten_key_is_gone(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    keys.keep(DOOR)
    keys.forget(DOOR.device_id)
    keys.forget(DOOR.device_id)
    with pytest.raises(NotFound, match="Ask for one"):
        keys.find(DOOR.device_id)


def test_a_damaged_file_says_how_to_mend_it(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    keys.keep(DOOR)
    file = tmp_path / "keys" / f"{DOOR.device_id}.json"
    file.write_bytes(b"{}")
    with pytest.raises(ConfigurationError, match="ask for another"):
        keys.all()


def test_a_name_that_is_no_device_id_leads_to_no_file(tmp_path: Path) -> None:
    with pytest.raises(Malformed):
        KeyStore(tmp_path).find("../session")


def test_no_secret_is_shown() -> None:
    assert "secret" not in repr(DOOR)
    assert "secret" not in repr(DOOR.key)
