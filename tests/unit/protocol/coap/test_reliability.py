"""The message layer over UDP: sent again until acknowledged, delivered once."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Misuse
from admittance.protocol.coap import reliability
from admittance.protocol.coap.reliability import DatagramEndpoint, DeliveryFailed, MessageReceived
from admittance.wire.coap import codes, datagram
from admittance.wire.coap.datagram import Datagram, Type
from admittance.wire.coap.message import CoapMessage

GET = CoapMessage(codes.GET, b"\x01")
CONTENT = CoapMessage(codes.CONTENT, b"\x01", payload=b"21.5")
A, B = ("192.0.2.1", 5683), ("192.0.2.2", 5683)


def zeros(count: int) -> bytes:
    return bytes(count)


def sent(endpoint: DatagramEndpoint) -> list[Datagram]:
    return [datagram.decode(data) for data, _ in endpoint.drain()]


def empty(type_: Type, message_id: int) -> bytes:
    return datagram.encode(Datagram(type_, message_id, CoapMessage(codes.EMPTY)))


def coming(type_: Type, message: CoapMessage, message_id: int = 0x1234) -> bytes:
    return datagram.encode(Datagram(type_, message_id, message))


def carry(
    source: DatagramEndpoint, target: DatagramEndpoint, peer: object, now: float, lost: Callable[[], bool]
) -> None:
    for data, _ in source.drain():
        if not lost():
            target.receive(data, peer, now)


def test_a_request_and_its_response_with_the_acknowledgement() -> None:
    asking, answering = DatagramEndpoint(zeros), DatagramEndpoint(zeros)
    asking.send(GET, B, 0.0)
    carry(asking, answering, A, 0.0, lambda: False)
    assert answering.events() == (MessageReceived(GET, A),)
    answering.send(CONTENT, A, 0.1)
    carry(answering, asking, B, 0.1, lambda: False)
    assert asking.events() == (MessageReceived(CONTENT, B),)
    assert asking.next_timeout() is None
    assert answering.next_timeout() is None
    assert asking.drain() == answering.drain() == ()


def test_a_late_response_is_a_message_of_its_own() -> None:
    asking, answering = DatagramEndpoint(zeros), DatagramEndpoint(zeros)
    asking.send(GET, B, 0.0)
    carry(asking, answering, A, 0.0, lambda: False)
    assert answering.next_timeout() == 0.5
    answering.handle_timeout(0.5)
    carry(answering, asking, B, 0.5, lambda: False)
    assert asking.next_timeout() is None
    assert asking.events() == ()
    answering.send(CONTENT, A, 9.0)
    carry(answering, asking, B, 9.0, lambda: False)
    assert asking.events() == (MessageReceived(CONTENT, B),)
    carry(asking, answering, A, 9.0, lambda: False)
    assert answering.next_timeout() is None


def test_a_message_is_sent_five_times_with_growing_gaps_and_then_fails() -> None:
    endpoint = DatagramEndpoint(zeros)
    endpoint.send(GET, A, 0.0)
    times, datagrams = [0.0], sent(endpoint)
    while (due := endpoint.next_timeout()) is not None:
        endpoint.handle_timeout(due - 0.001)
        assert sent(endpoint) == []
        endpoint.handle_timeout(due)
        repeated = sent(endpoint)
        datagrams += repeated
        times += [due] * len(repeated)
    assert times == [0.0, 2.0, 6.0, 14.0, 30.0]
    assert datagrams == [datagrams[0]] * 5
    assert endpoint.events() == (DeliveryFailed(GET.token, A),)


def test_the_first_gap_is_spread_to_half_as_much_again() -> None:
    endpoint = DatagramEndpoint(lambda count: b"\xff" * count)
    endpoint.send(GET, A, 0.0)
    assert endpoint.next_timeout() == 3.0


@given(st.lists(st.booleans(), max_size=40), st.booleans())
def test_whatever_is_lost_a_request_is_delivered_and_answered_once(losses: list[bool], answers_at_once: bool) -> None:
    asking, answering = DatagramEndpoint(zeros), DatagramEndpoint(zeros)
    draws, budget = iter(losses), iter(range(reliability.MAX_RETRANSMIT))

    def lose() -> bool:
        return next(draws, False) and next(budget, None) is not None

    requests, responses, now = [], [], 0.0
    asking.send(GET, B, now)
    for _ in range(40):
        carry(asking, answering, A, now, lose)
        for event in answering.events():
            requests.append(event)
            if answers_at_once:
                answering.send(CONTENT, A, now)
        carry(answering, asking, B, now, lose)
        responses += asking.events()
        due = [time for time in (asking.next_timeout(), answering.next_timeout()) if time is not None]
        now = min(due, default=now)
        for endpoint in (asking, answering):
            endpoint.handle_timeout(now)
    assert requests == [MessageReceived(GET, A)]
    assert responses == ([MessageReceived(CONTENT, B)] if answers_at_once else [])


@pytest.mark.parametrize("type_", [Type.CONFIRMABLE, Type.NON_CONFIRMABLE])
def test_a_repeated_request_is_delivered_once_and_answered_as_before(type_: Type) -> None:
    endpoint = DatagramEndpoint(zeros)
    endpoint.receive(coming(type_, GET), A, 0.0)
    endpoint.receive(coming(type_, GET), A, 0.1)
    assert endpoint.events() == (MessageReceived(GET, A),)
    assert endpoint.drain() == ()
    endpoint.send(CONTENT, A, 0.2)
    first = sent(endpoint)
    endpoint.receive(coming(type_, GET), A, 3.0)
    assert endpoint.events() == ()
    assert sent(endpoint) == (first if type_ is Type.CONFIRMABLE else [])


def test_a_message_id_is_used_again_after_its_lifetime() -> None:
    endpoint = DatagramEndpoint(zeros)
    for now in (0.0, 247.0, 247.1):
        endpoint.receive(coming(Type.NON_CONFIRMABLE, GET), A, now)
    assert endpoint.events() == (MessageReceived(GET, A),) * 2


def test_the_same_message_id_of_another_peer_is_another_message() -> None:
    endpoint = DatagramEndpoint(zeros)
    for peer in (A, B):
        endpoint.receive(coming(Type.CONFIRMABLE, GET), peer, 0.0)
    assert endpoint.events() == (MessageReceived(GET, A), MessageReceived(GET, B))


def test_a_non_confirmable_request_gets_a_non_confirmable_response() -> None:
    endpoint = DatagramEndpoint(zeros)
    endpoint.receive(coming(Type.NON_CONFIRMABLE, GET), A, 0.0)
    assert endpoint.next_timeout() is None
    endpoint.send(CONTENT, A, 5.0)
    assert [answer.type for answer in sent(endpoint)] == [Type.NON_CONFIRMABLE]


def test_notifications_are_confirmable_or_not_as_asked() -> None:
    endpoint = DatagramEndpoint(zeros)
    endpoint.send(CONTENT, A, 0.0, confirmable=False)
    endpoint.send(CONTENT, A, 0.0)
    assert [notification.type for notification in sent(endpoint)] == [Type.NON_CONFIRMABLE, Type.CONFIRMABLE]


def test_a_reset_fails_the_message() -> None:
    endpoint = DatagramEndpoint(zeros)
    endpoint.send(CONTENT, A, 0.0)
    endpoint.receive(empty(Type.RESET, sent(endpoint)[0].message_id), A, 0.1)
    assert endpoint.events() == (DeliveryFailed(CONTENT.token, A),)
    assert endpoint.next_timeout() is None


def test_a_response_tells_that_its_request_arrived() -> None:
    endpoint = DatagramEndpoint(zeros)
    endpoint.send(GET, A, 0.0)
    endpoint.drain()
    endpoint.receive(coming(Type.CONFIRMABLE, CONTENT, 7), A, 0.1)
    assert endpoint.events() == (MessageReceived(CONTENT, A),)
    assert endpoint.next_timeout() is None
    assert endpoint.drain() == ((empty(Type.ACKNOWLEDGEMENT, 7), A),)


@pytest.mark.parametrize("message_id", [1, 0xFFFF])
def test_what_acknowledges_nothing_is_ignored(message_id: int) -> None:
    endpoint = DatagramEndpoint(zeros)
    endpoint.send(GET, A, 0.0)
    endpoint.drain()
    for data in (
        empty(Type.ACKNOWLEDGEMENT, message_id),
        empty(Type.RESET, message_id),
        coming(Type.ACKNOWLEDGEMENT, CONTENT, message_id),
    ):
        endpoint.receive(data, A, 0.1)
        endpoint.receive(data, B, 0.1)
    assert endpoint.events() == ()
    assert endpoint.drain() == ()
    assert endpoint.next_timeout() == 2.0


def test_a_ping_is_reset() -> None:
    endpoint = DatagramEndpoint(zeros)
    endpoint.receive(empty(Type.CONFIRMABLE, 9), A, 0.0)
    assert endpoint.drain() == ((empty(Type.RESET, 9), A),)
    assert endpoint.events() == ()


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        ("40010009ff", "70000009"),
        ("4f010009", "70000009"),
        ("50010009ff", None),
        ("60450009ff", None),
        ("80010009", None),
        ("40", None),
        ("", None),
    ],
)
def test_what_does_not_decode_is_reset_if_it_is_confirmable(data: str, answer: str | None) -> None:
    endpoint = DatagramEndpoint(zeros)
    endpoint.receive(bytes.fromhex(data), A, 0.0)
    assert [outgoing.hex() for outgoing, _ in endpoint.drain()] == ([answer] if answer else [])
    assert endpoint.events() == ()


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_no_datagram_raises(received: list[bytes]) -> None:
    endpoint = DatagramEndpoint(zeros)
    for data in received:
        endpoint.receive(data, A, 0.0)
        endpoint.receive(b"\x40" + data, A, 0.0)


def test_four_messages_are_in_flight_and_others_wait() -> None:
    endpoint = DatagramEndpoint(zeros)
    messages = [CoapMessage(codes.GET, bytes([number])) for number in range(6)]
    for message in messages:
        endpoint.send(message, A, 0.0)
    first = sent(endpoint)
    assert [outgoing.message for outgoing in first] == messages[:4]
    endpoint.receive(empty(Type.ACKNOWLEDGEMENT, first[0].message_id), A, 1.0)
    assert [outgoing.message for outgoing in sent(endpoint)] == messages[4:5]


def test_a_full_queue_fails_the_newest() -> None:
    endpoint = DatagramEndpoint(zeros)
    for number in range(reliability.MAX_IN_FLIGHT + reliability.MAX_QUEUED + 1):
        endpoint.send(CoapMessage(codes.GET, bytes([number])), A, 0.0)
    assert endpoint.events() == (DeliveryFailed(bytes([68]), A),)


def test_what_fits_no_datagram_is_misuse_at_once() -> None:
    endpoint = DatagramEndpoint(zeros)
    for number in range(reliability.MAX_IN_FLIGHT):
        endpoint.send(CoapMessage(codes.GET, bytes([number])), A, 0.0)
    with pytest.raises(Misuse):
        endpoint.send(CoapMessage(codes.POST, payload=bytes(2000)), A, 0.0)


def test_strangers_do_not_push_out_who_is_talked_to() -> None:
    endpoint = DatagramEndpoint(zeros)
    endpoint.send(GET, A, 0.0)
    message_id = sent(endpoint)[0].message_id
    for number in range(reliability.MAX_PEERS * 2):
        endpoint.receive(coming(Type.NON_CONFIRMABLE, GET), ("198.51.100.1", number), 0.1)
    endpoint.events()
    endpoint.receive(coming(Type.ACKNOWLEDGEMENT, CONTENT, message_id), A, 0.2)
    assert endpoint.events() == (MessageReceived(CONTENT, A),)


def test_when_all_are_talked_to_the_longest_unused_fails() -> None:
    endpoint = DatagramEndpoint(zeros)
    for number in range(reliability.MAX_PEERS + 1):
        endpoint.send(GET, ("198.51.100.1", number), 0.0)
    assert endpoint.events() == (DeliveryFailed(GET.token, ("198.51.100.1", 0)),)


def test_memory_of_one_peer_is_bounded() -> None:
    endpoint = DatagramEndpoint(zeros)
    count = reliability.MAX_REMEMBERED + 1
    for number in range(count):
        message = CoapMessage(codes.GET, number.to_bytes(2, "big"))
        endpoint.receive(coming(Type.CONFIRMABLE, message, number), A, 0.0)
    assert len(endpoint.events()) == count
    endpoint.receive(coming(Type.CONFIRMABLE, CoapMessage(codes.GET, b"\0\1"), 1), A, 0.0)
    assert endpoint.events() == ()
    endpoint.handle_timeout(0.5)
    assert len(endpoint.drain()) == reliability.MAX_REMEMBERED


def test_a_forgotten_peer_is_not_sent_to_again() -> None:
    endpoint = DatagramEndpoint(zeros)
    endpoint.send(GET, A, 0.0)
    endpoint.drain()
    endpoint.forget(A)
    endpoint.forget(B)
    assert endpoint.next_timeout() is None
    assert endpoint.events() == ()
