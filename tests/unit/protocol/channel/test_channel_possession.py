"""Channels that a possession key opens in place of a handshake."""

import random
from collections.abc import Iterable

import pytest

from admittance.errors import AuthenticationFailed, NotFound, Unavailable
from admittance.protocol.access.authz_info import ACE_FORMAT, PossessionKey, Possessors
from admittance.protocol.channel.channel import Channel
from admittance.protocol.channel.events import Ended, Established, RequestReceived
from admittance.protocol.channel.half_open import IN_ALL, PER_PEER
from admittance.protocol.channel.session import GRACE_S, MAX_AGE_S
from admittance.wire.access import AUTHZ_INFO_PATH, GrantedKey
from admittance.wire.ace import AuthzInfo, AuthzInfoAnswer
from admittance.wire.channel import GET, Permission
from admittance.wire.coap import codes, stream
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import OSCORE, path_options
from tests.unit.protocol.channel.channel_world import APP_KEY, DEVICE_KEY, Pair, get, listing, owner, put

HELD = PossessionKey(bytes(range(16)), b"s" * 32)
GRANTED = GrantedKey(HELD.token, HELD.master_secret, b"g" * 16, "guest", (Permission("/lock", GET),), 0, 1, 0)
WRONG = PossessionKey(HELD.token, b"w" * 32)


class Device:
    """What a responder knows: one key, until it is `over`."""

    def __init__(self) -> None:
        self.over = False
        self.possessors = Possessors(self.find, self.standing, lambda _: b"")

    def find(self, token: bytes) -> GrantedKey:
        if self.over or token != GRANTED.token:
            raise NotFound("There is no such key.")
        return GRANTED

    def standing(self, key: GrantedKey) -> GrantedKey:
        return self.find(key.token)

    def end(self, peer: object = None, seed: int = 1) -> Channel:
        return Channel.responder(
            DEVICE_KEY, listing(owner()), random=random.Random(seed).randbytes, possessors=self.possessors, peer=peer
        )


def pair(held: PossessionKey = HELD, device: Device | None = None) -> Pair:
    app = Channel.possessor(held, random=random.Random(2).randbytes)
    return Pair(app, (device or Device()).end())


def posted(token: bytes = b"\x01", client_id: bytes = b"\x05") -> CoapMessage:
    options = (*path_options(AUTHZ_INFO_PATH), *ACE_FORMAT)
    return CoapMessage(codes.POST, token, options, AuthzInfo(HELD.token, bytes(8), client_id).encode())


def test_a_key_opens_the_channel_and_its_holder_is_known() -> None:
    both = pair().run()
    assert both.app_events == [Established(None)]
    assert both.device_events == [Established(GRANTED)]
    handle = both.ask(get("/lock"))
    both.run()
    assert both.answers(handle)[0].payload == b"answer"
    received = both.device_events[-1]
    assert isinstance(received, RequestReceived)
    assert received.holder == GRANTED


def test_what_opens_the_channel_is_no_request_to_the_program() -> None:
    assert pair().run().executed == []


def test_large_bodies_and_observations_go_as_in_any_channel() -> None:
    both = pair().run()
    handle = both.ask(put("/lock", bytes(20_000)))
    both.run()
    assert len(both.executed[-1].payload) == 20_000
    assert both.answers(handle)


def test_the_token_alone_opens_nothing() -> None:
    both = pair(WRONG).run()
    for _ in range(3):
        both.wait(5)
    (ended,) = both.app_events
    assert isinstance(ended, Ended)
    assert isinstance(ended.error, AuthenticationFailed)
    assert both.device_events == []


def test_a_token_that_is_not_known_is_refused_after_three_tries() -> None:
    both = pair(PossessionKey(bytes(16), HELD.master_secret)).run()
    (ended,) = both.app_events
    assert isinstance(ended, Ended)
    assert isinstance(ended.error, AuthenticationFailed)
    assert len(both.sent) == 6


def test_a_device_that_says_nothing_is_not_available() -> None:
    both = pair()
    both.to_device = lambda _: ()
    both.run()
    for _ in range(3):
        both.wait(5)
    assert isinstance(both.app_events[-1], Ended)
    assert isinstance(both.app_events[-1].error, Unavailable)


def test_a_relay_that_answers_itself_is_not_believed() -> None:
    """It knows the token, and has no key."""

    def answer(data: bytes) -> Iterable[bytes]:
        message = stream.decode(data)
        if message.code != codes.CREATED:
            return (data,)
        forged = AuthzInfoAnswer(bytes(8), b"\x07").encode()
        return (stream.encode(CoapMessage(codes.CREATED, message.token, message.options, forged)),)

    both = pair()
    both.to_app = answer
    both.run()
    for _ in range(3):
        both.wait(5)
    assert isinstance(both.app_events[-1], Ended)
    assert both.device_events == []


