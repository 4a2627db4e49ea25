"""Bodies put together from blocks, without a channel around them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Conflict, Malformed, NotFound, TooLarge
from admittance.protocol.coap.blockwise import (
    LIFETIME_S,
    MAX_BODY_BYTES,
    MAX_TRANSFERS,
    Body,
    Download,
    Downloads,
    Uploads,
    block_of,
    download_block,
    operation_key,
    upload_block,
)
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import (
    BLOCK1,
    BLOCK2,
    CONTENT_FORMAT,
    ETAG,
    OBSERVE,
    REQUEST_TAG,
    SIZE1,
    SIZE2,
    Block,
    encode_uint,
    path_options,
)

SIZES = st.sampled_from([16, 32, 64, 128, 256, 512, 1024])


def request(payload: bytes = b"", code: int = codes.PUT, path: str = "/a") -> CoapMessage:
    return CoapMessage(code, options=(*path_options(path), (CONTENT_FORMAT, b"\x3c")), payload=payload)


def answer(payload: bytes, *options: tuple[int, bytes]) -> CoapMessage:
    return CoapMessage(codes.CONTENT, options=options, payload=payload)


@given(st.binary(max_size=3000), SIZES)
def test_an_upload_comes_out_as_it_went_in(body: bytes, size: int) -> None:
    uploads, whole = Uploads(), None
    for offset in range(0, max(len(body), 1), size):
        assert whole is None
        part = upload_block(request(body), offset, size)
        block = block_of(part, BLOCK1)
        assert block is not None
        whole = uploads.receive(part, block, 0.0)
    assert whole == request(body)
    assert len(uploads) == 0


@given(st.binary(min_size=1, max_size=3000), SIZES)
def test_a_download_comes_out_as_it_went_in(body: bytes, size: int) -> None:
    downloads, download = Downloads(), Download()
    ask = request(code=codes.GET)
    part = downloads.first(ask, answer(body, (ETAG, b"tag")), size, 0.0)
    while True:
        block = block_of(part, BLOCK2)
        assert block is not None
        whole = download.add(part, block)
        if whole is not None:
            break
        following = download_block(ask, download.next_number, download.size)
        asked = block_of(following, BLOCK2)
        assert asked is not None
        part = downloads.further(following, asked, 0.0)
    assert whole == answer(body, (ETAG, b"tag"))


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), SIZES, st.integers(0, 1100)), max_size=8))
def test_a_body_takes_its_blocks_in_order_or_none(blocks: list[tuple[int, bool, int, int]]) -> None:
    body, taken, size = Body(), bytearray(), 0
    for number, more, block_size, length in blocks:
        payload = bytes((number,)) * length
        expected = body.next_number
        try:
            whole = body.add(Block(number, more, block_size), payload)
        except (Conflict, Malformed):
            continue
        assert number == expected
        assert size in (0, block_size)
        size = block_size
        taken += payload
        assert whole == (None if more else bytes(taken))


def test_a_body_has_64_kib_at_most() -> None:
    body = Body()
    for number in range(MAX_BODY_BYTES // 1024):
        body.add(Block(number, True, 1024), bytes(1024))
    with pytest.raises(TooLarge):
        body.add(Block(64, False, 1024), b"x")


def test_an_announced_size_beyond_it_is_refused_at_once() -> None:
    part = request(bytes(16)).with_options((SIZE1, encode_uint(MAX_BODY_BYTES + 1)))
    with pytest.raises(TooLarge):
        Uploads().receive(part, Block(0, True, 16), 0.0)
    with pytest.raises(TooLarge):
        Download().add(answer(bytes(16), (SIZE2, encode_uint(MAX_BODY_BYTES + 1))), Block(0, True, 16))
    with pytest.raises(TooLarge):
        Downloads().first(request(), answer(bytes(MAX_BODY_BYTES + 1)), 1024, 0.0)


def test_operations_are_told_apart_by_path_options_and_tag() -> None:
    ask = request(code=codes.GET)
    same = ask.with_options((BLOCK2, b""), (SIZE2, b""), (OBSERVE, b""))
    assert operation_key(same) == operation_key(ask)
    assert operation_key(ask.with_options((REQUEST_TAG, b"\x01"))) != operation_key(ask)
    assert operation_key(request(code=codes.GET, path="/b")) != operation_key(ask)
    assert operation_key(request(code=codes.POST)) != operation_key(ask)


def test_uploads_live_exactly_so_long() -> None:
    uploads = Uploads()
    for path, now in (("/a", 0.0), ("/b", 1.0)):
        uploads.receive(upload_block(request(bytes(32), path=path), 0, 16), Block(0, True, 16), now)
    assert uploads.receive(upload_block(request(bytes(32)), 16, 16), Block(1, False, 16), LIFETIME_S - 0.001)
    with pytest.raises(Conflict):
        uploads.receive(upload_block(request(bytes(32), path="/b"), 16, 16), Block(1, False, 16), 1.0 + LIFETIME_S)


def test_kept_answers_are_bounded_and_live_exactly_so_long() -> None:
    downloads = Downloads()
    for number in range(MAX_TRANSFERS + 1):
        downloads.first(request(path=f"/{number}"), answer(bytes(40)), 16, 0.0)
    assert len(downloads) == MAX_TRANSFERS
    with pytest.raises(NotFound):
        downloads.further(request(path="/0"), Block(1, False, 16), 1.0)
    downloads.further(request(path="/1"), Block(1, False, 16), LIFETIME_S - 0.001)
    with pytest.raises(NotFound):
        downloads.further(request(path="/1"), Block(1, False, 16), LIFETIME_S)


def test_there_is_no_block_beyond_the_last() -> None:
    downloads = Downloads()
    downloads.first(request(), answer(bytes(40)), 16, 0.0)
    assert downloads.further(request(), Block(2, False, 16), 0.0).payload == bytes(8)
    with pytest.raises(NotFound):
        downloads.further(request(), Block(3, False, 16), 0.0)


def test_a_block_option_that_is_none_is_malformed() -> None:
    for value in (b"\x07", b"\x00\x10", bytes(4)):
        with pytest.raises(Malformed):
            block_of(request().with_options((BLOCK1, value)), BLOCK1)
