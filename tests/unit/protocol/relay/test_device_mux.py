import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from admittance.errors import Malformed, Misuse, QuotaExceeded, TooLarge
from admittance.protocol.relay.device_mux import (
    MAX_QUEUED_BYTES,
    DeviceMux,
    StreamClosed,
    StreamMessage,
    StreamOpened,
)
from admittance.wire import relay
from admittance.wire.relay import CloseReason, Frame


def data(stream: int, payload: bytes = b"x", *, final: bool = True) -> bytes:
    return relay.data_frame(stream, payload, final=final)


def sent(mux: DeviceMux) -> list[Frame]:
    return [frame for batch in mux.drain() for frame in relay.decode_frames(batch)]


@pytest.fixture
def mux() -> DeviceMux:
    """With stream 1 open."""
    machine = DeviceMux()
    machine.receive(relay.open_frame(1))
    machine.events()
    return machine


def test_a_message_in_fragments_is_told_once_and_whole() -> None:
    mux = DeviceMux()
    mux.receive(relay.open_frame(7) + data(7, b"ab", final=False) + data(7, b"cd", final=False))
    mux.receive(data(7, b"ef"))
    assert mux.events() == (StreamOpened(7), StreamMessage(7, b"abcdef"))
    assert mux.events() == ()


def test_fragments_of_two_streams_may_come_between_each_other(mux: DeviceMux) -> None:
    mux.receive(relay.open_frame(2))
    mux.receive(data(1, b"a", final=False) + data(2, b"A", final=False) + data(1, b"b") + data(2, b"B"))
    assert mux.events() == (StreamOpened(2), StreamMessage(1, b"ab"), StreamMessage(2, b"AB"))


def test_stream_0_is_open_from_the_start() -> None:
    mux = DeviceMux()
    mux.receive(data(0, b"from the server"))
    mux.send(0, b"to the server")
    assert mux.events() == (StreamMessage(0, b"from the server"),)
    assert sent(mux) == [Frame(0, relay.DATA, b"to the server")]


@pytest.mark.parametrize("again", [1, 5])
def test_a_stream_is_never_opened_twice(again: int) -> None:
    mux = DeviceMux()
    mux.receive(relay.open_frame(5))
    with pytest.raises(Malformed):
        mux.receive(relay.open_frame(again))


def test_frames_of_a_stream_that_was_never_opened_are_malformed(mux: DeviceMux) -> None:
    with pytest.raises(Malformed):
        mux.receive(data(2))


def test_frames_of_a_stream_that_ended_are_ignored(mux: DeviceMux) -> None:
    mux.close(1)
    mux.receive(data(1) + relay.credit_frame(1, 5) + relay.close_frame(1, CloseReason.NORMAL))
    assert mux.events() == ()
    assert sent(mux) == [Frame(1, relay.CLOSE, b"\0")]


def test_credit_is_granted_again_in_batches(mux: DeviceMux) -> None:
    mux.receive(data(1) * 15)
    assert sent(mux) == []
    mux.receive(data(1))
    assert sent(mux) == [Frame(1, relay.CREDIT, b"\0\x10")]


def test_a_node_may_send_as_much_as_it_is_given(mux: DeviceMux) -> None:
    for _ in range(10):
        mux.receive(data(1) * 32)
        assert sent(mux) == [Frame(1, relay.CREDIT, b"\0\x20")]
    assert len([event for event in mux.events() if isinstance(event, StreamMessage)]) == 320


def test_a_node_that_sends_beyond_its_credit_is_refused(mux: DeviceMux) -> None:
    mux.receive(data(1) * 32)
    with pytest.raises(Malformed):
        mux.receive(data(1))


def test_messages_wait_for_credit_and_go_out_in_order(mux: DeviceMux) -> None:
    for number in range(40):
        mux.send(1, bytes((number,)))
    first = sent(mux)
    mux.receive(relay.credit_frame(1, 5))
    second = sent(mux)
    mux.receive(relay.credit_frame(1, 500))
    third = sent(mux)
    assert [len(part) for part in (first, second, third)] == [32, 5, 3]
    assert [frame.payload[0] for frame in first + second + third] == list(range(40))


def test_a_stream_without_credit_does_not_hold_up_another(mux: DeviceMux) -> None:
    mux.receive(relay.open_frame(2))
    for _ in range(40):
        mux.send(1, b"slow")
    mux.send(2, b"quick")
    assert sent(mux)[-1] == Frame(2, relay.DATA, b"quick")


def test_a_long_message_goes_out_in_fragments(mux: DeviceMux) -> None:
    mux.send(1, bytes(relay.MAX_MESSAGE_BYTES))
    frames = sent(mux)
    assert [frame.type for frame in frames] == [relay.MORE] * 7 + [relay.DATA]
    assert sum(len(frame.payload) for frame in frames) == relay.MAX_MESSAGE_BYTES


