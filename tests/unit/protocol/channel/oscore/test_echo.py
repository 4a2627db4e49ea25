"""After a restart: nothing is carried out before a request proves to be fresh."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import DecryptionFailed, Replayed
from admittance.protocol.channel.oscore import (
    Challenge,
    EchoGate,
    Opened,
    ReplayWindow,
    oscore_option,
    with_echo,
)
from admittance.wire.coap import codes
from admittance.wire.coap import options as opt
from admittance.wire.coap.message import CoapMessage
from tests.unit.protocol.channel.oscore.pair import REQUEST, RESPONSE, client, server


def restarted(value: int = 1) -> EchoGate:
    return EchoGate(server(window=ReplayWindow(lost=True)), lambda count: bytes([value]) * count)


def test_a_request_after_a_restart_is_asked_again_with_echo() -> None:
    requester, gate = client(), restarted()
    outer, sent = requester.protect_request(REQUEST)
    challenge = gate.unprotect_request(outer)
    assert isinstance(challenge, Challenge)
    assert oscore_option(challenge.outer).partial_iv is not None
    response = requester.unprotect_response(challenge.outer, sent)
    assert response.code == codes.UNAUTHORIZED
    again = with_echo(REQUEST, response)
    assert again is not None
    outer, sent = requester.protect_request(again)
    opened = gate.unprotect_request(outer)
    assert isinstance(opened, Opened)
    assert opened.message == REQUEST


def test_from_then_on_the_window_decides() -> None:
    requester, gate = client(), restarted()
    earlier = [requester.protect_request(REQUEST)[0] for _ in range(3)]
    fresh, _ = requester.protect_request(REQUEST.with_options((opt.ECHO, b"\1" * 16)))
    later, _ = requester.protect_request(REQUEST)
    assert isinstance(gate.unprotect_request(fresh), Opened)
    assert isinstance(gate.unprotect_request(later), Opened)
    for outer in (*earlier, fresh, later):
        with pytest.raises(Replayed):
            gate.unprotect_request(outer)


@given(st.binary(max_size=20))
def test_another_echo_is_no_proof(echo: bytes) -> None:
    outer, _ = client().protect_request(REQUEST.with_options((opt.ECHO, echo)))
    assert isinstance(restarted(7).unprotect_request(outer), Challenge) is (echo != b"\7" * 16)


def test_a_replay_from_before_is_never_carried_out() -> None:
    requester, before = client(), server()
    outer, _ = requester.protect_request(REQUEST)
    before.unprotect_request(outer)
    gate = restarted()
    for _ in range(3):
        assert isinstance(gate.unprotect_request(outer), Challenge)


def test_an_echo_of_the_last_restart_is_no_proof() -> None:
    requester = client()
    outer, _ = requester.protect_request(REQUEST.with_options((opt.ECHO, b"\1" * 16)))
    assert isinstance(restarted(1).unprotect_request(outer), Opened)
    assert isinstance(restarted(2).unprotect_request(outer), Challenge)


def test_forgeries_are_refused_and_not_challenged() -> None:
    with pytest.raises(DecryptionFailed):
        restarted().unprotect_request(CoapMessage(codes.POST, b"", ((opt.OSCORE, b"\x09\x01\x0a"),), bytes(20)))


def test_without_the_gate_a_lost_window_refuses_all() -> None:
    outer, _ = client().protect_request(REQUEST)
    with pytest.raises(Replayed):
        server(window=ReplayWindow(lost=True)).unprotect_request(outer)


def test_a_second_challenge_is_not_answered() -> None:
    challenge = CoapMessage(codes.UNAUTHORIZED, options=((opt.ECHO, b"echo"),))
    again = with_echo(REQUEST, challenge)
    assert again is not None
    assert with_echo(again, challenge) is None
    assert with_echo(REQUEST, RESPONSE) is None
    assert with_echo(REQUEST, CoapMessage(codes.UNAUTHORIZED)) is None
