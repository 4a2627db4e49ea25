"""Two ends of one security context, for tests."""

from admittance.protocol.channel.oscore import (
    AES_CCM_16_64_128,
    Algorithm,
    MemorySequence,
    ReplayWindow,
    SecurityContext,
    SenderSequence,
)
from admittance.wire.coap import codes
from admittance.wire.coap import options as opt
from admittance.wire.coap.message import CoapMessage

SECRET = bytes(range(16))
REQUEST = CoapMessage(codes.PUT, b"\x01\x02", opt.path_options("/lock"), b"locked")
RESPONSE = CoapMessage(codes.CHANGED, b"\x01\x02", ((opt.CONTENT_FORMAT, b""),), b"done")
OBSERVE = CoapMessage(codes.GET, b"\x07", ((opt.OBSERVE, b""), *opt.path_options("/sensors")))
NOTIFICATION = CoapMessage(codes.CONTENT, b"\x07", ((opt.OBSERVE, b"\x05"),), b"21.5")


def client(
    algorithm: Algorithm = AES_CCM_16_64_128, first: int = 0, sequence: SenderSequence | None = None
) -> SecurityContext:
    return SecurityContext.derive(
        SECRET,
        sender_id=b"\x0a",
        recipient_id=b"\x0b",
        algorithm=algorithm,
        sequence=sequence or MemorySequence(first),
    )


def server(algorithm: Algorithm = AES_CCM_16_64_128, window: int | ReplayWindow = 64) -> SecurityContext:
    return SecurityContext.derive(SECRET, sender_id=b"\x0b", recipient_id=b"\x0a", algorithm=algorithm, window=window)
