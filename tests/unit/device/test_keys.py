from pathlib import Path

import pytest

from admittance.device.keys import device_keys, load_birth, load_private_key, make_keys, private_key_pem
from admittance.errors import ConfigurationError, Malformed
from admittance.wire.birth import Seal
from admittance.wire.device_id import device_id
from tests.unit.device.births import make_birth


def test_identity_and_birth_belong_together(tmp_path: Path) -> None:
    made = make_birth(tmp_path)
    assert device_id(made.identity.spki) == made.birth.device_id


@pytest.mark.parametrize("name", ["identity.key", "birth.json"])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, name: str) -> None:
    make_birth(tmp_path)
    (tmp_path / name).chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_birth(tmp_path)


@pytest.mark.parametrize("name", ["identity.key", "birth.json"])
def test_a_missing_or_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    make_birth(tmp_path)
    (tmp_path / name).write_bytes(b"damaged")
    with pytest.raises(ConfigurationError, match="does not hold"):
        load_birth(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_birth(tmp_path)


def test_the_identity_of_another_device_is_refused(tmp_path: Path) -> None:
    make_birth(tmp_path / "a")
    make_birth(tmp_path / "b")
    (tmp_path / "a" / "identity.key").replace(tmp_path / "b" / "identity.key")
    with pytest.raises(ConfigurationError, match="not that of device"):
        load_birth(tmp_path / "b")


@pytest.mark.parametrize(("seal", "public_bytes"), [("hybrid", 1216), ("classic", 32), ("symmetric", 0)])
def test_a_device_makes_its_other_keys(tmp_path: Path, seal: Seal, public_bytes: int) -> None:
    made = make_birth(tmp_path, seal=seal)
    keys = device_keys(made, make_keys(made.birth))
    assert keys.seal.algorithm == seal
    assert len(keys.seal.public) == public_bytes
    assert len({made.identity.spki, keys.channel_spki, keys.access_spki}) == 3


def test_no_two_devices_make_the_same_keys(tmp_path: Path) -> None:
    birth = make_birth(tmp_path).birth
    assert make_keys(birth) != make_keys(birth)


def test_a_key_that_is_none_is_refused() -> None:
    with pytest.raises(Malformed):
        load_private_key(b"no key")
    with pytest.raises(Malformed):
        private_key_pem(b"no key")
