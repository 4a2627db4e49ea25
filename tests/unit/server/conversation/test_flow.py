from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed, QuotaExceeded, TooLarge
from admittance.server.conversation.flow import MessageFlow
from admittance.wire import relay
from admittance.wire.relay import CloseReason


@dataclass
class RecordedStream:
    """What went to the device."""

    sent: list[tuple[bytes, bool]] = field(default_factory=list)
    granted: list[int] = field(default_factory=list)

    def data(self, fragment: bytes, *, final: bool) -> None:
        self.sent.append((fragment, final))

    def credit(self, frames: int) -> None:
        self.granted.append(frames)

    def close(self, reason: CloseReason) -> None:
        raise AssertionError("stream 0 is never closed")


@given(st.lists(st.binary(min_size=1, max_size=3 * relay.MAX_PAYLOAD_BYTES), max_size=12))
def test_messages_arrive_whole_and_in_order_and_credit_never_runs_out(messages: list[bytes]) -> None:
    there, back = RecordedStream(), RecordedStream()
    sender, taker = MessageFlow(there), MessageFlow(back)
    taken = []
    for message in messages:
        sender.send(message)
        for fragment, final in there.sent:
            whole = taker.take(fragment, final=final)
            if whole is not None:
                taken.append(whole)
        there.sent.clear()
        for frames in back.granted:
            sender.take_credit(frames)
        back.granted.clear()
    assert taken == messages


def test_what_has_no_credit_waits_for_it() -> None:
    stream = RecordedStream()
    flow = MessageFlow(stream)
    for number in range(relay.INITIAL_CREDIT + 2):
        flow.send(bytes([number]))
    assert len(stream.sent) == relay.INITIAL_CREDIT
    flow.take_credit(1)
    assert stream.sent[-1] == (bytes([relay.INITIAL_CREDIT]), True)
    flow.take_credit(5)
    assert len(stream.sent) == relay.INITIAL_CREDIT + 2


def test_no_more_than_262144_bytes_wait() -> None:
    flow = MessageFlow(RecordedStream())
    whole = bytes(relay.MAX_MESSAGE_BYTES)
    for _ in range(8):
        flow.send(whole)
    with pytest.raises(QuotaExceeded):
        flow.send(whole)
    with pytest.raises(TooLarge):
        flow.send(whole + b"\0")


def test_a_device_that_sends_beyond_its_credit_or_too_much_is_malformed() -> None:
    flow = MessageFlow(RecordedStream())
    for _ in range(relay.MAX_MESSAGE_BYTES // relay.MAX_PAYLOAD_BYTES):
        assert flow.take(bytes(relay.MAX_PAYLOAD_BYTES), final=False) is None
    with pytest.raises(Malformed):
        flow.take(b"x", final=True)
    with pytest.raises(Malformed):
        MessageFlow(RecordedStream()).take_credit(relay.MAX_CREDIT)
