"""A channel whose transport is honest, and what ends it."""

import random

import msgspec
import pytest

from admittance.errors import (
    AlreadyUsed,
    AuthenticationFailed,
    ChannelLost,
    Malformed,
    Misuse,
    NotFound,
    QuotaExceeded,
    Throttled,
    TooLarge,
    Unavailable,
)
from admittance.protocol.channel import handshake, outgoing, session
from admittance.protocol.channel.channel import (
    MAX_BAD_MESSAGES,
    Channel,
    Ended,
    Established,
    RequestFailed,
    RequestReceived,
    ResponseReceived,
)
from admittance.protocol.channel.edhoc import Initiator
from admittance.protocol.channel.half_open import HalfOpen
from admittance.wire.coap import codes, stream
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import IF_MATCH, MAX_AGE, OSCORE, URI_PATH, path_options
from tests.unit.protocol.channel.channel_world import (
    APP_KEY,
    DEVICE_KEY,
    NOW,
    OTHER_KEY,
    Pair,
    content,
    get,
    listing,
    owner,
    put,
)


def opened(pair: Pair | None = None) -> Pair:
    pair = (pair or Pair.of()).run()
    assert pair.app.is_established
    assert pair.device.is_established
    return pair


def test_an_app_opens_a_channel_and_gets_an_answer() -> None:
    pair = Pair.of()
    handle = pair.ask(get("/sensors/temperature"))
    pair.run()
    assert pair.answers(handle) == [content(b"answer")]
    assert pair.app_events[0] == Established(None)
    assert pair.device_events[0] == Established(owner())
    assert [message.path for message in pair.executed] == ["/sensors/temperature"]


def test_both_ends_ask() -> None:
    pair = opened()
    handle = pair.device.request(put("/readings", b"batch"), pair.now)
    pair.carry(pair.device, pair.app, pair.to_app)
    (event,) = pair.app.events()
    assert isinstance(event, RequestReceived)
    assert event.holder is None
    pair.app.respond(event.handle, CoapMessage(codes.CHANGED))
    pair.run()
    assert ResponseReceived(handle, CoapMessage(codes.CHANGED), more=False) in pair.device_events


def test_nothing_but_the_handshake_travels_in_clear() -> None:
    pair = opened()
    pair.sent.clear()
    pair.ask(put("/lock", b"a secret wish"))
    pair.run()
    for data in pair.sent:
        assert b"secret" not in data
        assert b"lock" not in data
        assert b"answer" not in data
        assert stream.decode(data).option(OSCORE) is not None


def test_the_callers_token_comes_back_and_never_travels() -> None:
    pair = opened()
    pair.sent.clear()
    handle = pair.ask(session.with_token(get("/a"), b"mytoken"))
    pair.run()
    assert [answer.token for answer in pair.answers(handle)] == [b"mytoken"]
    assert all(b"mytoken" not in data for data in pair.sent)


def test_many_requests_at_once_are_each_answered_once() -> None:
    pair = Pair.of()
    pair.answer = lambda event: content(event.message.path.encode())
    handles = [pair.ask(get(f"/{number}")) for number in range(100)]
    pair.run()
    for number, handle in enumerate(handles):
        assert [answer.payload for answer in pair.answers(handle)] == [f"/{number}".encode()]
    assert len(pair.executed) == 100


def test_too_many_waiting_requests_are_refused() -> None:
    pair = Pair.of()
    for _ in range(outgoing.MAX_WAITING):
        pair.ask(get("/a"))
    with pytest.raises(QuotaExceeded):
        pair.ask(get("/a"))


def test_requests_beyond_their_limits_are_refused() -> None:
    pair = opened()
    with pytest.raises(TooLarge):
        pair.ask(put("/a", bytes(65537)))
    with pytest.raises(TooLarge):
        pair.ask(CoapMessage(codes.GET, options=path_options("/" + "/".join(["a" * 200] * 3))))


def test_an_answer_that_never_comes_is_reported_once() -> None:
    pair = opened()
    pair.answer = lambda event: None
    handle = pair.ask(put("/lock", b"open"), timeout_s=5)
    pair.run()
    pair.wait(4.9)
    assert pair.failures(handle) == []
    pair.wait(0.1)
    assert [type(error) for error in pair.failures(handle)] == [Unavailable]
    (call,) = [event for event in pair.device_events if isinstance(event, RequestReceived)]
    pair.device.respond(call.handle, content(b"late"))
    pair.run()
    assert pair.answers(handle) == []
    assert pair.app.is_established


