"""A relay that does to a channel whatever a relay can do (T14, T15): the two ends never believe it."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admittance.errors import AdmittanceError, AuthenticationFailed, Malformed
from admittance.protocol.channel import handshake
from admittance.protocol.channel.channel import Ended
from admittance.wire.coap import codes, stream
from tests.unit.protocol.channel.channel_world import Pair, content, get, put

DEEDS = ["pass", "drop", "double", "flip", "hold", "release", "reflect", "splice", "replay", "invent"]
deeds = st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 2**16)), max_size=60)


def elsewhere() -> list[bytes]:
    """What another channel of the same two keys sent."""
    pair = Pair.of(seed=77)
    pair.ask(put("/lock", b"from another channel"))
    pair.run()
    return pair.sent


ELSEWHERE = elsewhere()

# Length and code, and the token of four bytes.
HEADER_BYTES = 6


class BadRelay:
    """Does one deed of a script to each message; then it is honest, so that what is legitimate can go on."""

    def __init__(self, pair: Pair, script: list[tuple[str, int]]) -> None:
        self._pair = pair
        self._script = iter(script)
        self._seen: list[bytes] = []
        self._held: dict[str, list[bytes]] = {"device": [], "app": []}
        pair.to_device = lambda data: self.carry("device", data)
        pair.to_app = lambda data: self.carry("app", data)

    def carry(self, target: str, data: bytes) -> Iterable[bytes]:
        self._seen.append(data)
        deed, number = next(self._script, ("release", 0))
        held = self._held[target]
        match deed:
            case "drop":
                return ()
            case "double":
                return (data, data)
            case "flip":
                return self.decodable(flipped(data, number))
            case "hold":
                held.append(data)
                return ()
            case "release":
                self._held[target] = []
                return (data, *held)
            case "reflect":
                source = self._pair.app if target == "device" else self._pair.device
                source.receive(stream.decode(data), self._pair.now)
                return (data,)
            case "splice":
                return (ELSEWHERE[number % len(ELSEWHERE)], data)
            case "replay":
                return (self._seen[number % len(self._seen)], data)
            case "invent":
                return (*self.decodable(number.to_bytes(3, "big") * (number % 40)), data)
            case _:
                return (data,)

    @staticmethod
    def decodable(data: bytes) -> Iterable[bytes]:
        """What does not decode never reaches a channel."""
        try:
            stream.decode(data)
        except Malformed:
            return ()
        return (data,)


def flipped(data: bytes, position: int) -> bytes:
    bit = position % (8 * len(data))
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@given(deeds, st.booleans())
@settings(max_examples=120, deadline=None)
def test_each_request_is_carried_out_once_at_most_and_answered_or_reported_once(
    script: list[tuple[str, int]], is_open: bool
) -> None:
    pair = Pair.of()
    pair.answer = lambda event: content(b"done " + event.message.payload)
    if is_open:
        pair.run()
    BadRelay(pair, script)
    handles = {}
    for number in range(6):
        body = bytes((number,)) * (5000 if number == 3 else 10)
        try:
            handles[pair.ask(put(f"/{number}", body), timeout_s=20)] = body
        except AdmittanceError:
            break
        pair.run()
        pair.wait(1)
    for _ in range(12):
        pair.wait(handshake.ATTEMPT_S)
    for handle, body in handles.items():
        answers, failures = pair.answers(handle), pair.failures(handle)
        assert len(answers) + len(failures) == 1
        assert all(answer.payload == b"done " + body for answer in answers)
    wanted = list(handles.values())
    done = [message.payload for message in pair.executed]
    assert all(body in wanted for body in done)
    assert len(done) == len(set(done))
    for handle, body in handles.items():
        assert not pair.answers(handle) or body in done


@given(st.integers(0, 2**16), st.integers(4, 11))
@settings(max_examples=80, deadline=None)
def test_a_changed_copy_does_not_hurt_the_genuine_message(position: int, which: int) -> None:
    """Every bit of every protected message may be changed in a copy that comes first.

    OSCORE doesn't cover the token, so a copy with another one is carried out in place of the genuine request; its
    answer finds nobody, as if the relay had dropped it.
    """
    pair = Pair.of().run()
    count = iter(range(4, 1000))

    def copied(data: bytes) -> Iterable[bytes]:
        return (*BadRelay.decodable(flipped(data, position)), data) if next(count) == which else (data,)

    pair.to_device = pair.to_app = copied
    handles = [pair.ask(get(f"/{number}")) for number in range(3)]
    pair.run()
    assert len(pair.executed) == 3
    length = len(pair.sent[which]) if which < len(pair.sent) else 1
    is_in_token = position % (8 * length) < 8 * HEADER_BYTES
    assert sum(len(pair.answers(handle)) for handle in handles) >= (2 if is_in_token else 3)
    assert all(len(pair.answers(handle)) <= 1 for handle in handles)


@given(st.integers(0, 3), st.integers(0, 2**16))
@settings(max_examples=80, deadline=None)
def test_a_changed_handshake_opens_nothing_with_other_keys(which: int, position: int) -> None:
    """The attempt may fail, or go on if the change means nothing; both ends agree on what is open."""
    pair = Pair.of()
    count = iter(range(1000))

    def changed(data: bytes) -> Iterable[bytes]:
        return BadRelay.decodable(flipped(data, position)) if next(count) == which else (data,)

    pair.to_device = pair.to_app = changed
    handle = pair.ask(get("/a"))
    pair.run()
    for _ in range(4):
        pair.wait(handshake.ATTEMPT_S)
    assert len(pair.answers(handle)) == 1
    assert len(pair.executed) == 1


def test_changing_every_handshake_ends_it_in_an_authentication_failure() -> None:
    pair = Pair.of()
    pair.to_app = lambda data: (data[:-1] + bytes((data[-1] ^ 1,)),)
    pair.run()
    assert isinstance(pair.app_events[-1], Ended)
    assert isinstance(pair.app_events[-1].error, AuthenticationFailed)
    assert len(pair.sent) == 2 * handshake.MAX_ATTEMPTS


@pytest.mark.parametrize("code", range(0x40, 0xC0))
def test_an_invented_answer_is_not_taken(code: int) -> None:
    pair = Pair.of().run()
    pair.answer = lambda event: None
    handle = pair.ask(get("/a"), timeout_s=5)
    (request,) = pair.app.drain()
    if codes.is_response(code):
        pair.app.receive(type(request)(code, request.token, (), b"invented"), pair.now)
        pair.app.receive(type(request)(code, request.token, request.options, request.payload), pair.now)
    assert pair.answers(handle) == []
    assert [event for event in pair.app.events() if hasattr(event, "handle")] == []
    pair.device.receive(request, pair.now)
    pair.notice()
    assert len(pair.executed) == 1
