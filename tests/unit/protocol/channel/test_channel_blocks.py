"""Bodies in blocks through a channel, and what a relay can do to them (T15)."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admittance.errors import Conflict, Unavailable
from admittance.protocol.channel.channel import RequestReceived
from admittance.protocol.channel.session import with_token
from admittance.protocol.coap.blockwise import MAX_BODY_BYTES
from admittance.wire.coap import codes, stream
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import BLOCK1, BLOCK2, ETAG, REQUEST_TAG, Block
from tests.unit.protocol.channel.channel_world import Pair, content, get, put, untouched

# One body of each size around the edges of whole messages and of blocks.
SIZES = [0, 1, 3071, 3072, 3073, 4096, 4097, 10_000, MAX_BODY_BYTES - 1, MAX_BODY_BYTES]


def pattern(size: int, seed: int = 0) -> bytes:
    return bytes((seed + position // 7 + position // 1024) % 251 for position in range(size))


def opened(pair: Pair | None = None) -> Pair:
    return (pair or Pair.of()).run()


@pytest.mark.parametrize("size", SIZES)
def test_a_body_goes_and_comes_whole(size: int) -> None:
    pair = opened()
    pair.answer = lambda event: content(event.message.payload[::-1])
    handle = pair.ask(put("/firmware", pattern(size)))
    pair.run()
    assert [message.payload for message in pair.executed] == [pattern(size)]
    (answer,) = pair.answers(handle)
    assert answer.payload == pattern(size)[::-1]
    assert not {BLOCK1, BLOCK2, REQUEST_TAG} & {number for number, _ in (*answer.options, *pair.executed[0].options)}


@given(st.lists(st.integers(0, 9000), min_size=2, max_size=4))
@settings(max_examples=15, deadline=None)
def test_bodies_sent_at_once_to_one_resource_do_not_mix(sizes: list[int]) -> None:
    pair = opened()
    pair.answer = lambda event: content(event.message.payload)
    bodies = [pattern(size, seed) for seed, size in enumerate(sizes)]
    handles = [pair.ask(put("/same", body)) for body in bodies]
    pair.run()
    assert [pair.answers(handle)[0].payload for handle in handles] == bodies
    assert sorted(message.payload for message in pair.executed) == sorted(bodies)


def test_large_answers_asked_for_at_once_do_not_mix() -> None:
    pair = opened()
    bodies = iter([pattern(9000, seed) for seed in range(3)])
    pair.answer = lambda event: content(next(bodies))
    handles = [pair.ask(get("/same")) for _ in range(3)]
    pair.run()
    assert [pair.answers(handle)[0].payload for handle in handles] == [pattern(9000, seed) for seed in range(3)]
    assert len(pair.executed) == 3


def test_a_small_answer_may_be_asked_for_in_blocks() -> None:
    """As a constrained peer does: it names the size that it can take."""
    pair = opened()
    pair.answer = lambda event: content(pattern(300))
    pair.ask(get("/a").with_options((BLOCK2, Block(0, False, 64).encode())))
    pair.run(rounds=40)
    answers = [event for event in pair.app_events if hasattr(event, "more")]
    assert [event.message.payload for event in answers] == [pattern(300)]
    assert len(pair.executed) == 1


class Relay:
    """Holds back what goes one way until it was all seen, and then lets `order` of it through."""

    def __init__(self) -> None:
        self.held: list[bytes] = []

    def __call__(self, data: bytes) -> Iterable[bytes]:
        self.held.append(data)
        return ()


def test_swapped_blocks_of_two_requests_reach_nobody_as_others() -> None:
    pair = opened()
    bodies = [pattern(5000, 1), pattern(5000, 2)]
    handles = [pair.ask(put("/same", body), timeout_s=5) for body in bodies]
    relay = Relay()
    pair.to_device = relay
    for _ in range(12):
        pair.run()
        for data in reversed(relay.held):
            pair.device.receive(stream.decode(data), pair.now)
        relay.held.clear()
        pair.run()
    assert sorted(message.payload for message in pair.executed) == bodies
    assert all(len(pair.answers(handle)) == 1 for handle in handles)


def test_a_missing_block_means_nothing_is_carried_out() -> None:
    pair = opened()
    count = iter(range(100))
    pair.to_device = lambda data: () if next(count) == 2 else (data,)
    handle = pair.ask(put("/firmware", pattern(5000)), timeout_s=5)
    pair.run()
    pair.wait(5)
    assert [type(error) for error in pair.failures(handle)] == [Unavailable]
    assert pair.executed == []


def test_a_block_that_is_sent_twice_counts_once() -> None:
    pair = opened()
    pair.to_device = lambda data: (data, data)
    handle = pair.ask(put("/firmware", pattern(5000)))
    pair.run()
    assert [message.payload for message in pair.executed] == [pattern(5000)]
    assert len(pair.answers(handle)) == 1


def raw(pair: Pair, *messages: CoapMessage) -> list[CoapMessage]:
    """Each message as it is, protected under the pair's keys, and the device's answers."""
    answers = []
    session = pair.app._session
    assert session is not None
    for number, message in enumerate(messages):
        outer, exchange = session.context.protect_request(with_token(message, bytes((1, number))))
        pair.device.receive(outer, pair.now)
        pair.notice()
        answers += [session.context.unprotect_response(answer, exchange) for answer in pair.device.drain()]
    return answers


def block(
    number: int, more: bool, *, size: int = 1024, tag: bytes = b"\x01", length: int | None = None
) -> CoapMessage:
    message = put("/same", pattern(size if length is None else length, number))
    return message.with_options((BLOCK1, Block(number, more, size).encode()), (REQUEST_TAG, tag))


@pytest.mark.parametrize(
    ("blocks", "code"),
    [
        ([block(1, False)], codes.REQUEST_ENTITY_INCOMPLETE),
        ([block(0, True), block(2, False)], codes.REQUEST_ENTITY_INCOMPLETE),
        ([block(0, True), block(1, True), block(1, False)], codes.REQUEST_ENTITY_INCOMPLETE),
        ([block(0, True), block(1, False, tag=b"\x02")], codes.REQUEST_ENTITY_INCOMPLETE),
        ([block(0, True), block(1, False, size=512)], codes.REQUEST_ENTITY_INCOMPLETE),
        ([block(0, True, length=1000)], codes.BAD_REQUEST),
        ([block(0, False, size=16, length=17)], codes.BAD_REQUEST),
        ([block(number, True) for number in range(65)], codes.TOO_LARGE),
        ([put("/same", b"x").with_options((BLOCK1, b"\x07"))], codes.BAD_REQUEST),
        ([put("/same", b"x").with_options((BLOCK1, b"\x00\x00"))], codes.BAD_REQUEST),
    ],
)
def test_blocks_that_do_not_make_a_body_are_refused(blocks: list[CoapMessage], code: int) -> None:
    pair = opened()
    answers = raw(pair, *blocks)
    assert [answer.code for answer in answers] == [codes.CONTINUE] * (len(blocks) - 1) + [code]
    assert pair.executed == []


def test_a_refused_body_may_begin_anew() -> None:
    pair = opened()
    answers = raw(pair, block(0, True), block(2, False), block(1, False), block(0, True), block(1, False))
    assert answers[-1].code == codes.CONTENT
    assert answers[-1].option(BLOCK1) == Block(1, False, 1024).encode()
    assert len(pair.executed) == 1


def test_bodies_under_way_are_bounded() -> None:
    pair = opened()
    answers = raw(pair, *(block(0, True, tag=bytes((tag,))) for tag in range(1, 7)))
    assert {answer.code for answer in answers} == {codes.CONTINUE}
    late = raw(pair, block(1, False, tag=b"\x01"))
    assert late[0].code == codes.REQUEST_ENTITY_INCOMPLETE
    kept = raw(pair, block(1, False, tag=b"\x06"))
    assert kept[0].code == codes.CONTENT


def test_a_body_that_is_not_completed_is_forgotten() -> None:
    pair = opened()
    raw(pair, block(0, True))
    pair.wait(60)
    assert raw(pair, block(1, False))[0].code == codes.REQUEST_ENTITY_INCOMPLETE


def test_a_further_block_of_no_answer_carries_nothing_out() -> None:
    pair = opened()
    answers = raw(pair, get("/a").with_options((BLOCK2, Block(1, False, 1024).encode())))
    assert [answer.code for answer in answers] == [codes.REQUEST_ENTITY_INCOMPLETE]
    assert pair.executed == []


class Answering:
    """A device that answers each request with the next of `messages`, as they are."""

    def __init__(self, pair: Pair, *messages: CoapMessage) -> None:
        self.pair = pair
        self.messages = list(messages)
        pair.to_device = self

    def __call__(self, data: bytes) -> Iterable[bytes]:
        session = self.pair.device._session
        assert session is not None
        request, exchange = session.context.unprotect_request(stream.decode(data))
        if self.messages:
            answer = with_token(self.messages.pop(0), request.token)
            self.pair.app.receive(session.context.protect_response(answer, exchange), self.pair.now)
        return ()


def part(number: int, more: bool, *, etag: bytes = b"e", code: int = codes.CONTENT, size: int = 1024) -> CoapMessage:
    options = ((ETAG, etag), (BLOCK2, Block(number, more, size).encode()))
    return CoapMessage(code, options=options, payload=bytes(size))


@pytest.mark.parametrize(
    "parts",
    [
        [part(0, True), part(2, False)],
        [part(0, True), part(0, True)],
        [part(1, False)],
        [part(0, True), part(1, False, etag=b"f")],
        [part(0, True), part(1, False, code=codes.CHANGED)],
        [part(0, True), part(1, False, size=512)],
        [part(0, True), content(b"something else")],
        [CoapMessage(codes.CONTINUE)],
        [part(number, True) for number in range(65)],
    ],
)
def test_parts_that_do_not_make_an_answer_are_reported(parts: list[CoapMessage]) -> None:
    pair = opened()
    Answering(pair, *parts)
    handle = pair.ask(get("/a"))
    pair.run()
    assert pair.answers(handle) == []
    assert len(pair.failures(handle)) == 1


def test_an_error_while_parts_are_fetched_is_the_answer() -> None:
    pair = opened()
    Answering(pair, part(0, True), CoapMessage(codes.REQUEST_ENTITY_INCOMPLETE))
    handle = pair.ask(get("/a"))
    pair.run()
    assert [answer.code for answer in pair.answers(handle)] == [codes.REQUEST_ENTITY_INCOMPLETE]


def went_on(number: int, size: int) -> CoapMessage:
    return CoapMessage(codes.CONTINUE, options=((BLOCK1, Block(number, True, size).encode()),))


def test_the_peer_may_ask_for_smaller_blocks() -> None:
    pair = opened()
    Answering(pair, went_on(0, 256))
    pair.ask(put("/firmware", pattern(5000)))
    pair.run()
    Answering(pair)
    pair.to_device = untouched
    assert len(pair.sent) == 5 + 1


@pytest.mark.parametrize(
    "answers", [[went_on(1, 1024)], [went_on(0, 1024)] + [went_on(n, 1024) for n in range(1, 6)]]
)
def test_a_peer_that_takes_other_blocks_than_were_sent_is_reported(answers: list[CoapMessage]) -> None:
    pair = opened()
    Answering(pair, *answers)
    handle = pair.ask(put("/firmware", pattern(5000)))
    pair.run()
    assert [type(error) for error in pair.failures(handle)] == [Conflict]


def test_an_early_refusal_of_a_large_body_is_the_answer() -> None:
    pair = opened()
    Answering(pair, CoapMessage(codes.TOO_LARGE))
    handle = pair.ask(put("/firmware", pattern(5000)))
    pair.run()
    assert [answer.code for answer in pair.answers(handle)] == [codes.TOO_LARGE]


def test_a_large_answer_is_what_it_was_when_it_was_asked_for() -> None:
    pair = opened()
    states = iter([pattern(9000, 1), pattern(9000, 2)])
    pair.answer = lambda event: content(next(states))
    handle = pair.ask(get("/state"))
    pair.run()
    assert pair.answers(handle)[0].payload == pattern(9000, 1)
    assert sum(isinstance(event, RequestReceived) for event in pair.device_events) == 1
