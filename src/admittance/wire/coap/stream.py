"""CoAP messages over WebSockets and other transports that keep boundaries (RFC 8323, section 4).

A message is ``[0 | token length][code][token][options][0xFF payload]``; the transport tells its length, so the length
nibble is 0. Only requests and responses travel: signalling (7.xx) and empty messages are refused.
"""

from admittance.errors import Malformed, Misuse
from admittance.wire.coap.codes import is_request, is_response
from admittance.wire.coap.message import MAX_MESSAGE_BYTES, MAX_TOKEN_BYTES, CoapMessage
from admittance.wire.coap.options import decode_options, encode_options


def encode(message: CoapMessage) -> bytes:
    """Raises `Misuse` for a message that `decode` would refuse."""
    token, code = message.token, message.code
    if len(token) > MAX_TOKEN_BYTES or not (is_request(code) or is_response(code)):
        raise Misuse(f"not a request or response with a token of up to {MAX_TOKEN_BYTES} bytes")
    data = bytes((len(token), code)) + token + encode_options(message.options, message.payload)
    if len(data) > MAX_MESSAGE_BYTES:
        raise Misuse(f"a message of {len(data)} bytes where at most {MAX_MESSAGE_BYTES} are allowed")
    return data


def decode(data: bytes) -> CoapMessage:
    """Raises `Malformed` for anything but one request or response of at most 65,536 bytes."""
    if not 2 <= len(data) <= MAX_MESSAGE_BYTES:
        raise Malformed(f"a CoAP message of {len(data)} bytes")
    token_bytes, code = data[0], data[1]
    if token_bytes > MAX_TOKEN_BYTES:
        raise Malformed("a CoAP message with a length, or with a token of a reserved length")
    if not (is_request(code) or is_response(code)):
        raise Malformed("a CoAP message that is neither request nor response")
    body = 2 + token_bytes
    if body > len(data):
        raise Malformed("a CoAP message that ends in its token")
    options, payload = decode_options(data, body)
    return CoapMessage(code, data[2:body], options, payload)
