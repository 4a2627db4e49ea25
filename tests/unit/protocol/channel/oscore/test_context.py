"""Security contexts: what one end protects only the other opens, once, and unchanged."""

from dataclasses import replace as with_limits
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from admittance.errors import ContextExhausted, DecryptionFailed, Malformed, Misuse, Replayed
from admittance.protocol.channel.oscore import (
    A128GCM,
    AES_CCM_16_64_128,
    Algorithm,
    MemorySequence,
    SecurityContext,
    oscore_option,
)
from admittance.wire import oscore
from admittance.wire.coap import codes, stream
from admittance.wire.coap import options as opt
from admittance.wire.coap.message import CoapMessage
from tests.unit.protocol.channel.oscore.pair import NOTIFICATION, OBSERVE, REQUEST, RESPONSE, SECRET, client, server

ALGORITHMS = st.sampled_from([AES_CCM_16_64_128, A128GCM])
INNER = st.sampled_from(
    [opt.IF_MATCH, opt.ETAG, opt.URI_PATH, opt.CONTENT_FORMAT, opt.URI_QUERY, opt.BLOCK1, opt.ECHO]
)
OPTIONS = st.lists(st.tuples(INNER, st.binary(max_size=10)), max_size=5).map(
    lambda pairs: tuple(sorted(pairs, key=lambda pair: pair[0]))
)


def messages(*allowed: int) -> st.SearchStrategy[CoapMessage]:
    return st.builds(CoapMessage, st.sampled_from(allowed), st.binary(max_size=8), OPTIONS, st.binary(max_size=200))


REQUESTS = messages(codes.GET, codes.POST, codes.FETCH, codes.DELETE)
RESPONSES = messages(codes.CONTENT, codes.NOT_FOUND, codes.UNAVAILABLE)


@settings(max_examples=50)
@given(ALGORITHMS, REQUESTS, RESPONSES, st.integers(0, oscore.MAX_SEQUENCE), st.booleans())
def test_round_trip(
    algorithm: Algorithm, request: CoapMessage, response: CoapMessage, first: int, own_piv: bool
) -> None:
    requester, responder = client(algorithm, first), server(algorithm)
    outer, sent = requester.protect_request(request)
    assert (outer.code, outer.token) == (codes.POST, request.token)
    opened, received = responder.unprotect_request(stream.decode(stream.encode(outer)))
    assert opened == request
    answer = responder.protect_response(response, received, own_piv=own_piv)
    assert (answer.code, answer.token) == (codes.CHANGED, response.token)
    assert (oscore_option(answer).partial_iv is not None) is own_piv
    assert requester.unprotect_response(stream.decode(stream.encode(answer)), sent) == response


@settings(max_examples=50)
@given(ALGORITHMS, REQUESTS, st.data())
def test_a_changed_ciphertext_is_not_opened_and_does_no_harm(
    algorithm: Algorithm, request: CoapMessage, data: st.DataObject
) -> None:
    responder = server(algorithm)
    outer, _ = client(algorithm).protect_request(request)
    changed = bytearray(outer.payload)
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    cut = data.draw(st.integers(0, len(changed) - 1))
    for payload in (bytes(changed), outer.payload[:cut], outer.payload + b"\0"):
        with pytest.raises(DecryptionFailed):
            responder.unprotect_request(replace(outer, payload=payload))
    assert responder.unprotect_request(outer)[0] == request