def test_what_waits_for_credit_is_bounded(mux: DeviceMux) -> None:
    credit_bytes = relay.INITIAL_CREDIT * relay.MAX_PAYLOAD_BYTES
    for _ in range((credit_bytes + MAX_QUEUED_BYTES) // relay.MAX_MESSAGE_BYTES):
        mux.send(1, bytes(relay.MAX_MESSAGE_BYTES))
    with pytest.raises(QuotaExceeded):
        mux.send(1, b"x")
    assert len(sent(mux)) == relay.INITIAL_CREDIT


def test_messages_of_impossible_sizes_are_not_sent(mux: DeviceMux) -> None:
    with pytest.raises(Misuse):
        mux.send(1, b"")
    with pytest.raises(TooLarge):
        mux.send(1, bytes(relay.MAX_MESSAGE_BYTES + 1))


def test_a_message_that_grows_too_long_is_malformed(mux: DeviceMux) -> None:
    part = data(1, bytes(relay.MAX_PAYLOAD_BYTES), final=False)
    for _ in range(8):
        mux.receive(part)
    with pytest.raises(Malformed):
        mux.receive(data(1))


def test_too_much_credit_is_malformed(mux: DeviceMux) -> None:
    with pytest.raises(Malformed):
        mux.receive(relay.credit_frame(1, 65535))


def test_a_closed_stream_is_told_and_takes_nothing_more(mux: DeviceMux) -> None:
    mux.receive(relay.close_frame(1, CloseReason.IDLE))
    mux.send(1, b"late")
    mux.close(1)
    assert mux.events() == (StreamClosed(1, CloseReason.IDLE),)
    assert sent(mux) == []


def test_more_streams_than_allowed_are_closed_at_once() -> None:
    mux = DeviceMux(max_streams=2)
    for stream in (1, 2, 3):
        mux.receive(relay.open_frame(stream))
    assert mux.events() == (StreamOpened(1), StreamOpened(2))
    assert sent(mux) == [Frame(3, relay.CLOSE, bytes((CloseReason.QUOTA,)))]
    assert mux.streams == (0, 1, 2)


def test_stream_0_cannot_be_closed() -> None:
    with pytest.raises(Misuse):
        DeviceMux().close(0)


def test_losing_the_connection_ends_every_stream(mux: DeviceMux) -> None:
    mux.send(1, b"unsent")
    mux.lost()
    mux.send(1, b"late")
    mux.send(0, b"late")
    assert mux.events() == (StreamClosed(1, CloseReason.UNAVAILABLE),)
    assert mux.drain() == ()


@given(st.lists(st.binary(min_size=1, max_size=relay.MAX_PAYLOAD_BYTES), min_size=1, max_size=30))
def test_binary_messages_are_never_longer_than_allowed(messages: list[bytes]) -> None:
    mux = DeviceMux()
    for each in messages:
        mux.send(0, each)
    batches = mux.drain()
    assert all(len(batch) <= relay.MAX_BATCH_BYTES for batch in batches)
    assert [frame.payload for batch in batches for frame in relay.decode_frames(batch)] == messages


@given(st.binary(max_size=120))
def test_any_bytes_are_taken_or_malformed(junk: bytes) -> None:
    mux = DeviceMux()
    try:
        mux.receive(junk)
    except Malformed:
        return
    mux.events()
    sent(mux)


class HonestNode(RuleBasedStateMachine):
    """A node that keeps to the rules: whatever the order, all arrives once and in order, within the credit."""

    def __init__(self) -> None:
        super().__init__()
        self.mux = DeviceMux()
        self.mux.receive(relay.open_frame(1))
        self.mux.events()
        self.may_send = self.taken = 0
        self.may_send = relay.INITIAL_CREDIT
        self.granted = relay.INITIAL_CREDIT
        self.sent: list[bytes] = []
        self.got: list[bytes] = []
        self.wanted: list[bytes] = []
        self.parts: list[bytes] = []
        self.told: list[bytes] = []

    @rule(payload=st.binary(min_size=1, max_size=40), final=st.booleans())
    def node_sends(self, payload: bytes, final: bool) -> None:
        if self.may_send:
            self.may_send -= 1
            self.parts.append(payload)
            if final:
                self.told.append(b"".join(self.parts))
                self.parts = []
            self.mux.receive(data(1, payload, final=final))

    @rule(size=st.integers(1, 3 * relay.MAX_PAYLOAD_BYTES))
    def device_sends(self, size: int) -> None:
        message = len(self.wanted).to_bytes(4) + bytes(size)
        try:
            self.mux.send(1, message)
        except QuotaExceeded:
            return
        self.wanted.append(message)

    @rule(frames=st.integers(1, 20))
    def node_grants(self, frames: int) -> None:
        self.granted += frames
        self.mux.receive(relay.credit_frame(1, frames))

    @rule()
    def node_reads(self) -> None:
        for frame in sent(self.mux):
            if frame.type == relay.CREDIT:
                self.may_send += frame.credit
                continue
            self.taken += 1
            self.sent.append(frame.payload)
            if frame.type == relay.DATA:
                self.got.append(b"".join(self.sent))
                self.sent = []

    @invariant()
    def in_order_and_within_credit(self) -> None:
        assert self.taken <= self.granted
        assert self.may_send <= relay.INITIAL_CREDIT
        assert self.got == self.wanted[: len(self.got)]
        events = self.mux.events()
        assert [event.data for event in events if isinstance(event, StreamMessage)] == self.told
        self.told = []


TestHonestNode = HonestNode.TestCase
