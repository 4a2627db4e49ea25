"""Links between nodes: what is lost is noticed, and no stream goes on with a hole in it."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import AdmittanceError, DeviceOffline, Malformed, QuotaExceeded, Unavailable
from admittance.server.relay import links
from admittance.server.relay.link_frames import (
    Frame,
    Header,
    Kind,
    decode,
    encode_frame,
    encode_header,
)
from admittance.server.relay.links import Link
from admittance.server.relay.ports import Stream, StreamSink
from admittance.wire.relay import CloseReason

ONE, TWO = "01" * 8, "02" * 8
LAMP = "ADLAMP"


class End:
    """Either end of a stream: what it got, as a sink of the app or as the stream of a device."""

    def __init__(self) -> None:
        self.got: list[object] = []

    def data(self, fragment: bytes, *, final: bool) -> None:
        self.got.append((fragment, final))

    def credit(self, frames: int) -> None:
        self.got.append(frames)

    def closed(self, reason: CloseReason) -> None:
        self.got.append(reason)

    def close(self, reason: CloseReason) -> None:
        self.got.append(reason)

    @property
    def is_over(self) -> bool:
        return bool(self.got) and isinstance(self.got[-1], CloseReason)


class Node:
    """One node of a pair. `lose` drops what it sends."""

    def __init__(self, own_id: str, peer_id: str, sessions: "count[int]") -> None:
        self.own_id = own_id
        self.lose = False
        self.wire: list[bytes] = []
        self.devices: list[End] = []
        self.sinks: list[StreamSink] = []
        self.refusal: Exception | None = None
        self.link = Link(
            own_id=own_id,
            peer_id=peer_id,
            send=self._send,
            open_device=self._open,
            new_session=lambda: next(sessions),
        )

    def _send(self, batch: bytes) -> None:
        if not self.lose:
            self.wire.append(batch)

    async def _open(self, device_id: str, sink: StreamSink) -> Stream:
        assert device_id == LAMP
        if self.refusal is not None:
            raise self.refusal
        device = End()
        self.devices.append(device)
        self.sinks.append(sink)
        return device


class Pair:
    """Two nodes. Batches travel when `settle` is called."""

    def __init__(self) -> None:
        sessions = count(1)
        self.one, self.two = Node(ONE, TWO, sessions), Node(TWO, ONE, sessions)

    def deliver(self) -> bool:
        moved = False
        for sender, receiver in ((self.one, self.two), (self.two, self.one)):
            while sender.wire:
                receiver.link.receive(*decode(sender.wire.pop(0)))
                moved = True
        return moved

    async def settle(self) -> None:
        for _ in range(30):
            await asyncio.sleep(0)
            if not self.deliver():
                await asyncio.sleep(0)

    def beat(self) -> None:
        for node in (self.one, self.two):
            node.link.beat()

    async def open(self, sink: End) -> Stream:
        opening = asyncio.create_task(self.one.link.open(LAMP, sink))
        await self.settle()
        return await opening


def run(work: Callable[[Pair], Awaitable[None]]) -> None:
    async def main() -> None:
        await work(Pair())

    asyncio.run(main())


async def test_a_stream_carries_both_ways_in_order_and_ends_on_both_nodes() -> None:
    pair, app = Pair(), End()
    stream = await pair.open(app)
    device, sink = pair.two.devices[0], pair.two.sinks[0]
    stream.data(b"he", final=False)
    stream.data(b"llo", final=True)
    stream.credit(16)
    sink.data(b"hi", final=True)
    sink.credit(32)
    await pair.settle()
    stream.close(CloseReason.IDLE)
    await pair.settle()
    assert device.got == [(b"he", False), (b"llo", True), 16, CloseReason.IDLE]
    assert app.got == [(b"hi", True), 32]
    assert pair.one.link.stream_count == pair.two.link.stream_count == 0


async def test_the_device_ends_the_stream_and_nothing_follows() -> None:
    pair, app = Pair(), End()
    stream = await pair.open(app)
    sink = pair.two.sinks[0]
    sink.data(b"bye", final=True)
    sink.closed(CloseReason.SUPERSEDED)
    sink.data(b"late", final=True)
    await pair.settle()
    stream.data(b"late", final=True)
    await pair.settle()
    assert app.got == [(b"bye", True), CloseReason.SUPERSEDED]
    assert pair.two.devices[0].got == []


async def test_frames_of_one_turn_share_a_batch() -> None:
    pair = Pair()
    stream = await pair.open(End())
    for number in range(50):
        stream.data(b"%d" % number, final=True)
    await asyncio.sleep(0)
    assert len(pair.one.wire) == 1
    header, frames = decode(pair.one.wire[0])
    assert len(frames) == 50
    assert header.sender == ONE


async def test_a_batch_never_grows_beyond_its_bound() -> None:
    pair = Pair()
    stream = await pair.open(End())
    for _ in range(100):
        stream.data(bytes(8192), final=True)
    await asyncio.sleep(0)
    assert len(pair.one.wire) > 1
    assert max(map(len, pair.one.wire)) <= links.MAX_BATCH_BYTES
    await pair.settle()
    assert len(pair.two.devices[0].got) == 100


async def test_streams_of_both_nodes_with_the_same_number_are_kept_apart() -> None:
    pair, first, second = Pair(), End(), End()
    mine = asyncio.create_task(pair.one.link.open(LAMP, first))
    theirs = asyncio.create_task(pair.two.link.open(LAMP, second))
    await pair.settle()
    (await mine).data(b"from one", final=True)
    (await theirs).data(b"from two", final=True)
    await pair.settle()
    assert pair.two.devices[0].got == [(b"from one", True)]
    assert pair.one.devices[0].got == [(b"from two", True)]


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (DeviceOffline("x"), DeviceOffline),
        (QuotaExceeded("x"), QuotaExceeded),
        (Unavailable("x"), Unavailable),
        (ZeroDivisionError(), Unavailable),
    ],
)
async def test_why_the_device_cannot_be_opened_is_told(refusal: Exception, error: type[AdmittanceError]) -> None:
    pair = Pair()
    pair.two.refusal = refusal
    with pytest.raises(error):
        await pair.open(End())
    assert pair.one.link.stream_count == pair.two.link.stream_count == 0


async def test_an_open_without_answer_fails_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "OPEN_WITHIN_S", 0.01)
    pair = Pair()
    pair.two.lose = True
    opening = asyncio.create_task(pair.one.link.open(LAMP, End()))
    await pair.settle()
    with pytest.raises(Unavailable, match="does not answer"):
        await opening
    await pair.settle()
    assert pair.two.devices[0].got == [CloseReason.UNAVAILABLE]
    assert pair.one.link.stream_count == pair.two.link.stream_count == 0


async def test_an_open_that_is_given_up_before_the_device_answered_is_closed_there() -> None:
    pair, opened = Pair(), asyncio.Event()
    made = pair.two.link._open_device

    async def slowly(device_id: str, sink: StreamSink) -> Stream:
        await opened.wait()
        return await made(device_id, sink)

    pair.two.link._open_device = slowly
    opening = asyncio.create_task(pair.one.link.open(LAMP, End()))
    await pair.settle()
    opening.cancel()
    await pair.settle()
    opened.set()
    await pair.settle()
    assert pair.two.devices[0].got == [CloseReason.NORMAL]
    assert pair.one.link.stream_count == pair.two.link.stream_count == 0


async def test_a_lost_batch_fails_every_stream_on_both_nodes_and_new_ones_open() -> None:
    pair, apps = Pair(), [End(), End()]
    streams = [await pair.open(app) for app in apps]
    pair.one.lose = True
    streams[0].data(b"lost", final=True)
    await pair.settle()
    pair.one.lose = False
    streams[0].data(b"after the hole", final=True)
    await pair.settle()
    assert [app.got for app in apps] == [[CloseReason.UNAVAILABLE]] * 2
    assert [device.got for device in pair.two.devices] == [[CloseReason.UNAVAILABLE]] * 2
    again = await pair.open(End())
    again.data(b"whole", final=True)
    await pair.settle()
    assert pair.two.devices[2].got == [(b"whole", True)]


async def test_the_loss_of_what_was_sent_last_is_noticed_at_the_next_beat() -> None:
    pair, app = Pair(), End()
    stream = await pair.open(app)
    pair.one.lose = True
    stream.data(b"lost", final=True)
    await pair.settle()
    pair.one.lose = False
    pair.beat()
    await pair.settle()
    assert app.got == [CloseReason.UNAVAILABLE]
    assert pair.two.devices[0].got == [CloseReason.UNAVAILABLE]


async def test_a_stream_whose_beginning_was_lost_before_the_peer_was_heard_fails() -> None:
    pair, app = Pair(), End()
    pair.two.lose = True
    opening = asyncio.create_task(pair.one.link.open(LAMP, app))
    await pair.settle()
    pair.two.lose = False
    pair.two.sinks[0].data(b"not the first", final=True)
    await pair.settle()
    with pytest.raises(Unavailable):
        await opening
    assert app.got == []
    assert pair.two.devices[0].got == [CloseReason.UNAVAILABLE]
    assert pair.one.link.stream_count == pair.two.link.stream_count == 0


async def test_what_a_device_says_while_it_is_opened_follows_the_opening() -> None:
    pair, app = Pair(), End()

    async def talkative(device_id: str, sink: StreamSink) -> Stream:
        sink.data(b"first", final=True)
        sink.credit(32)
        await asyncio.sleep(0)
        return End()

    pair.two.link._open_device = talkative
    await pair.open(app)
    assert app.got == [(b"first", True), 32]


async def test_a_quiet_link_says_nothing_after_a_while() -> None:
    pair = Pair()
    await pair.open(End())
    for _ in range(links.CHECKS_AFTER_SENDING):
        pair.beat()
    await pair.settle()
    pair.beat()
    assert pair.one.wire == pair.two.wire == []
    assert pair.one.link.stream_count == 1


async def test_a_node_that_forgot_its_streams_tells_so_when_it_hears_of_them() -> None:
    pair, app = Pair(), End()
    stream = await pair.open(app)
    forgetful = Node(TWO, ONE, count(100))
    pair.two = forgetful
    stream.data(b"to whom?", final=True)
    await pair.settle()
    assert app.got == [CloseReason.UNAVAILABLE]
    assert forgetful.devices == []


async def test_what_belongs_to_the_session_before_is_ignored() -> None:
    pair, app = Pair(), End()
    stream = await pair.open(app)
    stream.data(b"under way", final=True)
    await asyncio.sleep(0)
    pair.two.link.reset("test")
    opening = asyncio.create_task(pair.two.link.open(LAMP, End()))
    await pair.settle()
    assert pair.two.devices[0].got == [CloseReason.UNAVAILABLE]
    assert app.got == [CloseReason.UNAVAILABLE]
    (await opening).data(b"new", final=True)
    await pair.settle()
    assert pair.one.devices[0].got == [(b"new", True)]


async def test_more_openings_at_once_than_there_is_room_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MAX_OPENING", 0)
    with pytest.raises(Unavailable):
        await Pair().open(End())


async def test_stream_numbers_are_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MAX_STREAM", 1)
    pair, first = Pair(), End()
    await pair.open(first)
    await pair.open(End())
    assert first.got == [CloseReason.UNAVAILABLE]
    assert pair.one.link.stream_count == pair.two.link.stream_count == 1


class Conversation:
    """Streams over a pair whose batches get lost, each fragment named by its sender and numbered."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.apps: list[End] = []
        self.opening: list[asyncio.Task[Stream]] = []
        self.sent: list[int] = []
        self.answered: list[int] = []
        self.ended: set[int] = set()

    def step(self, what: str, index: int) -> None:
        pair = self.pair
        if what == "open":
            self.apps.append(End())
            self.sent.append(0)
            self.opening.append(asyncio.create_task(pair.one.link.open(LAMP, self.apps[-1])))
        elif what in ("send", "close") and self.opened(index) is not None:
            stream = self.opened(index)
            assert stream is not None
            if what == "send":
                stream.data(b"%d:%d" % (index, self.sent[index]), final=True)
                self.sent[index] += 1
            else:
                stream.close(CloseReason.NORMAL)
                self.ended.add(index)
        elif what == "answer" and index < len(pair.two.sinks):
            self.answered += [0] * (len(pair.two.sinks) - len(self.answered))
            pair.two.sinks[index].data(b"%d:%d" % (index, self.answered[index]), final=True)
            self.answered[index] += 1
        elif what == "end" and index < len(pair.two.sinks):
            pair.two.sinks[index].closed(CloseReason.NORMAL)
        elif what in ("lose one", "lose two"):
            node = pair.one if what == "lose one" else pair.two
            node.lose = index > 0
        elif what == "beat":
            pair.beat()

    def opened(self, index: int) -> Stream | None:
        task = self.opening[index] if index < len(self.opening) else None
        if task is None or not task.done() or task.cancelled() or task.exception():
            return None
        return task.result()

    async def finish(self) -> None:
        """Lose nothing more, and let the nodes find out what is missing."""
        self.pair.one.lose = self.pair.two.lose = False
        for _ in range(links.CHECKS_AFTER_SENDING + 1):
            await self.pair.settle()
            self.pair.beat()
        for task in self.opening:
            task.cancel()
        await asyncio.gather(*self.opening, return_exceptions=True)
        await self.pair.settle()


