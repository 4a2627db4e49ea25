"""Observing a resource through a channel (RFC 7641 under RFC 8613)."""

import random

from admittance.errors import ChannelLost, Conflict, Unavailable
from admittance.protocol.channel import incoming, session
from admittance.protocol.channel.channel import (
    Channel,
    Ended,
    ObservationEnded,
    RequestFailed,
    RequestReceived,
    ResponseReceived,
)
from admittance.wire.coap import codes, stream
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import OBSERVE
from tests.unit.protocol.channel.channel_world import DEVICE_KEY, Pair, content, get, listing


def watched(pair: Pair | None = None, path: str = "/lock") -> tuple[Pair, int, int]:
    """A pair whose app observes a resource, with the app's handle and the device's."""
    pair = (pair or Pair.of()).run()
    pair.answer = lambda event: None
    handle = pair.ask(get(path, observe=b""))
    pair.run()
    call = last_call(pair)
    pair.device.notify(call, content(b"first"))
    pair.run()
    return pair, handle, call


def last_call(pair: Pair) -> int:
    return max(event.handle for event in pair.device_events if isinstance(event, RequestReceived))


def payloads(pair: Pair, handle: int) -> list[bytes]:
    return [answer.payload for answer in pair.answers(handle)]


def test_each_notification_arrives_in_order() -> None:
    pair, handle, call = watched()
    for number in range(5):
        pair.device.notify(call, content(b"%d" % number))
    pair.run()
    assert payloads(pair, handle) == [b"first", b"0", b"1", b"2", b"3", b"4"]
    assert all(event.more for event in pair.app_events if isinstance(event, ResponseReceived))
    assert all(answer.option(OBSERVE) is None for answer in pair.answers(handle))
    assert pair.executed[0].option(OBSERVE) == b""


def test_an_observation_outlives_the_requests_time() -> None:
    pair, handle, call = watched()
    pair.wait(300)
    pair.device.notify(call, content(b"later"))
    pair.run()
    assert payloads(pair, handle) == [b"first", b"later"]


def test_a_registration_that_nobody_answers_is_reported() -> None:
    pair = Pair.of().run()
    pair.answer = lambda event: None
    handle = pair.ask(get("/lock", observe=b""), timeout_s=5)
    pair.run()
    pair.wait(5)
    assert [type(error) for error in pair.failures(handle)] == [Unavailable]
    assert ObservationEnded(1) in pair.device_events


def test_a_resource_that_can_not_be_observed_answers_once() -> None:
    pair = Pair.of().run()
    handle = pair.ask(get("/a", observe=b""))
    pair.run()
    assert pair.app_events[-1] == ResponseReceived(handle, content(b"answer"), more=False)


def test_an_old_notification_is_dropped() -> None:
    pair, handle, call = watched()
    pair.device.notify(call, content(b"old"))
    pair.device.notify(call, content(b"new"))
    old, new = pair.device.drain()
    for message in (new, old, new, old):
        pair.app.receive(message, pair.now)
    pair.run()
    assert payloads(pair, handle) == [b"first", b"new"]
    assert pair.app.is_established


def test_cancelling_ends_it_at_the_device() -> None:
    pair, handle, call = watched()
    pair.app.cancel(handle)
    pair.run()
    assert ObservationEnded(call) in pair.device_events
    pair.device.notify(call, content(b"to nobody"))
    pair.run()
    assert payloads(pair, handle) == [b"first"]
    assert pair.app.is_established


def test_cancelling_before_the_first_answer_ends_it_too() -> None:
    pair = Pair.of().run()
    pair.answer = lambda event: None
    handle = pair.ask(get("/lock", observe=b""))
    pair.run()
    pair.app.cancel(handle)
    pair.run()
    assert ObservationEnded(1) in pair.device_events


def test_an_error_is_the_last_notification() -> None:
    pair, handle, call = watched()
    pair.device.notify(call, CoapMessage(codes.NOT_FOUND))
    pair.device.notify(call, content(b"to nobody"))
    pair.run()
    assert pair.app_events[-1] == ResponseReceived(handle, CoapMessage(codes.NOT_FOUND), more=False)


def test_a_final_answer_ends_it() -> None:
    pair, handle, call = watched()
    pair.device.respond(call, content(b"last"))
    pair.run()
    assert pair.app_events[-1] == ResponseReceived(handle, content(b"last"), more=False)


