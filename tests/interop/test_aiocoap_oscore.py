"""OSCORE with aiocoap: what one side protects, the other opens."""

import pytest
from aiocoap import oscore as aiocoap_oscore
from hypothesis import given, settings
from hypothesis import strategies as st

from admittance.errors import Replayed
from admittance.protocol.channel.oscore import (
    A128GCM,
    AES_CCM_16_64_128,
    Challenge,
    EchoGate,
    MemorySequence,
    Opened,
    ReplayWindow,
    SecurityContext,
    with_echo,
)
from admittance.wire.coap import codes
from admittance.wire.coap import options as opt
from admittance.wire.coap.message import CoapMessage
from tests.interop.aiocoap_oscore import PeerContext

OURS = {"AES-CCM-16-64-128": AES_CCM_16_64_128, "A128GCM": A128GCM}
SECRET, SALT = bytes(range(16)), b"salt"
REQUEST = CoapMessage(codes.POST, b"\x01", (*opt.path_options("/echo"), (opt.CONTENT_FORMAT, b"\x2a")), b"hello" * 12)
RESPONSE = CoapMessage(codes.CHANGED, b"\x01", ((opt.CONTENT_FORMAT, b"\x2a"),), b"hello" * 12)
OBSERVE = CoapMessage(codes.GET, b"\x02", ((opt.OBSERVE, b""), *opt.path_options("/sensors/temperature")))
NOTIFICATION = CoapMessage(codes.CONTENT, b"\x02", ((opt.OBSERVE, b"\x07"),), b"21.5")

ALGORITHMS = pytest.mark.parametrize("algorithm", list(OURS))
ID_CONTEXTS = pytest.mark.parametrize("id_context", [None, b"home"])


def ours(
    algorithm: str,
    id_context: bytes | None = None,
    *,
    is_client: bool,
    first: int = 0,
    window: int | ReplayWindow = 64,
) -> SecurityContext:
    ids = (b"\x0a", b"\x0b") if is_client else (b"\x0b", b"\x0a")
    return SecurityContext.derive(
        SECRET,
        master_salt=SALT,
        sender_id=ids[0],
        recipient_id=ids[1],
        id_context=id_context,
        algorithm=OURS[algorithm],
        window=window,
        sequence=MemorySequence(first),
    )


def theirs(algorithm: str, id_context: bytes | None = None, *, is_client: bool, first: int = 0) -> PeerContext:
    ids = (b"\x0a", b"\x0b") if is_client else (b"\x0b", b"\x0a")
    return PeerContext(
        SECRET,
        master_salt=SALT,
        sender_id=ids[0],
        recipient_id=ids[1],
        id_context=id_context,
        algorithm=algorithm,
        first=first,
    )


@ALGORITHMS
@ID_CONTEXTS
@pytest.mark.parametrize("first", [0, 300, 2**32])
def test_our_client_with_their_server(algorithm: str, id_context: bytes | None, first: int) -> None:
    client = ours(algorithm, id_context, is_client=True, first=first)
    server = theirs(algorithm, id_context, is_client=False)
    outer, sent = client.protect_request(REQUEST)
    request, exchange = server.unprotect_ours(outer)
    assert request == REQUEST
    answers = [server.protect_ours(RESPONSE, exchange)[0] for _ in range(2)]
    assert [answer.option(opt.OSCORE) for answer in answers] == [b"", b"\x01\x00"]
    assert client.unprotect_response(answers[0], sent) == RESPONSE
    with pytest.raises(Replayed):
        client.unprotect_response(answers[1], sent)