def test_a_forgotten_request_is_not_reported() -> None:
    pair = opened()
    pair.answer = lambda event: None
    handle = pair.ask(get("/a"))
    pair.run()
    pair.app.cancel(handle)
    pair.device.respond(max(e.handle for e in pair.device_events if isinstance(e, RequestReceived)), content(b"x"))
    pair.run()
    assert pair.answers(handle) == []
    assert pair.failures(handle) == []


def test_a_lost_transport_fails_what_waits() -> None:
    pair = opened()
    pair.answer = lambda event: None
    handle = pair.ask(put("/lock", b"open"))
    pair.run()
    pair.app.lost(ChannelLost("The relay closed the stream."))
    pair.app.lost(ChannelLost("and again"))
    events = pair.app.events()
    assert [type(event) for event in events] == [RequestFailed, Ended]
    assert isinstance(events[0], RequestFailed)
    assert events[0].handle == handle
    assert isinstance(events[0].error, ChannelLost)
    assert pair.app.next_timeout() is None
    with pytest.raises(ChannelLost):
        pair.ask(get("/a"))


def test_answers_to_a_channel_that_ended_are_without_effect() -> None:
    pair = opened()
    pair.answer = lambda event: None
    pair.ask(get("/a"))
    pair.run()
    (call,) = [event for event in pair.device_events if isinstance(event, RequestReceived)]
    pair.device.lost(ChannelLost("gone"))
    pair.device.respond(call.handle, content(b"x"))
    pair.device.notify(call.handle, content(b"x"))
    pair.device.receive(get("/a"), pair.now)
    assert pair.device.drain() == ()


def test_a_notification_needs_somebody_who_observes() -> None:
    pair = opened()
    pair.answer = lambda event: None
    pair.ask(get("/a"))
    pair.run()
    (call,) = [event for event in pair.device_events if isinstance(event, RequestReceived)]
    with pytest.raises(Misuse):
        pair.device.notify(call.handle, content(b"x"))


def test_an_answer_that_is_too_large_leaves_the_request_open() -> None:
    pair = opened()
    pair.answer = lambda event: None
    handle = pair.ask(get("/a"))
    pair.run()
    (call,) = [event for event in pair.device_events if isinstance(event, RequestReceived)]
    with pytest.raises(TooLarge):
        pair.device.respond(call.handle, content(bytes(65537)))
    pair.device.respond(call.handle, content(b"x"))
    pair.run()
    assert pair.answers(handle) == [content(b"x")]


@pytest.mark.parametrize("option", [(IF_MATCH, b"x"), (9999, b""), (3001, b"x")])
def test_a_critical_option_that_nobody_understands_is_refused(option: tuple[int, bytes]) -> None:
    pair = opened()
    handle = pair.ask(put("/lock", b"open").with_options(option))
    pair.run()
    assert [answer.code for answer in pair.answers(handle)] == [codes.BAD_OPTION]
    assert pair.executed == []


def test_a_path_that_is_none_is_refused() -> None:
    pair = opened()
    handle = pair.ask(CoapMessage(codes.GET, options=((URI_PATH, b".."),)))
    pair.run()
    assert [answer.code for answer in pair.answers(handle)] == [codes.BAD_REQUEST]


def test_requests_that_nobody_answers_are_bounded() -> None:
    pair = opened()
    pair.answer = lambda event: None
    handles = []
    for _ in range(4):
        handles += [pair.ask(get("/a"), timeout_s=5) for _ in range(outgoing.MAX_IN_FLIGHT)]
        pair.run()
        pair.wait(5)
    busy = [answer.code for handle in handles for answer in pair.answers(handle)]
    assert set(busy) == {codes.UNAVAILABLE}
    pair.wait(200)
    handle = pair.ask(get("/a"))
    pair.answer = lambda event: content(b"x")
    pair.run()
    assert pair.answers(handle) == [content(b"x")]


