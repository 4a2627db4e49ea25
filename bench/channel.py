"""What end-to-end protection costs: OSCORE exchanges beside aiocoap's, and beside the bare AEAD.

An exchange is a POST of 64 bytes that is echoed: the request is protected and opened, then the response, in
AES-CCM-16-64-128 (figures with `gcm`: A128GCM), in one process. Messages are objects at both ends; no datagram is
encoded. The programs take turns, and the fastest round of each counts: the one that other work disturbed least.

- `oscore_exchanges_per_second`, `oscore_us`: ours in a second of CPU time; what one takes.
- `oscore_over_aiocoap`: how many times as long aiocoap's module takes, `aiocoap_us`, for the same exchange.
- `oscore_over_bare_aead`: how many times as long ours takes as the two encryptions and the two decryptions alone,
  `bare_aead_us`, with the same sizes.
- `round_trip_…`, `busy_…`: answers through the relay, as `bench.round_trips` tells.
"""

import time
from collections.abc import Callable

from aiocoap.message import Direction
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM

from admittance.protocol.channel.oscore import A128GCM, AES_CCM_16_64_128, Algorithm, SecurityContext
from admittance.wire.coap import codes
from admittance.wire.coap import options as opt
from admittance.wire.coap.message import CoapMessage
from bench import round_trips
from tests.interop.aiocoap_oscore import PeerContext, to_aiocoap

EXCHANGES = 200
ROUNDS = 40
CLIENT_ID, SERVER_ID = b"\x0a", b"\x0b"
SECRET = bytes(range(16))
FORMAT = (opt.CONTENT_FORMAT, opt.encode_uint(42))
REQUEST = CoapMessage(codes.POST, b"\x01\x02", (*opt.path_options("/echo"), FORMAT), bytes(64))
RESPONSE = CoapMessage(codes.CHANGED, b"\x01\x02", (FORMAT,), bytes(64))


def run() -> dict[str, float]:
    """OSCORE first: round trips start processes that would disturb it."""
    return oscore_figures() | round_trips.run()


def oscore_figures() -> dict[str, float]:
    """The exchange in both algorithms."""
    ccm = _measure(AES_CCM_16_64_128, "AES-CCM-16-64-128", AESCCM(SECRET, tag_length=8))
    gcm = _measure(A128GCM, "A128GCM", AESGCM(SECRET))
    return _figures("oscore", "", *ccm) | _figures("oscore_gcm", "gcm_", *gcm)


def _figures(name: str, prefix: str, ours_s: float, aiocoap_s: float, bare_s: float) -> dict[str, float]:
    return {
        f"{name}_over_aiocoap": aiocoap_s / ours_s,
        f"{name}_over_bare_aead": ours_s / bare_s,
        f"{name}_exchanges_per_second": 1 / ours_s,
        f"{name}_us": ours_s * 1e6,
        f"{prefix}aiocoap_us": aiocoap_s * 1e6,
        f"{prefix}bare_aead_us": bare_s * 1e6,
    }


def _measure(algorithm: Algorithm, name: str, aead: AESCCM | AESGCM) -> tuple[float, float, float]:
    """Seconds of CPU for one exchange: ours, aiocoap's, and the AEAD alone."""
    programs = (_ours(algorithm), _aiocoap(name), _bare(aead, algorithm.nonce_bytes))
    rounds = [[_cpu_s(program) for program in programs] for _ in range(ROUNDS)]
    ours, aiocoap, bare = (min(times) / EXCHANGES for times in zip(*rounds, strict=True))
    return ours, aiocoap, bare


def _ours(algorithm: Algorithm) -> Callable[[], None]:
    client = SecurityContext.derive(SECRET, sender_id=CLIENT_ID, recipient_id=SERVER_ID, algorithm=algorithm)
    server = SecurityContext.derive(SECRET, sender_id=SERVER_ID, recipient_id=CLIENT_ID, algorithm=algorithm)

    def exchange() -> None:
        outer, sent = client.protect_request(REQUEST)
        request, received = server.unprotect_request(outer)
        answer = server.protect_response(RESPONSE, received)
        response = client.unprotect_response(answer, sent)
        assert response.payload == request.payload

    return exchange


def _aiocoap(name: str) -> Callable[[], None]:
    client = PeerContext(SECRET, sender_id=CLIENT_ID, recipient_id=SERVER_ID, algorithm=name)
    server = PeerContext(SECRET, sender_id=SERVER_ID, recipient_id=CLIENT_ID, algorithm=name)
    question, echo = (to_aiocoap(message, Direction.OUTGOING) for message in (REQUEST, RESPONSE))

    def exchange() -> None:
        outer, sent = client.protect(question)
        outer.direction = Direction.INCOMING
        request, received = server.unprotect(outer)
        answer, _ = server.protect(echo, received)
        answer.direction = Direction.INCOMING
        response, _ = client.unprotect(answer, sent)
        assert response.payload == request.payload

    return exchange


def _bare(aead: AESCCM | AESGCM, nonce_bytes: int) -> Callable[[], None]:
    """Plaintexts are code, options of 7 bytes and of 2, marker and payload; additional data are 22 bytes."""
    nonce, additional, request, response = bytes(nonce_bytes), bytes(22), bytes(73), bytes(68)

    def exchange() -> None:
        aead.decrypt(nonce, aead.encrypt(nonce, request, additional), additional)
        aead.decrypt(nonce, aead.encrypt(nonce, response, additional), additional)

    return exchange


def _cpu_s(program: Callable[[], None]) -> float:
    began = time.process_time()
    for _ in range(EXCHANGES):
        program()
    return time.process_time() - began
