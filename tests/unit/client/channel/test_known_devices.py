"""The devices that an app met."""

from pathlib import Path

import msgspec
import pytest

from admittance.client.channel.known_devices import KnownDevice, KnownDevices
from admittance.errors import ConfigurationError, Conflict, Malformed, NotFound

LOCK = KnownDevice(
    device_id="ADQ3WKJX4M7Q2B5TPHZ3NA",
    origin="https://home.example",
    channel=b"spki",
    epoch=1,
    name="lock-1",
    relay_urls=["wss://home.example:8446"],
)
OTHER = msgspec.structs.replace(LOCK, device_id="ADAAAAAAAAAAAAAAAAAAAA")


def test_a_device_is_kept_in_a_private_file(tmp_path: Path) -> None:
    devices = KnownDevices(tmp_path)
    devices.keep(LOCK)
    assert devices.find(LOCK.device_id) == LOCK
    [file] = (tmp_path / "devices").iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == (f"{LOCK.device_id}.json", 0o600)


def test_a_device_that_was_never_met_says_how_to_meet_it(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="admit provision"):
        KnownDevices(tmp_path).find(LOCK.device_id)


def test_a_device_that_is_met_again_replaces_what_was_known(tmp_path: Path) -> None:
    devices = KnownDevices(tmp_path)
    devices.keep(LOCK)
    again = msgspec.structs.replace(LOCK, channel=b"after a reset", epoch=2)
    devices.keep(again)
    assert devices.all() == [again]


def test_devices_are_found_by_a_name_that_one_alone_has(tmp_path: Path) -> None:
    devices = KnownDevices(tmp_path)
    devices.keep(LOCK)
    assert devices.named("LOCK-1") == LOCK
    devices.keep(OTHER)
    with pytest.raises(Conflict, match=OTHER.device_id):
        devices.named("lock-1")
    with pytest.raises(NotFound, match="kitchen"):
        devices.named("kitchen")


def test_a_forgotten_device_is_gone(tmp_path: Path) -> None:
    devices = KnownDevices(tmp_path)
    devices.keep(LOCK)
    devices.forget(LOCK.device_id)
    devices.forget(LOCK.device_id)
    assert devices.all() == []


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"v": 2}'])
def test_a_damaged_file_is_an_error_of_configuration(tmp_path: Path, content: bytes) -> None:
    devices = KnownDevices(tmp_path)
    devices.keep(LOCK)
    (tmp_path / "devices" / f"{LOCK.device_id}.json").write_bytes(content)
    with pytest.raises(ConfigurationError):
        devices.find(LOCK.device_id)


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(Malformed):
        KnownDevices(tmp_path).find("../session")


def test_an_introduction_carries_what_is_known(tmp_path: Path) -> None:
    assert KnownDevice.of_card(LOCK.card()) == LOCK
    assert KnownDevice.of_card(LOCK.card(b"admission")).admission == b"admission"