class TestHandshake:
    def test_a_device_that_does_not_list_the_app_refuses_it(self) -> None:
        pair = Pair.of(owner(OTHER_KEY))
        handle = pair.ask(get("/a"))
        pair.run()
        assert [type(error) for error in pair.failures(handle)] == [ChannelLost]
        assert isinstance(pair.app_events[-1], Ended)
        assert isinstance(pair.app_events[-1].error, AuthenticationFailed)
        assert pair.device_events == []

    def test_an_app_accepts_no_other_device(self) -> None:
        pair = Pair.of()
        source = random.Random(1)
        pair.device = Channel.responder(OTHER_KEY, listing(owner()), random=source.randbytes)
        pair.run()
        assert isinstance(pair.app_events[-1], Ended)
        assert isinstance(pair.app_events[-1].error, AuthenticationFailed)
        assert not pair.device.is_established

    def test_a_device_that_says_nothing_is_unavailable(self) -> None:
        pair = Pair.of()
        pair.to_device = lambda data: ()
        pair.run()
        for _ in range(handshake.MAX_ATTEMPTS):
            pair.wait(handshake.ATTEMPT_S)
        assert isinstance(pair.app_events[-1], Ended)
        assert isinstance(pair.app_events[-1].error, Unavailable)
        assert len(pair.sent) == handshake.MAX_ATTEMPTS

    def test_an_attempt_whose_message_got_lost_is_followed_by_another(self) -> None:
        pair = Pair.of()
        pair.to_app = lambda data: ()
        pair.run()
        pair.to_app = lambda data: (data,)
        pair.wait(handshake.ATTEMPT_S)
        assert pair.app.is_established

    def test_a_busy_device_is_asked_again_after_a_pause(self) -> None:
        pair = Pair.of()
        busy = stream.encode
        pair.to_app = lambda data: (busy(CoapMessage(codes.UNAVAILABLE, stream.decode(data).token)),)
        pair.run()
        pair.to_app = lambda data: (data,)
        assert not pair.app.is_established
        pair.wait(handshake.PAUSE_S)
        assert pair.app.is_established

    def test_a_suite_that_is_not_ours_is_answered_with_ours(self) -> None:
        pair = Pair.of()
        message_1 = b"\xf5\x03\x06" + bytes.fromhex("5820") + bytes(32) + b"\x05"
        pair.device.receive(edhoc_request(message_1), NOW)
        (answer,) = pair.device.drain()
        assert (answer.code, answer.payload) == (codes.BAD_REQUEST, b"\x02\x02")

    @pytest.mark.parametrize("payload", [b"", b"\xf5", b"\x05", b"\xf5" * 40, bytes(200), b"\xf5" + bytes(4000)])
    def test_what_is_no_handshake_is_refused(self, payload: bytes) -> None:
        pair = Pair.of()
        pair.device.receive(edhoc_request(payload), NOW)
        (answer,) = pair.device.drain()
        assert (answer.code, answer.payload) == (codes.BAD_REQUEST, b"\x01\x67refused")

    @pytest.mark.parametrize(
        "request_", [get("/.well-known/edhoc"), get("/lock"), put("/lock", b"open"), get("/credentials")]
    )
    def test_nothing_else_is_answered_in_clear(self, request_: CoapMessage) -> None:
        pair = opened()
        pair.device.receive(session.with_token(request_, b"tk"), NOW)
        assert pair.device.drain() == (CoapMessage(codes.UNAUTHORIZED, b"tk"),)
        assert pair.device.events() == ()
        pair.app.receive(session.with_token(request_, b"tk"), NOW)
        assert pair.app.drain() == (CoapMessage(codes.UNAUTHORIZED, b"tk"),)
        assert pair.app.events() == ()

    def test_a_flood_of_first_messages_on_the_same_stream_bars_nobody(self) -> None:
        pair = Pair.of()
        flood(pair.device, 50)
        opened(pair)

    def test_a_flood_between_its_messages_costs_the_app_one_attempt_at_most(self) -> None:
        pair = Pair.of()
        floods = iter([60])

        def flooded(data: bytes) -> tuple[bytes, ...]:
            flood(pair.device, next(floods, 0))
            return (data,)

        pair.to_app = flooded
        opened(pair)

    def test_a_flood_from_other_peers_bars_nobody(self) -> None:
        source = random.Random(2)
        shared = HalfOpen()
        pair = Pair.of(half_open=shared, peer="app")
        others = [
            Channel.responder(
                DEVICE_KEY, listing(owner()), random=source.randbytes, half_open=shared, peer=("other", number)
            )
            for number in range(40)
        ]

        def flooded(data: bytes) -> tuple[bytes, ...]:
            for other in others:
                flood(other, 3)
            return (data,)

        pair.to_app = flooded
        opened(pair)
        assert len(shared) <= 64

    def test_a_channel_that_goes_forgets_its_handshakes(self) -> None:
        shared = HalfOpen()
        pair = Pair.of(half_open=shared, peer="app")
        flood(pair.device, 5)
        assert len(shared) == 5
        pair.device.lost(ChannelLost("gone"))
        assert len(shared) == 0


