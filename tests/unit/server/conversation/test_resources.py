import pytest

from admittance import errors
from admittance.server.conversation.resources import ConversingDevice, answer
from admittance.wire import cbor
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import ACCEPT, CONTENT_FORMAT, URI_HOST, path_options
from admittance.wire.message import Message
from admittance.wire.readings import ServerTime

DEVICE = ConversingDevice("AD" + "A" * 20, 3)


async def echo(device: ConversingDevice, payload: bytes) -> Message:
    assert device is DEVICE
    return ServerTime(len(payload))


def request(code: int, path: str = "/echo", *more: tuple[int, bytes], payload: bytes = b"") -> CoapMessage:
    return CoapMessage(code, options=path_options(path), payload=payload).with_options(*more)


RESOURCES = {("GET", "/echo"): echo, ("POST", "/echo"): echo}


async def test_a_handler_answers_in_cbor() -> None:
    for code, answered in ((codes.GET, codes.CONTENT), (codes.POST, codes.CHANGED)):
        response = await answer(RESOURCES, DEVICE, request(code, "/echo", (ACCEPT, b"<"), payload=b"abc"))
        assert response.code == answered
        assert response.option(CONTENT_FORMAT) == b"<"
        assert cbor.decode(response.payload) == [3]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (request(codes.GET, "/other"), codes.NOT_FOUND),
        (request(codes.GET, "/echo/more"), codes.NOT_FOUND),
        (request(codes.GET, "/"), codes.NOT_FOUND),
        (request(codes.DELETE), codes.METHOD_NOT_ALLOWED),
        (request(codes.GET, "/echo", (URI_HOST, b"elsewhere")), codes.BAD_OPTION),
        (CoapMessage(codes.GET, options=((11, b".."),)), codes.BAD_REQUEST),
    ],
)
async def test_what_no_handler_takes_is_refused(asked: CoapMessage, code: int) -> None:
    assert await answer(RESOURCES, DEVICE, asked) == CoapMessage(code)


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (errors.Malformed("x"), codes.BAD_REQUEST),
        (errors.NotAllowed("x"), codes.FORBIDDEN),
        (errors.AuthenticationFailed("x"), codes.FORBIDDEN),
        (errors.Conflict("x"), codes.CONFLICT),
        (errors.Throttled(3), codes.TOO_MANY_REQUESTS),
        (errors.Unavailable("x"), codes.UNAVAILABLE),
        (errors.Misuse("x"), codes.INTERNAL),
        (ValueError("x"), codes.INTERNAL),
    ],
)
async def test_errors_become_codes_and_tell_nothing_else(raised: Exception, code: int) -> None:
    async def fail(_device: ConversingDevice, _payload: bytes) -> Message:
        raise raised

    assert await answer({("GET", "/echo"): fail}, DEVICE, request(codes.GET)) == CoapMessage(code)
