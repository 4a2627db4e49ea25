import os
from pathlib import Path

import pytest

from admittance.errors import ConfigurationError
from admittance.server.keys.file import FileKeyEncryption, check_private, create_secret, read_secret, replace_file


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "kek"
    create_secret(path, bytes(range(32)))
    return path


def test_wrapped_key_unwraps_in_its_context_only(key_file: Path) -> None:
    kek = FileKeyEncryption(key_file)
    wrapped = kek.wrap(b"secret", b"here")
    assert kek.unwrap(wrapped, b"here") == b"secret"
    with pytest.raises(ConfigurationError):
        kek.unwrap(wrapped, b"there")


@pytest.mark.parametrize("position", [0, 11, 12, -1])
def test_changed_data_does_not_unwrap(key_file: Path, position: int) -> None:
    kek = FileKeyEncryption(key_file)
    data = bytearray(kek.wrap(b"secret", b""))
    data[position] ^= 1
    with pytest.raises(ConfigurationError):
        kek.unwrap(bytes(data), b"")


def test_data_that_is_cut_off_does_not_unwrap(key_file: Path) -> None:
    kek = FileKeyEncryption(key_file)
    for length in (0, 5, 12, 20):
        with pytest.raises(ConfigurationError):
            kek.unwrap(kek.wrap(b"secret", b"")[:length], b"")


def test_another_key_does_not_unwrap(key_file: Path, tmp_path: Path) -> None:
    wrapped = FileKeyEncryption(key_file).wrap(b"secret", b"")
    create_secret(tmp_path / "other", bytes(32))
    with pytest.raises(ConfigurationError):
        FileKeyEncryption(tmp_path / "other").unwrap(wrapped, b"")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o601])
def test_key_file_open_to_others_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        FileKeyEncryption(key_file)


def test_key_file_of_another_length_is_refused(tmp_path: Path) -> None:
    create_secret(tmp_path / "short", bytes(31))
    with pytest.raises(ConfigurationError, match="exactly 32"):
        FileKeyEncryption(tmp_path / "short")


def test_missing_file_link_and_folder_are_refused(key_file: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(key_file)
    for name in ("missing", "link", "."):
        with pytest.raises(ConfigurationError):
            check_private(tmp_path / name)


def test_file_of_another_user_is_refused(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: key_file.stat().st_uid + 1)
    with pytest.raises(ConfigurationError, match="belongs to user"):
        check_private(key_file)


def test_first_secret_wins(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert create_secret(path, b"first")
    assert not create_secret(path, b"second")
    assert read_secret(path) == b"first"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["secret"]


def test_replacing_leaves_one_private_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"one", b"two"):
        replace_file(path, content)
    assert read_secret(path) == b"two"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]
