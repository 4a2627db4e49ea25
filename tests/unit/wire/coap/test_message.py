"""Messages, and how streams and datagrams carry them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admittance.errors import Malformed, Misuse
from admittance.wire.coap import codes, datagram, stream
from admittance.wire.coap import options as opt
from admittance.wire.coap.datagram import Datagram, Type
from admittance.wire.coap.message import CoapMessage

CODES = st.sampled_from([code for code in range(256) if codes.is_request(code) or codes.is_response(code)])
OPTIONS = st.lists(st.tuples(st.integers(0, 300), st.binary(max_size=20)), max_size=5)
MESSAGES = st.builds(
    CoapMessage,
    code=CODES,
    token=st.binary(max_size=8),
    options=OPTIONS.map(lambda pairs: tuple(sorted(pairs, key=lambda pair: pair[0]))),
    payload=st.binary(max_size=100),
)


@given(MESSAGES)
def test_stream_round_trip(message: CoapMessage) -> None:
    assert stream.decode(stream.encode(message)) == message


@given(MESSAGES, st.sampled_from(Type), st.integers(0, 0xFFFF))
def test_datagram_round_trip(message: CoapMessage, type_: Type, message_id: int) -> None:
    sent = Datagram(type_, message_id, message)
    carries_requests = type_ in (Type.CONFIRMABLE, Type.NON_CONFIRMABLE)
    if type_ is Type.RESET or (codes.is_request(message.code) and not carries_requests):
        with pytest.raises(Misuse):
            datagram.encode(sent)
        return
    assert datagram.decode(datagram.encode(sent)) == sent


@given(st.binary(max_size=40))
def test_stream_decoder_raises_malformed_and_nothing_else(data: bytes) -> None:
    try:
        message = stream.decode(data)
    except Malformed:
        return
    assert stream.decode(stream.encode(message)) == message


@given(st.one_of(st.binary(max_size=40), st.binary(max_size=40).map(lambda rest: b"\x41\x02" + rest)))
def test_datagram_decoder_raises_malformed_and_nothing_else(data: bytes) -> None:
    try:
        received = datagram.decode(data)
    except Malformed:
        return
    assert datagram.decode(datagram.encode(received)) == received


@pytest.mark.parametrize(
    "data",
    [
        "",
        "00",
        "0000",
        "00e1",
        "0021",
        "0060",
        "00c0",
        "1001",
        "0901" + "00" * 9,
        "02010a",
        "0001ff",
        "00" + "01" * 65536,
    ],
)
def test_what_a_stream_does_not_carry(data: str) -> None:
    with pytest.raises(Malformed):
        stream.decode(bytes.fromhex(data))


@pytest.mark.parametrize(
    "data",
    [
        "400100",
        "00010000",
        "80010000",
        "49010000" + "00" * 9,
        "41010000",
        "400000000161",
        "4100000061",
        "50000000",
        "60010000",
        "70010000",
        "70450000",
        "40e10000",
        "40600000",
        "40010000ff",
        "40010000" + "00" * 1500,
    ],
)
def test_what_is_no_datagram(data: str) -> None:
    with pytest.raises(Malformed):
        datagram.decode(bytes.fromhex(data))


def test_empty_messages_acknowledge_and_reset() -> None:
    for type_ in (Type.CONFIRMABLE, Type.ACKNOWLEDGEMENT, Type.RESET):
        empty = Datagram(type_, 0x1234, CoapMessage(codes.EMPTY))
        assert datagram.encode(empty).hex() == f"{0x40 | type_ << 4:02x}001234"
        assert datagram.decode(datagram.encode(empty)) == empty


@pytest.mark.parametrize(
    "message",
    [
        CoapMessage(codes.EMPTY),
        CoapMessage(0xE1),
        CoapMessage(codes.GET, bytes(9)),
        CoapMessage(codes.GET, options=((2, b""), (1, b""))),
        CoapMessage(codes.PUT, payload=bytes(65534)),
    ],
)
def test_what_does_not_fit_a_stream_is_misuse(message: CoapMessage) -> None:
    with pytest.raises(Misuse):
        stream.encode(message)


@pytest.mark.parametrize(
    "sent",
    [
        Datagram(Type.CONFIRMABLE, 0x10000, CoapMessage(codes.GET)),
        Datagram(Type.CONFIRMABLE, 1, CoapMessage(codes.GET, bytes(9))),
        Datagram(Type.CONFIRMABLE, 1, CoapMessage(codes.PUT, payload=bytes(1472))),
    ],
)
def test_what_does_not_fit_a_datagram_is_misuse(sent: Datagram) -> None:
    with pytest.raises(Misuse):
        datagram.encode(sent)


def test_options_of_a_message() -> None:
    message = CoapMessage(codes.GET, options=opt.path_options("/sensors/temperature"))
    assert message.path == "/sensors/temperature"
    assert message.option(opt.URI_PATH) == b"sensors"
    assert message.option(opt.OBSERVE) is None
    observed = message.with_options((opt.ACCEPT, b"\x3c"), (opt.OBSERVE, b""))
    assert observed.options == (
        (opt.OBSERVE, b""),
        (opt.URI_PATH, b"sensors"),
        (opt.URI_PATH, b"temperature"),
        (opt.ACCEPT, b"\x3c"),
    )
    assert observed.without(opt.OBSERVE, opt.ACCEPT) == message


def test_logs_show_no_content() -> None:
    message = CoapMessage(codes.PUT, b"\x01", opt.path_options("/secret-path"), b"secret")
    assert str(message) == "0.03 token=01 options=[11] payload=6 B"
    assert codes.text(codes.TOO_MANY_REQUESTS) == "4.29"