def edhoc_request(payload: bytes) -> CoapMessage:
    return CoapMessage(codes.POST, b"tk", path_options("/.well-known/edhoc"), payload)


def flood(device: Channel, count: int) -> None:
    for _ in range(count):
        device.receive(edhoc_request(Initiator(OTHER_KEY, DEVICE_KEY.credential).message_1()), NOW)
    device.drain()


class TestAdmission:
    def admitting(self, *, fails: Exception | None = None) -> tuple[Pair, list[bytes]]:
        taken: list[bytes] = []

        def admit(data: bytes) -> None:
            taken.append(data)
            if fails is not None:
                raise fails

        pair = Pair.of(admit=admit)
        pair.app = Channel.initiator(
            APP_KEY, DEVICE_KEY.credential, random=random.Random(5).randbytes, admission=b"a word"
        )
        return pair, taken

    def test_it_is_posted_before_the_handshake(self) -> None:
        pair, taken = self.admitting()
        opened(pair)
        assert taken == [b"a word"]
        assert stream.decode(pair.sent[1]).code == codes.CHANGED

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (Malformed("x"), codes.BAD_REQUEST),
            (AlreadyUsed("x"), codes.FORBIDDEN),
            (NotFound("x"), codes.FORBIDDEN),
            (Throttled(3), codes.TOO_MANY_REQUESTS),
        ],
    )
    def test_a_refused_one_tells_nothing_and_the_handshake_goes_on(self, error: Exception, code: int) -> None:
        pair, _ = self.admitting(fails=error)
        opened(pair)
        answer = stream.decode(pair.sent[1])
        assert (answer.code, answer.payload) == (code, b"")

    def test_no_answer_to_it_does_not_stop_the_handshake(self) -> None:
        pair, _ = self.admitting()
        pair.to_device = lambda data: ()
        pair.run()
        pair.to_device = lambda data: (data,)
        pair.wait(handshake.ATTEMPT_S)
        assert pair.app.is_established

    def test_their_number_is_bounded(self) -> None:
        pair, taken = self.admitting()
        for _ in range(20):
            post = CoapMessage(codes.POST, b"", path_options("/admissions"), b"x")
            pair.device.receive(post, NOW)
        assert len(taken) == handshake.MAX_ADMISSIONS

    def test_a_device_without_admissions_refuses_them(self) -> None:
        pair = Pair.of()
        pair.device.receive(CoapMessage(codes.POST, b"", path_options("/admissions"), b"x"), NOW)
        assert pair.device.drain()[0].code == codes.FORBIDDEN