@ALGORITHMS
@ID_CONTEXTS
@pytest.mark.parametrize("own_piv", [False, True])
def test_their_client_with_our_server(algorithm: str, id_context: bytes | None, own_piv: bool) -> None:
    client = theirs(algorithm, id_context, is_client=True, first=70000)
    server = ours(algorithm, id_context, is_client=False)
    outer, sent = client.protect_ours(REQUEST)
    request, exchange = server.unprotect_request(outer)
    assert request == REQUEST
    answer = server.protect_response(RESPONSE, exchange, own_piv=own_piv)
    assert client.unprotect_ours(answer, sent)[0] == RESPONSE
    with pytest.raises(Replayed):
        server.unprotect_request(outer)


@ALGORITHMS
@settings(max_examples=30)
@given(payload=st.binary(max_size=300), first=st.integers(0, 2**39), path=st.sampled_from(["/", "/a", "/a/b/c"]))
def test_both_protect_the_same_bytes(algorithm: str, payload: bytes, first: int, path: str) -> None:
    message = CoapMessage(codes.PUT, b"\x05", opt.path_options(path), payload)
    mine, _ = ours(algorithm, is_client=True, first=first).protect_request(message)
    other, _ = theirs(algorithm, is_client=True, first=first).protect_ours(message)
    assert mine == other


@ALGORITHMS
def test_they_observe_and_we_notify(algorithm: str) -> None:
    client, server = theirs(algorithm, is_client=True), ours(algorithm, is_client=False)
    outer, sent = client.protect_ours(OBSERVE)
    request, exchange = server.unprotect_request(outer)
    assert request == OBSERVE
    assert exchange.observes
    for _ in range(4):
        notification, _ = client.unprotect_ours(server.protect_response(NOTIFICATION, exchange, own_piv=True), sent)
        assert notification.payload == NOTIFICATION.payload


@ALGORITHMS
def test_we_observe_and_they_notify(algorithm: str) -> None:
    client, server = ours(algorithm, is_client=True), theirs(algorithm, is_client=False)
    outer, sent = client.protect_request(OBSERVE)
    request, exchange = server.unprotect_ours(outer)
    assert request == OBSERVE
    inner = CoapMessage(codes.CONTENT, b"\x02", ((opt.OBSERVE, b""),), b"21.5")
    notifications = [server.protect_ours(inner, exchange)[0] for _ in range(4)]
    for notification in (notifications[0], notifications[2]):
        assert client.unprotect_response(notification, sent).payload == b"21.5"
    for notification in notifications[:3]:
        with pytest.raises(Replayed):
            client.unprotect_response(notification, sent)
    assert client.unprotect_response(notifications[3], sent).option(opt.OBSERVE) == b"\x02"


@ALGORITHMS
def test_we_restart_and_they_echo(algorithm: str) -> None:
    client = theirs(algorithm, is_client=True)
    gate = EchoGate(ours(algorithm, is_client=False, window=ReplayWindow(lost=True)), lambda count: b"\7" * count)
    outer, sent = client.protect_ours(REQUEST)
    challenge = gate.unprotect_request(outer)
    assert isinstance(challenge, Challenge)
    response, _ = client.unprotect_ours(challenge.outer, sent)
    again = with_echo(REQUEST, response)
    assert again is not None
    opened = gate.unprotect_request(client.protect_ours(again)[0])
    assert isinstance(opened, Opened)
    assert opened.message == REQUEST


@ALGORITHMS
def test_they_restart_and_we_echo(algorithm: str) -> None:
    client, server = ours(algorithm, is_client=True), theirs(algorithm, is_client=False)
    server.lose_window(b"fresh")
    outer, sent = client.protect_request(REQUEST)
    with pytest.raises(aiocoap_oscore.ReplayErrorWithEcho) as challenged:
        server.unprotect_ours(outer)
    answer, _ = server.protect_ours(
        CoapMessage(codes.UNAUTHORIZED, b"\x01", ((opt.ECHO, b"fresh"),)), challenged.value.request_id
    )
    again = with_echo(REQUEST, client.unprotect_response(answer, sent))
    assert again is not None
    assert server.unprotect_ours(client.protect_request(again)[0])[0] == again
