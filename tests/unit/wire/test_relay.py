import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed
from admittance.wire import message, relay
from admittance.wire.relay import CloseCode, CloseReason, Frame

streams = st.integers(0, relay.MAX_STREAM)
app_streams = st.integers(1, relay.MAX_STREAM)
payloads = st.binary(min_size=1, max_size=300)


def encode(frame: Frame) -> bytes:
    return relay.HEADER.pack(frame.stream, len(frame.payload) + 1, frame.type) + frame.payload


frames = (
    st.builds(Frame, app_streams, st.just(relay.OPEN), st.just(b""))
    | st.builds(Frame, streams, st.sampled_from([relay.DATA, relay.MORE]), payloads)
    | st.builds(Frame, streams, st.just(relay.CREDIT), st.integers(1, 65535).map(lambda n: n.to_bytes(2)))
    | st.builds(Frame, app_streams, st.just(relay.CLOSE), st.sampled_from(CloseReason).map(lambda r: bytes((r,))))
)


@given(st.lists(frames, min_size=1, max_size=20))
def test_frames_come_back_as_they_were_sent(sent: list[Frame]) -> None:
    assert relay.decode_frames(b"".join(map(encode, sent))) == sent


@given(st.lists(frames, min_size=1, max_size=4), st.data())
def test_a_message_that_is_cut_off_is_malformed_unless_cut_between_frames(
    sent: list[Frame], data: st.DataObject
) -> None:
    whole = b"".join(map(encode, sent))
    cut = data.draw(st.integers(0, len(whole) - 1))
    boundaries = {len(b"".join(map(encode, sent[:count]))) for count in range(1, len(sent))}
    if cut in boundaries:
        assert relay.decode_frames(whole[:cut]) == sent[: len(relay.decode_frames(whole[:cut]))]
        return
    with pytest.raises(Malformed):
        relay.decode_frames(whole[:cut])


@given(st.binary(max_size=200))
def test_any_bytes_decode_to_frames_that_encode_to_the_same_or_are_malformed(data: bytes) -> None:
    try:
        decoded = relay.decode_frames(data)
    except Malformed:
        return
    assert b"".join(map(encode, decoded)) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encode(Frame(1, 0, b"")),
        encode(Frame(1, 6, b"x")),
        encode(Frame(0, relay.OPEN, b"")),
        encode(Frame(1, relay.OPEN, b"x")),
        encode(Frame(1, relay.DATA, b"")),
        encode(Frame(1, relay.MORE, b"")),
        encode(Frame(1, relay.DATA, bytes(relay.MAX_PAYLOAD_BYTES + 1))),
        encode(Frame(1, relay.CREDIT, b"\0\0")),
        encode(Frame(1, relay.CREDIT, b"\1")),
        encode(Frame(1, relay.CREDIT, b"\0\0\1")),
        encode(Frame(0, relay.CLOSE, b"\0")),
        encode(Frame(1, relay.CLOSE, b"")),
        encode(Frame(1, relay.CLOSE, bytes((len(CloseReason),)))),
        relay.HEADER.pack(1, 0, relay.DATA),
        relay.data_frame(1, bytes(relay.MAX_PAYLOAD_BYTES), final=True) * 2,
    ],
)
def test_what_the_protocol_does_not_know_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        relay.decode_frames(data)


def test_frames_are_as_small_as_their_page_says() -> None:
    assert relay.open_frame(1).hex() == "00000001000101"
    assert relay.data_frame(2, b"ab", final=True).hex() == "000000020003026162"
    assert relay.data_frame(2, b"ab", final=False).hex() == "000000020003036162"
    assert relay.credit_frame(3, 16).hex() == "0000000300030400" + "10"
    assert relay.close_frame(4, CloseReason.IDLE).hex() == "0000000400020505"


def test_credit_and_reason_of_a_frame() -> None:
    credit, close = relay.decode_frames(relay.credit_frame(3, 16) + relay.close_frame(3, CloseReason.REVOKED))
    assert (credit.credit, close.reason) == (16, CloseReason.REVOKED)


@given(st.binary(min_size=1, max_size=3 * relay.MAX_PAYLOAD_BYTES))
def test_fragments_join_to_the_message_and_none_is_too_long(data: bytes) -> None:
    parts = relay.fragments(data)
    assert b"".join(parts) == data
    assert all(1 <= len(part) <= relay.MAX_PAYLOAD_BYTES for part in parts)


@given(st.lists(st.binary(min_size=1, max_size=relay.MAX_PAYLOAD_BYTES), max_size=12))
def test_batches_keep_order_and_size(parts: list[bytes]) -> None:
    joined = relay.batches(parts)
    assert b"".join(joined) == b"".join(parts)
    assert all(0 < len(batch) <= relay.MAX_BATCH_BYTES for batch in joined)


def test_every_reason_has_a_close_code() -> None:
    assert {reason.close_code for reason in CloseReason} <= set(CloseCode)
    assert CloseReason.DRAINING.close_code is CloseCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (relay.retry_after_text(1500), 1500),
        ("retry_after_ms=0", 0),
        ("retry_after_ms=9999999", 3_600_000),
        ("retry_after_ms=99999999999999999999", None),
        ("retry_after_ms=", None),
        ("retry_after_ms=-1", None),
        ("retry_after_ms=1e3", None),
        ("draining", None),
        ("", None),
    ],
)
def test_retry_after_is_read_or_ignored(text: str, expected: int | None) -> None:
    assert relay.parse_retry_after(text) == expected


def test_a_proof_is_bound_to_connection_certificate_device_and_epoch() -> None:
    inputs = {
        relay.proof_input(b"n" * 32, b"c" * 32, "AD1", 1),
        relay.proof_input(b"m" * 32, b"c" * 32, "AD1", 1),
        relay.proof_input(b"n" * 32, b"d" * 32, "AD1", 1),
        relay.proof_input(b"n" * 32, b"c" * 32, "AD2", 1),
        relay.proof_input(b"n" * 32, b"c" * 32, "AD1", 2),
    }
    assert len(inputs) == 5


@pytest.mark.parametrize(
    "value",
    [
        relay.RelayHello(b"n" * 32),
        relay.RelayProof([b"leaf", b"issuer"], "AD1", 3, b"s" * 64),
        relay.RelayAccepted(15, 1_795_000_000),
        relay.RelayTicket(b"t" * 32),
    ],
)
def test_messages_round_trip(value: relay.RelayHello) -> None:
    assert message.decode(message.encode(value), type(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        relay.RelayProof([], "AD1", 3, b"s" * 64),
        relay.RelayProof([b"x"] * 5, "AD1", 3, b"s" * 64),
        relay.RelayProof([b"x"], "AD1", 3, b"s" * 63),
        relay.RelayAccepted(0, 1),
        relay.RelayTicket(b"t" * 31),
    ],
)
def test_messages_out_of_bounds_are_malformed(value: relay.RelayProof) -> None:
    with pytest.raises(Malformed):
        message.decode(message.encode(value), type(value))


def test_a_ticket_is_not_printed() -> None:
    assert "747474" not in repr(relay.RelayTicket(b"t" * 32))
    assert "ttt" not in repr(relay.RelayTicket(b"t" * 32))