def test_a_large_notification_is_fetched_whole() -> None:
    pair, handle, call = watched()
    body = bytes(range(250)) * 40
    pair.device.notify(call, content(body))
    pair.run()
    assert payloads(pair, handle)[1:] == [body]
    pair.device.notify(call, content(b"small again"))
    pair.run()
    assert payloads(pair, handle)[2:] == [b"small again"]


def test_a_newer_notification_takes_the_place_of_one_that_is_fetched() -> None:
    pair, handle, call = watched()
    pair.device.notify(call, content(b"a" * 9000))
    pair.carry(pair.device, pair.app, pair.to_app)
    pair.device.notify(call, content(b"b" * 9000))
    pair.run()
    assert payloads(pair, handle)[1:] == [b"b" * 9000]


def test_a_large_notification_whose_rest_changed_ends_the_observation() -> None:
    """Only out of order can this be: the newer notification is held back, its blocks come."""
    pair, handle, call = watched()
    pair.device.notify(call, content(b"a" * 9000))
    pair.carry(pair.device, pair.app, pair.to_app)
    pair.device.notify(call, content(b"b" * 9000))
    pair.device.drain()
    pair.run()
    assert [type(error) for error in pair.failures(handle)] == [Conflict]
    assert ObservationEnded(call) in pair.device_events


def test_the_rest_of_a_notification_that_never_comes_is_reported() -> None:
    pair, handle, call = watched()
    pair.device.notify(call, content(b"a" * 9000))
    pair.to_device = lambda data: ()
    pair.run()
    pair.wait(30)
    assert [type(error) for error in pair.failures(handle)] == [Unavailable]


def test_a_lost_channel_ends_it_on_both_sides() -> None:
    pair, handle, call = watched()
    pair.device.lost(ChannelLost("gone"))
    pair.app.lost(ChannelLost("gone"))
    assert [type(event) for event in pair.device.events()] == [ObservationEnded, Ended]
    failed, _ = pair.app.events()
    assert isinstance(failed, RequestFailed)
    assert failed.handle == handle
    assert call


def test_it_moves_to_new_keys() -> None:
    pair, handle, call = watched()
    pair.now += session.MAX_AGE_S - 1
    pair.wait(1)
    assert ObservationEnded(call) in pair.device_events
    again = last_call(pair)
    assert again != call
    pair.device.notify(again, content(b"now"))
    pair.device.notify(again, content(b"and then"))
    pair.run()
    assert payloads(pair, handle) == [b"first", b"now", b"and then"]
    assert pair.failures(handle) == []


def test_it_moves_to_a_device_that_restarted() -> None:
    pair, handle, _ = watched()
    pair.now += 60
    pair.device = Pair.of(seed=9).device
    pair.device_events.clear()
    pair.ask(get("/a"))
    pair.run()
    pair.device.notify(1, content(b"from the new life"))
    pair.run()
    assert payloads(pair, handle) == [b"first", b"from the new life"]


def test_their_number_is_bounded() -> None:
    pair = Pair.of().run()
    for _ in range(incoming.MAX_OBSERVATIONS + 3):
        pair.answer = lambda event: None
        pair.ask(get("/lock", observe=b""))
        pair.run()
        call = last_call(pair)
        if pair.executed[-1].option(OBSERVE) is None:
            pair.device.respond(call, content(b"once"))
        else:
            pair.device.notify(call, content(b"on"))
        pair.run()
    once = [event for event in pair.app_events if isinstance(event, ResponseReceived) and not event.more]
    assert len(once) == 3


def test_a_notification_of_another_channel_is_not_taken() -> None:
    pair, handle, call = watched()
    other, _, other_call = watched(Pair.of(seed=4))
    other.device.notify(other_call, content(b"theirs"))
    for message in other.device.drain():
        pair.app.receive(message, pair.now)
        token = stream.decode(pair.sent[-2]).token
        pair.app.receive(CoapMessage(message.code, token, message.options, message.payload), pair.now)
    pair.run()
    assert payloads(pair, handle) == [b"first"]
    assert pair.app.is_established
    assert call


def test_the_device_observes_nothing_at_an_app_that_answers_nothing() -> None:
    device = Channel.responder(DEVICE_KEY, listing(), random=random.Random(1).randbytes)
    handle = device.request(get("/time", observe=b""), 1000.0, timeout_s=5)
    device.handle_timeout(1005.0)
    (event,) = device.events()
    assert isinstance(event, RequestFailed)
    assert event.handle == handle
    assert device.drain() == ()