class TestRenewal:
    def test_keys_are_renewed_after_an_hour_and_nobody_notices(self) -> None:
        pair = opened()
        established = len(pair.app_events), len(pair.device_events)
        pair.sent.clear()
        pair.wait(session.MAX_AGE_S)
        assert [stream.decode(data).option(OSCORE) for data in pair.sent] == [None] * 4
        assert (len(pair.app_events), len(pair.device_events)) == established
        handle = pair.ask(get("/a"))
        pair.run()
        assert len(pair.answers(handle)) == 1

    def test_keys_are_renewed_after_so_many_messages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(session, "MAX_MESSAGES", 10)
        pair = opened()
        pair.now += 60
        for _ in range(8):
            pair.ask(get("/a"))
            pair.run()
        in_clear = [message for message in map(stream.decode, pair.sent) if message.option(OSCORE) is None]
        assert sum(message.payload[:1] == b"\xf5" for message in in_clear) == 2
        assert len(pair.executed) == 8

    def test_a_request_under_way_is_answered_under_its_keys(self) -> None:
        pair = opened()
        pair.answer = lambda event: None
        pair.now += session.MAX_AGE_S - 1
        handle = pair.ask(put("/lock", b"open"))
        pair.run()
        pair.wait(1)
        (call,) = [event for event in pair.device_events if isinstance(event, RequestReceived)]
        pair.device.respond(call.handle, content(b"done"))
        pair.run()
        assert pair.answers(handle) == [content(b"done")]

    def test_the_old_keys_are_given_up_after_a_while(self) -> None:
        pair = opened()
        pair.answer = lambda event: None
        pair.now += session.MAX_AGE_S - 1
        handle = pair.ask(put("/lock", b"open"), timeout_s=500)
        pair.run()
        pair.wait(1)
        pair.wait(session.GRACE_S)
        assert [type(error) for error in pair.failures(handle)] == [ChannelLost]
        assert pair.app.is_established

    def test_a_renewal_that_fails_is_tried_again_while_the_keys_are_good(self) -> None:
        pair = opened()
        pair.to_device = lambda data: ()
        for _ in range(10):
            pair.wait(session.MAX_AGE_S / 10)
        for _ in range(6):
            pair.wait(handshake.ATTEMPT_S)
        assert pair.app.is_established
        pair.to_device = lambda data: (data,)
        pair.wait(60)
        handle = pair.ask(get("/a"))
        pair.run()
        assert len(pair.answers(handle)) == 1

    def test_keys_that_are_worn_out_end_the_channel(self) -> None:
        pair = opened()
        pair.now += 2 * session.MAX_AGE_S
        pair.device.receive(get("/a"), pair.now)
        assert isinstance(pair.device.events()[-1], Ended)

    def test_a_request_that_was_held_back_until_the_keys_are_worn_out_is_not_carried_out(self) -> None:
        pair, held = opened(), []
        pair.to_device = lambda data: held.append(data) or ()
        pair.ask(put("/lock", b"open"))
        pair.run()
        (late,) = held
        pair.device.receive(stream.decode(late), pair.now + 2 * session.MAX_AGE_S)
        assert [type(event) for event in pair.device.events()] == [Ended]
        assert pair.executed == []

    def test_a_device_that_lost_its_keys_leads_to_new_ones(self) -> None:
        pair = opened()
        pair.now += 60
        pair.device = Pair.of(seed=9).device
        lost = pair.ask(put("/lock", b"open"), timeout_s=20)
        pair.run()
        handle = pair.ask(get("/a"))
        pair.run()
        assert len(pair.answers(handle)) == 1
        assert [message.path for message in pair.executed] == ["/a"]
        pair.wait(20)
        assert [type(error) for error in pair.failures(lost)] == [Unavailable]

    def test_another_listed_app_may_take_the_stream_over(self) -> None:
        pair = Pair.of(owner(), owner(OTHER_KEY))
        opened(pair)
        pair.app = Channel.initiator(OTHER_KEY, DEVICE_KEY.credential, random=random.Random(7).randbytes)
        pair.run()
        pair.ask(get("/a"))
        pair.run()
        assert pair.device_events[1] == Established(owner(OTHER_KEY))
        received = pair.device_events[-1]
        assert isinstance(received, RequestReceived)
        assert received.holder == owner(OTHER_KEY)


class TestRevocation:
    def test_the_list_is_asked_for_each_request(self) -> None:
        entries = [owner()]
        pair = Pair.of()
        pair.device = Channel.responder(
            DEVICE_KEY, lambda kid: listing(*entries)(kid), random=random.Random(3).randbytes
        )
        opened(pair)
        narrowed = msgspec.structs.replace(owner(), name="renamed")
        entries[:] = [narrowed]
        pair.ask(get("/a"))
        pair.run()
        received = pair.device_events[-1]
        assert isinstance(received, RequestReceived)
        assert received.holder == narrowed
        entries.clear()
        pair.ask(put("/lock", b"open"))
        pair.run()
        assert [message.path for message in pair.executed] == ["/a"]
        assert isinstance(pair.device_events[-1], Ended)


def test_too_many_messages_that_do_not_open_end_the_channel() -> None:
    pair = opened()
    pair.ask(get("/a"))
    (good,) = pair.app.drain()
    for number in range(MAX_BAD_MESSAGES):
        assert pair.device.is_established
        pair.device.receive(CoapMessage(good.code, good.token, good.options, bytes(20 + number)), NOW)
    assert isinstance(pair.device.events()[-1], Ended)
    assert all(message.option(MAX_AGE) is None for message in pair.device.drain())


def test_a_message_that_does_not_open_is_answered_by_silence() -> None:
    pair = opened()
    pair.ask(get("/a"))
    (good,) = pair.app.drain()
    pair.device.receive(CoapMessage(good.code, good.token, good.options, bytes(20)), NOW)
    assert pair.device.drain() == ()
    pair.device.receive(good, NOW)
    pair.run()
    assert len(pair.executed) == 1
