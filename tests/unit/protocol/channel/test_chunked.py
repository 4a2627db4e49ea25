"""Messages in chunks: whole, in order, and nothing else."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.protocol.channel.chunked import ChunkedMessages
from admittance.wire import chunks
from admittance.wire.chunks import Chunk
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage

messages = st.builds(
    CoapMessage, st.just(codes.CONTENT), st.binary(max_size=8), st.just(()), st.binary(max_size=2000)
)


@given(st.lists(messages, max_size=4))
def test_messages_come_out_as_they_went_in(sent: list[CoapMessage]) -> None:
    sender, receiver = ChunkedMessages(), ChunkedMessages()
    pieces = [chunk for message in sent for chunk in sender.split(message)]
    assert all(len(piece) <= 197 for piece in pieces)
    assert [each for each in map(receiver.receive, pieces) if each is not None] == sent


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    with suppress(Malformed):
        ChunkedMessages().receive(data)


def test_a_chunk_out_of_order_is_refused() -> None:
    sender = ChunkedMessages()
    first, second, third = sender.split(CoapMessage(codes.CONTENT, b"t", (), bytes(400)))
    for wrong in (second, third):
        with pytest.raises(Malformed):
            ChunkedMessages().receive(wrong)
    receiver = ChunkedMessages()
    receiver.receive(first)
    with pytest.raises(Malformed):
        receiver.receive(third)


def test_a_chunk_of_another_message_or_too_long_is_refused() -> None:
    sender, receiver = ChunkedMessages(), ChunkedMessages()
    receiver.receive(sender.split(CoapMessage(codes.CONTENT, b"t", (), bytes(400)))[0])
    with pytest.raises(Malformed):
        receiver.receive(sender.split(CoapMessage(codes.CONTENT, b"t", (), bytes(400)))[1])
    with pytest.raises(Malformed):
        ChunkedMessages().receive(chunks.encode(Chunk(0, 181, 0, bytes(181))))


def test_what_is_longer_than_16_kib_is_not_sent() -> None:
    with pytest.raises(Malformed):
        ChunkedMessages().split(CoapMessage(codes.CONTENT, b"", (), bytes(16 * 1024)))
