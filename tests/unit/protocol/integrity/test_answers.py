"""An answer is good for one challenge, one app, one key, and the bytes that were asked for."""

import hashlib
import hmac
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import IntegrityRefused, Malformed
from admittance.protocol.integrity.answers import Subject, compute, verify
from admittance.protocol.integrity.files import FileRange, ListedFile, check_path, listing_digest
from admittance.wire import cbor

SUBJECT = Subject(challenge=b"c" * 16, nonce=b"n" * 32, client_id="app", version="1.0", jkt="k" * 43)
FILES = {"a.py": b"print(1)\n", "lib/b.py": b"import os\n", "empty": b""}
RANGES = (FileRange("a.py", 2, 5), FileRange("lib/b.py", 0, 10))


def listing(files: dict[str, bytes]) -> list[ListedFile]:
    return [ListedFile(path, len(content)) for path, content in files.items()]


def answer(
    files: dict[str, bytes] = FILES, subject: Subject = SUBJECT, ranges: tuple[FileRange, ...] = RANGES
) -> bytes:
    def read(part: FileRange) -> bytes:
        return files.get(part.path, b"")[part.offset : part.offset + part.length]

    return compute(subject, listing=listing(files), ranges=ranges, read=read)


def test_the_answer_is_what_the_protocol_page_says() -> None:
    entries = [["a.py", 9], ["empty", 0], ["lib/b.py", 10]]
    digest = hashlib.sha256(cbor.encode(["admittance/integrity-listing/1", entries])).digest()
    head = cbor.encode(["admittance/integrity-answer/1", b"c" * 16, "app", "1.0", "k" * 43, digest])
    parts = cbor.encode(["a.py", 2, 5]) + b"int(1" + cbor.encode(["lib/b.py", 0, 10]) + b"import os\n"
    assert answer() == hmac.digest(b"n" * 32, head + parts, "sha256")


@pytest.mark.parametrize(
    "change",
    [
        {"challenge": b"d" * 16},
        {"nonce": b"m" * 32},
        {"client_id": "other"},
        {"version": "1.1"},
        {"jkt": "l" * 43},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_subject_has_another_answer(change: dict[str, str | bytes]) -> None:
    with pytest.raises(IntegrityRefused):
        verify(answer(subject=replace(SUBJECT, **change)), answer())


@pytest.mark.parametrize(
    "files",
    [
        FILES | {"a.py": b"prinT(1)\n"},
        FILES | {"more.py": b""},
        {path: content for path, content in FILES.items() if path != "empty"},
        FILES | {"empty": b"x"},
        {("A.py" if path == "a.py" else path): content for path, content in FILES.items()},
    ],
    ids=["changed byte", "file more", "file less", "other size", "other name"],
)
def test_other_files_have_another_answer(files: dict[str, bytes]) -> None:
    with pytest.raises(IntegrityRefused):
        verify(answer(files), answer())


def test_a_byte_that_is_not_asked_for_is_not_missed() -> None:
    """Why ranges are drawn anew for each challenge, and cover much."""
    verify(answer(FILES | {"a.py": b"Print(1)\n"}), answer())


def test_where_a_range_ends_is_part_of_the_answer() -> None:
    whole, split = (FileRange("a.py", 0, 4),), (FileRange("a.py", 0, 2), FileRange("a.py", 2, 2))
    with pytest.raises(IntegrityRefused):
        verify(answer(ranges=whole), answer(ranges=split))


@given(st.dictionaries(st.text(min_size=1), st.integers(0, 2**40), max_size=5))
def test_the_listing_does_not_depend_on_its_order(sizes: dict[str, int]) -> None:
    files = [ListedFile(path, size) for path, size in sizes.items()]
    assert listing_digest(files) == listing_digest(reversed(files))


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", ".", "../a", "a/../b", "a/./b", "a\x00", "x" * 1025])
def test_paths_that_leave_the_app_are_refused(path: str) -> None:
    with pytest.raises(Malformed):
        check_path(path)