def numbers_of(end: End) -> tuple[int, int]:
    """Who sent what this end got, and how many there are, after checking that none is missing between."""
    named = [tuple(map(int, item[0].split(b":"))) for item in end.got if isinstance(item, tuple)]
    assert named == [(named[0][0], number) for number in range(len(named))] if named else True
    return (named[0][0], len(named)) if named else (-1, 0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["open", "open", "send", "send", "answer", "close", "end", "lose one", "lose two", "turn", "turn", "beat"]
        ),
        st.integers(0, 2),
    ),
    max_size=50,
)


@given(STEPS)
def test_whatever_is_lost_no_end_sees_a_hole_and_what_goes_on_is_complete(steps: list[tuple[str, int]]) -> None:
    async def work(pair: Pair) -> None:
        conversation = Conversation(pair)
        for what, index in steps:
            conversation.step(what, index)
            if what == "turn":
                await pair.settle()
        await conversation.finish()
        heard = dict(numbers_of(device) for device in pair.two.devices)
        for index, app in enumerate(conversation.apps):
            device, count_ = numbers_of(app)
            goes_on = conversation.opened(index) is not None and not app.is_over and index not in conversation.ended
            if goes_on:
                assert heard.get(index, 0) == conversation.sent[index]
            if goes_on and count_:
                assert count_ == conversation.answered[device]
        assert pair.one.link.stream_count == pair.two.link.stream_count

    run(work)


@given(
    st.lists(
        st.tuples(st.integers(0, 2**32 - 1), st.sampled_from(list(Kind)), st.booleans(), st.binary(max_size=40)).map(
            lambda values: Frame(*values)
        )
    ),
    st.integers(1, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
)
def test_batches_survive_their_encoding(frames: list[Frame], session: int, peer: int, sequence: int) -> None:
    header = Header(ONE, session, peer, sequence)
    encoded = encode_header(header) + b"".join(
        encode_frame(frame.stream, frame.kind, frame.payload, is_receivers=frame.is_receivers) for frame in frames
    )
    assert decode(encoded) == (header, frames)


@given(st.binary(max_size=120))
def test_bytes_that_are_no_batch_are_malformed(data: bytes) -> None:
    try:
        header, frames = decode(data)
    except Malformed:
        return
    assert header.session
    encoded = [encode_frame(f.stream, f.kind, f.payload, is_receivers=f.is_receivers) for f in frames]
    assert encode_header(header) + b"".join(encoded) == data
