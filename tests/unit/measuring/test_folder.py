"""What counts as an app's files."""

from pathlib import Path

import pytest

from admittance.errors import ConfigurationError, Malformed
from admittance.measuring.folder import AppFolder
from admittance.protocol.integrity.files import FileRange, ListedFile


@pytest.fixture
def app(tmp_path: Path) -> Path:
    root = tmp_path / "app"
    (root / "lib").mkdir(parents=True)
    (root / "main.py").write_bytes(b"main")
    (root / "lib" / "a.py").write_bytes(b"a")
    (root / ".hidden").write_bytes(b"")
    return root


def test_every_file_is_listed_by_path(app: Path) -> None:
    listed = AppFolder(app).listing()
    assert listed == (ListedFile(".hidden", 0), ListedFile("lib/a.py", 1), ListedFile("main.py", 4))


def test_what_python_caches_is_left_out(app: Path) -> None:
    before = AppFolder(app).listing()
    (app / "lib" / "__pycache__").mkdir()
    (app / "lib" / "__pycache__" / "a.pyc").write_bytes(b"cached")
    assert AppFolder(app).listing() == before


def test_a_link_is_refused_whatever_it_leads_to(app: Path) -> None:
    (app / "link").symlink_to(app / "main.py")
    with pytest.raises(Malformed, match="neither a plain file nor a folder"):
        AppFolder(app).listing()


def test_a_linked_folder_is_refused(app: Path, tmp_path: Path) -> None:
    (app / "linked").symlink_to(tmp_path)
    with pytest.raises(Malformed):
        AppFolder(app).listing()


def test_an_empty_folder_is_no_app(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no file"):
        AppFolder(tmp_path).listing()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="gone"):
        AppFolder(tmp_path / "gone").listing()


def test_too_many_bytes_are_refused(app: Path) -> None:
    with (app / "huge").open("wb") as file:
        file.truncate(512 * 1024 * 1024)
    with pytest.raises(Malformed, match="at most"):
        AppFolder(app).listing()


def test_a_range_gives_what_there_is(app: Path) -> None:
    folder = AppFolder(app)
    assert folder.read(FileRange("main.py", 1, 2)) == b"ai"
    assert folder.read(FileRange("main.py", 3, 9)) == b"n"
    assert folder.read(FileRange("gone.py", 0, 9)) == b""