@given(ALGORITHMS, st.integers(0, 2**20), st.data())
def test_a_changed_option_is_not_opened_and_does_no_harm(
    algorithm: Algorithm, first: int, data: st.DataObject
) -> None:
    responder = server(algorithm)
    outer, _ = client(algorithm, first).protect_request(REQUEST)
    value = bytearray(outer.option(opt.OSCORE) or b"")
    value[data.draw(st.integers(0, len(value) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((DecryptionFailed, Malformed)):
        responder.unprotect_request(replace(outer, options=((opt.OSCORE, bytes(value)),)))
    assert responder.unprotect_request(outer)[0] == REQUEST


@settings(max_examples=50)
@given(st.sampled_from([codes.GET, codes.PUT, codes.FETCH]), OPTIONS)
def test_what_is_outside_changes_nothing(code: int, others: opt.Options) -> None:
    outer, _ = client().protect_request(REQUEST)
    changed = replace(outer, code=code).with_options(*others, (opt.URI_HOST, b"elsewhere"), (opt.OBSERVE, b""))
    assert server().unprotect_request(changed)[0] == REQUEST


@settings(max_examples=50)
@given(ALGORITHMS, st.lists(st.integers(0, 30), max_size=60))
def test_each_request_is_taken_once(algorithm: Algorithm, order: list[int]) -> None:
    requester, responder = client(algorithm), server(algorithm)
    outers = [requester.protect_request(REQUEST)[0] for _ in range(31)]
    taken: set[int] = set()
    for index in order:
        if index in taken:
            with pytest.raises(Replayed):
                responder.unprotect_request(outers[index])
        else:
            assert responder.unprotect_request(outers[index])[0] == REQUEST
        taken.add(index)


def test_a_request_older_than_the_window_is_refused() -> None:
    requester, responder = client(), server(window=4)
    outers = [requester.protect_request(REQUEST)[0] for _ in range(6)]
    responder.unprotect_request(outers[5])
    responder.unprotect_request(outers[2])
    with pytest.raises(Replayed):
        responder.unprotect_request(outers[1])


def test_a_response_is_taken_once() -> None:
    requester, responder = client(), server()
    outer, sent = requester.protect_request(REQUEST)
    _, received = responder.unprotect_request(outer)
    answers = [responder.protect_response(RESPONSE, received) for _ in range(2)]
    assert requester.unprotect_response(answers[0], sent) == RESPONSE
    for answer in answers:
        with pytest.raises(Replayed):
            requester.unprotect_response(answer, sent)


def test_a_response_answers_its_own_request_only() -> None:
    requester, responder = client(), server()
    (first, first_sent), (second, second_sent) = (
        requester.protect_request(REQUEST),
        requester.protect_request(REQUEST),
    )
    for own_piv in (False, True):
        answer = server().protect_response(RESPONSE, server().unprotect_request(first)[1], own_piv=own_piv)
        with pytest.raises(DecryptionFailed):
            requester.unprotect_response(answer, second_sent)
    answer = responder.protect_response(RESPONSE, responder.unprotect_request(second)[1])
    assert requester.unprotect_response(answer, second_sent) == RESPONSE
    assert not first_sent.is_answered


def test_no_nonce_is_used_for_two_responses() -> None:
    requester, responder = client(), server()
    _, received = responder.unprotect_request(requester.protect_request(OBSERVE)[0])
    answers = [responder.protect_response(NOTIFICATION, received) for _ in range(4)]
    assert [oscore_option(answer).partial_iv for answer in answers] == [None, b"\0", b"\1", b"\2"]


def test_notifications_are_taken_in_their_order_only() -> None:
    requester, responder = client(), server()
    outer, sent = requester.protect_request(OBSERVE)
    assert (outer.code, outer.option(opt.OBSERVE)) == (codes.FETCH, b"")
    request, received = responder.unprotect_request(outer)
    assert request == OBSERVE
    notifications = [responder.protect_response(NOTIFICATION, received) for _ in range(5)]
    assert {(answer.code, answer.option(opt.OBSERVE)) for answer in notifications} == {(codes.CONTENT, b"\x05")}
    opened = [requester.unprotect_response(notifications[index], sent) for index in (0, 1, 3)]
    assert {message.payload for message in opened} == {NOTIFICATION.payload}
    order = [opt.decode_uint(message.option(opt.OBSERVE) or b"") for message in opened]
    assert order == [0, 0, 2]
    for index in (0, 1, 2, 3):
        with pytest.raises(Replayed):
            requester.unprotect_response(notifications[index], sent)
    last = responder.protect_response(CoapMessage(codes.NOT_FOUND, OBSERVE.token), received)
    assert requester.unprotect_response(last, sent).code == codes.NOT_FOUND
    with pytest.raises(Replayed):
        requester.unprotect_response(notifications[4], sent)


@given(st.lists(st.integers(0, 9), max_size=20))
def test_notifications_against_a_model(order: list[int]) -> None:
    requester, responder = client(), server()
    outer, sent = requester.protect_request(OBSERVE)
    _, received = responder.unprotect_request(outer)
    notifications = [responder.protect_response(NOTIFICATION, received) for _ in range(10)]
    taken = [-1]
    for index in order:
        try:
            requester.unprotect_response(notifications[index], sent)
            taken.append(index)
        except Replayed:
            assert index <= taken[-1]
    assert all(earlier < later for earlier, later in pairwise(taken))


def test_a_registration_without_the_outer_option_is_a_plain_request() -> None:
    outer, _ = client().protect_request(OBSERVE)
    message, exchange = server().unprotect_request(outer.without(opt.OBSERVE))
    assert message == OBSERVE.without(opt.OBSERVE)
    assert not exchange.observes


def test_a_cancellation_holds_whatever_is_outside() -> None:
    cancellation = CoapMessage(codes.GET, b"\x07", ((opt.OBSERVE, b"\x01"), *opt.path_options("/sensors")))
    outer, _ = client().protect_request(cancellation)
    assert outer.option(opt.OBSERVE) == b"\x01"
    assert server().unprotect_request(outer.without(opt.OBSERVE))[0] == cancellation


def test_a_notification_to_who_observes_nothing_is_malformed() -> None:
    requester, responder = client(), server()
    outer, sent = requester.protect_request(REQUEST)
    _, received = responder.unprotect_request(outer)
    with pytest.raises(Malformed):
        requester.unprotect_response(responder.protect_response(NOTIFICATION, received), sent)


def test_where_a_message_goes_travels_outside() -> None:
    elsewhere = REQUEST.with_options(
        (opt.URI_HOST, b"device"), (opt.URI_PORT, b"\x16\x33"), (opt.PROXY_SCHEME, b"coap")
    )
    outer, _ = client().protect_request(elsewhere)
    assert outer.without(opt.OSCORE).options == (
        (opt.URI_HOST, b"device"),
        (opt.URI_PORT, b"\x16\x33"),
        (opt.PROXY_SCHEME, b"coap"),
    )
    assert server().unprotect_request(outer)[0] == REQUEST


def test_another_context_is_told_apart_by_its_names() -> None:
    outer, _ = client().protect_request(REQUEST)
    other = SecurityContext.derive(SECRET, sender_id=b"\x0b", recipient_id=b"\x0c")
    named = SecurityContext.derive(SECRET, sender_id=b"\x0b", recipient_id=b"\x0a", id_context=b"home")
    with pytest.raises(DecryptionFailed):
        other.unprotect_request(outer)
    with pytest.raises(DecryptionFailed):
        named.unprotect_request(outer)
    away, _ = SecurityContext.derive(
        SECRET, sender_id=b"\x0a", recipient_id=b"\x0b", id_context=b"away"
    ).protect_request(REQUEST)
    with pytest.raises(DecryptionFailed):
        named.unprotect_request(away)


def option(partial_iv: bytes | None = None, kid: bytes | None = None) -> tuple[int, bytes]:
    return opt.OSCORE, oscore.encode(oscore.OscoreOption(partial_iv, kid))


@pytest.mark.parametrize(
    "outer",
    [
        CoapMessage(codes.POST, payload=bytes(20)),
        CoapMessage(codes.POST, options=(option(b"\1", b"\x0a"),) * 2, payload=bytes(20)),
        CoapMessage(codes.POST, options=(option(b"\1"),), payload=bytes(20)),
        CoapMessage(codes.POST, options=(option(None, b"\x0a"),), payload=bytes(20)),
        CoapMessage(codes.CHANGED, options=(option(b"\1", b"\x0a"),), payload=bytes(20)),
        CoapMessage(codes.POST, options=(option(b"\1", b"\x0a"),), payload=bytes(4097)),
        CoapMessage(codes.POST, options=((opt.OSCORE, b"\xff"),), payload=bytes(20)),
    ],
)
def test_malformed_requests(outer: CoapMessage) -> None:
    with pytest.raises(Malformed):
        server().unprotect_request(outer)


def test_malformed_responses() -> None:
    requester = client()
    _, sent = requester.protect_request(REQUEST)
    for code, options in ((codes.POST, ((opt.OSCORE, b""),)), (codes.CHANGED, ())):
        with pytest.raises(Malformed):
            requester.unprotect_response(CoapMessage(code, b"", options, bytes(20)), sent)


def test_misuse() -> None:
    requester, responder = client(), server()
    _, received = responder.unprotect_request(requester.protect_request(REQUEST)[0])
    with pytest.raises(Misuse):
        requester.protect_request(RESPONSE)
    with pytest.raises(Misuse):
        responder.protect_response(REQUEST, received)
    with pytest.raises(Misuse):
        requester.protect_request(REQUEST.with_options((opt.OSCORE, b"")))
    with pytest.raises(Misuse):
        SecurityContext.derive(SECRET, sender_id=b"\1", recipient_id=b"\1")
    for algorithm, longest in ((AES_CCM_16_64_128, 7), (A128GCM, 6)):
        SecurityContext.derive(SECRET, sender_id=b"", recipient_id=bytes(longest), algorithm=algorithm)
        with pytest.raises(Misuse):
            SecurityContext.derive(SECRET, sender_id=b"", recipient_id=bytes(longest + 1), algorithm=algorithm)


@pytest.mark.parametrize("algorithm", [AES_CCM_16_64_128, A128GCM])
def test_the_longest_message(algorithm: Algorithm) -> None:
    longest = algorithm.max_bytes - algorithm.tag_bytes - 2
    message = CoapMessage(codes.POST, payload=bytes(longest))
    outer, _ = client(algorithm).protect_request(message)
    assert server(algorithm).unprotect_request(outer)[0] == message
    with pytest.raises(Misuse):
        client(algorithm).protect_request(replace(message, payload=bytes(longest + 1)))


def test_a_context_is_good_for_so_many_messages() -> None:
    few = with_limits(AES_CCM_16_64_128, max_sealed=3)
    requester = client(few)
    for sealed in range(3):
        assert requester.messages_sealed == sealed
        requester.protect_request(REQUEST)
    with pytest.raises(ContextExhausted):
        requester.protect_request(REQUEST)


def test_a_context_is_good_for_so_many_forgeries() -> None:
    requester, responder = client(), server(with_limits(AES_CCM_16_64_128, max_forged=3))
    outer, _ = requester.protect_request(REQUEST)
    for _ in range(3):
        with pytest.raises(DecryptionFailed):
            responder.unprotect_request(replace(outer, payload=bytes(20)))
    with pytest.raises(ContextExhausted):
        responder.unprotect_request(outer)


def test_the_last_sequence_number() -> None:
    requester = client(sequence=MemorySequence(oscore.MAX_SEQUENCE))
    outer, _ = requester.protect_request(REQUEST)
    assert server().unprotect_request(outer)[0] == REQUEST
    with pytest.raises(ContextExhausted):
        requester.protect_request(REQUEST)


def test_ends_have_other_keys() -> None:
    outer, _ = client().protect_request(REQUEST)
    with pytest.raises(DecryptionFailed):
        client().unprotect_request(outer)
