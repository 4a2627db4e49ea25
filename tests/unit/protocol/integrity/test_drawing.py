"""Every byte may be asked for, every file is, and nothing that is not there."""

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.protocol.integrity.drawing import SEGMENT_BYTES, draw
from admittance.protocol.integrity.files import FileRange, ListedFile

SEED = bytes(32)

sizes = st.integers(0, 3 * SEGMENT_BYTES + 1)
apps = st.lists(sizes, min_size=1, max_size=20).map(
    lambda each: [ListedFile(f"f/{number}", size) for number, size in enumerate(each)]
)
percents = st.integers(60, 100)
seeds = st.binary(min_size=32, max_size=32)


@given(apps, percents, seeds)
def test_ranges_lie_within_their_files_in_order_and_apart(app: list[ListedFile], percent: int, seed: bytes) -> None:
    size = {file.path: file.size for file in app}
    last = FileRange("", 0, 0)
    for part in draw(app, coverage_percent=percent, randomness=seed):
        assert part.length > 0
        assert part.offset + part.length <= size[part.path]
        if part.path == last.path:
            assert part.offset >= last.offset + last.length
        else:
            assert part.path > last.path
        last = part


@given(apps, percents, seeds)
def test_the_coverage_holds_for_the_app_and_for_every_file(app: list[ListedFile], percent: int, seed: bytes) -> None:
    asked: Counter[str] = Counter()
    for part in draw(app, coverage_percent=percent, randomness=seed):
        asked[part.path] += part.length
    for file in app:
        assert asked[file.path] * 100 >= file.size * percent
        assert (asked[file.path] > 0) == (file.size > 0)


@given(apps, seeds)
def test_full_coverage_asks_for_every_byte(app: list[ListedFile], seed: bytes) -> None:
    asked = sum(part.length for part in draw(app, coverage_percent=100, randomness=seed))
    assert asked == sum(file.size for file in app)


@given(apps, percents, seeds)
def test_the_same_randomness_draws_the_same_ranges_whatever_the_order(
    app: list[ListedFile], percent: int, seed: bytes
) -> None:
    assert draw(app, coverage_percent=percent, randomness=seed) == draw(
        reversed(app), coverage_percent=percent, randomness=seed
    )


@pytest.mark.parametrize("size", [5, 100, SEGMENT_BYTES, SEGMENT_BYTES + 7])
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_each_byte_is_asked_for_as_often_as_the_coverage_says(size: int, where: str) -> None:
    """2000 draws at 60 %: 1200 expected, and 5 standard deviations are 110."""
    at = {"first": 0, "middle": size // 2, "last": size - 1}[where]
    found = 0
    for number in range(2000):
        seed = hashlib.sha256(number.to_bytes(4, "big")).digest()
        parts = draw([ListedFile("a", size)], coverage_percent=60, randomness=seed)
        found += any(part.offset <= at < part.offset + part.length for part in parts)
    segment = min(size - at // SEGMENT_BYTES * SEGMENT_BYTES, SEGMENT_BYTES)
    expected = 2000 * -(-segment * 60 // 100) / segment
    assert abs(found - expected) <= 110


def test_other_randomness_draws_other_ranges() -> None:
    app = [ListedFile("a", 10_000), ListedFile("b", 10_000)]
    drawn = {draw(app, coverage_percent=60, randomness=bytes([number]) * 32) for number in range(100)}
    assert len(drawn) == 100
