"""Chunks: splitting, assembling, and what is no chunk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.wire import cbor, chunks
from admittance.wire.chunks import Assembler, Chunk

CONTENT = st.binary(min_size=1, max_size=2000)


@given(CONTENT, st.integers(0, 2**32 - 1), st.integers(1, 500))
def test_what_was_split_is_assembled(content: bytes, chunk_id: int, chunk_bytes: int) -> None:
    parts = chunks.split(content, chunk_id, chunk_bytes)
    assert all(len(part.data) <= chunk_bytes for part in parts)
    assembler = Assembler(chunks.decode(chunks.encode(parts[0])))
    for part in parts[1:]:
        assert assembler.message is None
        assembler.add(chunks.decode(chunks.encode(part)))
    assert assembler.message == content


@given(st.binary(max_size=200))
def test_decoder_raises_malformed_and_nothing_else(data: bytes) -> None:
    try:
        chunk = chunks.decode(data)
    except Malformed:
        return
    assert chunks.encode(chunk) == data


@given(CONTENT, st.integers(1, 100), st.data())
def test_only_the_next_chunk_is_taken(content: bytes, chunk_bytes: int, data: st.DataObject) -> None:
    parts = chunks.split(content, 1, chunk_bytes)
    taken = data.draw(st.integers(1, len(parts)))
    assembler = Assembler(parts[0])
    for part in parts[1:taken]:
        assembler.add(part)
    for wrong in parts[:taken] + parts[taken + 1 :]:
        with pytest.raises(Malformed):
            assembler.add(wrong)


@pytest.mark.parametrize(
    "fields",
    [
        [1, 10, 6, b"12345"],
        [1, 3, 0, b"12345"],
        [1, 16385, 0, b"x"],
        [1, 20000, 16384, b""],
        [-1, 5, 0, b"12345"],
        [2**32, 5, 0, b"12345"],
        [1, -5, 0, b""],
        [1, 5, -1, b""],
        [1, 5, 0],
        [1, 5, 0, b"12345", 0],
        [1, 5, 0, "12345"],
        ["1", 5, 0, b"12345"],
        [1, 4000, 0, b"x" * 3501],
    ],
)
def test_what_is_no_chunk(fields: list[object]) -> None:
    with pytest.raises(Malformed):
        chunks.decode(cbor.encode(fields))


@pytest.mark.parametrize("size", [0, 16385])
def test_messages_have_bounds(size: int) -> None:
    with pytest.raises(Malformed):
        chunks.split(b"x" * size, 1, 3500)


def test_the_largest_message_travels() -> None:
    parts = chunks.split(b"x" * 16384, 2**32 - 1, chunks.HTTP_CHUNK_BYTES)
    assert max(len(chunks.encode(part)) for part in parts) + 16 <= 4096
    small = chunks.split(b"x" * 16384, 2**32 - 1, chunks.BLE_CHUNK_BYTES)
    assert max(len(chunks.encode(part)) for part in small) + 16 <= 256


@pytest.mark.parametrize("first", [Chunk(1, 5, 0, b""), Chunk(1, 5, 1, b"2345")])
def test_assembling_begins_with_a_first_chunk(first: Chunk) -> None:
    with pytest.raises(Malformed):
        Assembler(first)


@pytest.mark.parametrize(
    "following",
    [Chunk(1, 5, 2, b""), Chunk(2, 5, 2, b"345"), Chunk(1, 6, 2, b"345"), Chunk(1, 5, 3, b"45")],
)
def test_chunks_of_another_message_are_refused(following: Chunk) -> None:
    assembler = Assembler(Chunk(1, 5, 0, b"12"))
    with pytest.raises(Malformed):
        assembler.add(following)


@pytest.mark.parametrize("offset", [-1, 5, 6])
def test_no_part_outside_of_the_message(offset: int) -> None:
    with pytest.raises(Malformed):
        chunks.part(b"12345", 1, offset, 10)