@pytest.mark.parametrize("payload", [b"", b"\xff", AuthzInfoAnswer(bytes(8), b"\x00").encode()])
def test_an_answer_that_is_none_costs_an_attempt(payload: bytes) -> None:
    """The last is one whose id is the client's own."""
    spoilt = 0

    def spoil(data: bytes) -> Iterable[bytes]:
        nonlocal spoilt
        message = stream.decode(data)
        if message.code != codes.CREATED or spoilt:
            return (data,)
        spoilt += 1
        return (stream.encode(CoapMessage(codes.CREATED, message.token, message.options, payload)),)

    both = pair()
    both.to_app = spoil
    assert both.run().device_events == [Established(GRANTED)]


def test_keys_are_renewed_by_the_same_token() -> None:
    both = pair().run()
    handle = both.ask(get("/lock"))
    both.run().wait(MAX_AGE_S)
    again = both.ask(get("/lock"))
    both.run()
    assert both.answers(handle)
    assert both.answers(again)
    opened = [stream.decode(data) for data in both.sent if stream.decode(data).option(OSCORE) is None]
    assert [message.code for message in opened] == [codes.POST, codes.CREATED] * 2
    assert len({message.payload for message in opened}) == 4
    assert both.wait(GRACE_S).device_events.count(Established(GRANTED)) == 1


def test_a_key_that_is_over_ends_the_channel_at_the_next_request() -> None:
    device = Device()
    both = pair(device=device).run()
    device.over = True
    both.ask(get("/lock"))
    both.run()
    assert both.executed == []
    assert isinstance(both.device_events[-1], Ended)


def test_a_key_that_ends_before_its_first_message_opens_nothing() -> None:
    device = Device()
    both = pair(device=device)
    both.app.handle_timeout(both.now)
    both.carry(both.app, both.device, both.to_device)
    device.over = True
    both.run()
    assert not any(isinstance(event, Established) for event in both.device_events)


def test_another_token_in_the_channel_changes_nothing() -> None:
    """What a key is good for is the server's to say: RFC 9203's update of access rights is refused."""
    both = pair().run()
    options = (*path_options(AUTHZ_INFO_PATH), *ACE_FORMAT)
    for payload, code in (
        (AuthzInfo(HELD.token).encode(), codes.CREATED),
        (AuthzInfo(bytes(16)).encode(), codes.UNAUTHORIZED),
        (b"\xff", codes.BAD_REQUEST),
    ):
        handle = both.ask(CoapMessage(codes.POST, options=options, payload=payload))
        assert both.run().answers(handle)[0].code == code
    assert both.executed == []


def test_a_key_and_a_listed_credential_open_the_same_responder() -> None:
    device = Device()
    both = Pair(Channel.initiator(APP_KEY, DEVICE_KEY.credential, random=random.Random(3).randbytes), device.end())
    assert both.run().device_events == [Established(owner())]


def test_a_responder_without_keys_takes_no_token() -> None:
    responder = Channel.responder(DEVICE_KEY, listing(owner()), random=random.Random(1).randbytes)
    responder.receive(posted(), 0.0)
    assert [message.code for message in responder.drain()] == [codes.UNAUTHORIZED]


def test_contexts_that_nobody_proves_are_bounded_for_each_peer_and_in_all() -> None:
    device = Device()
    ends = [device.end(peer) for peer in range(20)]
    for end in ends:
        for number in range(3 * PER_PEER):
            end.receive(posted(bytes([number])), 0.0)
            assert end.drain()[0].code == codes.CREATED
            assert len(device.possessors.unproven) <= IN_ALL
            assert len(device.possessors.unproven.connection_ids(0)) <= PER_PEER
    for end in ends:
        end.lost(Unavailable("gone"))
    assert len(device.possessors.unproven) == 0


def test_a_flood_for_one_peer_leaves_another_its_context() -> None:
    device = Device()
    guest = Pair(Channel.possessor(HELD, random=random.Random(4).randbytes), device.end("guest"))
    guest.app.handle_timeout(guest.now)
    guest.carry(guest.app, guest.device, guest.to_device)
    stranger = device.end("stranger")
    for number in range(100):
        stranger.receive(posted(bytes([number])), guest.now)
    assert guest.run().device_events == [Established(GRANTED)]


def test_forged_messages_under_a_context_that_nobody_proved_do_not_take_it_away() -> None:
    both = pair()
    both.app.handle_timeout(both.now)
    both.carry(both.app, both.device, both.to_device)
    for number in range(10):
        forged = CoapMessage(codes.POST, bytes([number]), ((OSCORE, b"\x09\x00\x01"),), bytes(40))
        both.device.receive(forged, both.now)
    assert both.run().device_events == [Established(GRANTED)]


def test_the_devices_id_is_never_the_clients() -> None:
    for client_id in (b"", b"\x00", b"\x01", bytes(7)):
        end = Device().end()
        end.receive(posted(client_id=client_id), 0.0)
        assert AuthzInfoAnswer.decode(end.drain()[0].payload).server_id != client_id
