import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import AuditBroken, ConfigurationError
from admittance.server.audit.journal import Journal

KEY = bytes(range(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    journal = Journal(path, KEY)
    for number in (1, 5, 9):
        journal.append(number, bytes([number]) * 32, 1000 + number)
    return path


def test_checkpoints_are_read_back_in_order(path: Path) -> None:
    found = Journal(path, KEY).read()
    assert [(item.number, item.mac[0], item.at) for item in found] == [(1, 1, 1001), (5, 5, 1005), (9, 9, 1009)]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("line", [0, 1])
def test_line_taken_out_of_the_middle_is_noticed(path: Path, line: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[line]
    path.write_bytes(b"".join(lines))
    with pytest.raises(AuditBroken):
        Journal(path, KEY).read()


@pytest.mark.parametrize("cut", [1, 10, 100])
def test_last_line_torn_by_a_crash_is_left_out_and_mended(path: Path, cut: int) -> None:
    path.write_bytes(path.read_bytes()[:-cut])
    assert [item.number for item in Journal(path, KEY).read()] == [1, 5]
    Journal(path, KEY).append(7, bytes(32), 1007)
    assert [item.number for item in Journal(path, KEY).read()] == [1, 5, 7]


def test_another_key_is_noticed(path: Path) -> None:
    with pytest.raises(AuditBroken):
        Journal(path, bytes(32)).read()


def test_journal_open_to_others_is_refused(path: Path) -> None:
    path.chmod(0o644)
    with pytest.raises(ConfigurationError):
        Journal(path, KEY).read()


@given(content=st.binary(max_size=300))
def test_any_content_reads_or_is_broken(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage"
    path.write_bytes(content)
    path.chmod(0o600)
    with contextlib.suppress(AuditBroken):
        assert Journal(path, KEY).read() == []
