"""What is not protected: the messages of EDHOC over CoAP (RFC 9528, appendix A.2), for either end of a channel.

These messages are not protected, and neither are their errors: what a relay may have changed or made up costs an
attempt, and the initiator makes another.
"""

from collections.abc import Callable, Collection, Hashable
from typing import Final

from admittance.errors import (
    AdmittanceError,
    AuthenticationFailed,
    Malformed,
    NotFound,
    QuotaExceeded,
    SuiteRefused,
    Throttled,
    Unavailable,
)
from admittance.protocol.access.authz_info import AuthzInfoAnswering, Possessors
from admittance.protocol.channel.edhoc import (
    ERROR,
    ERROR_SUITE,
    ChannelKey,
    Initiator,
    Responder,
)
from admittance.protocol.channel.half_open import HalfOpen
from admittance.protocol.channel.opening import ATTEMPT_S, MAX_ATTEMPTS, PAUSE_S, TOKEN_BYTES
from admittance.protocol.channel.session import Session
from admittance.wire.access import AUTHZ_INFO_PATH
from admittance.wire.channel import Credential, Entry
from admittance.wire.coap import codes, formats
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import CONTENT_FORMAT, MAX_AGE, encode_uint, path_options

EDHOC_PATH: Final = "/.well-known/edhoc"
ADMISSIONS_PATH: Final = "/admissions"

MAX_ADMISSIONS: Final = 8

_EDHOC_POST = (*path_options(EDHOC_PATH), (CONTENT_FORMAT, encode_uint(formats.CID_EDHOC)))
_ADMISSION_POST = path_options(ADMISSIONS_PATH)
_EDHOC_ANSWER = ((CONTENT_FORMAT, encode_uint(formats.EDHOC)),)


class EdhocOpening:
    """The initiator's side of one handshake: up to `MAX_ATTEMPTS`, each with keys of its own."""

    def __init__(
        self,
        own: ChannelKey,
        peer: Credential,
        admission: bytes,
        taken: Collection[bytes],
        random: Callable[[int], bytes],
    ) -> None:
        self._own = own
        self._peer = peer
        self._admission = admission
        self._taken = taken
        self._random = random
        self._attempts = 0
        self._initiator: Initiator | None = None
        self.token = b""
        self._is_verified = False
        self.deadline = 0.0

    def begin(self, now: float) -> CoapMessage:
        """The admission if there is one, else message_1."""
        if not self._admission:
            return self._message_1(now)
        self.token = self._random(TOKEN_BYTES)
        self.deadline = now + ATTEMPT_S
        return CoapMessage(codes.POST, self.token, _ADMISSION_POST, self._admission)

    def receive(self, response: CoapMessage, now: float) -> CoapMessage | Session | None:
        if response.token != self.token or self._is_pausing:
            return None
        if self._initiator is None:
            return self._message_1(now)
        try:
            return self._next(self._initiator, response, now)
        except (Malformed, AuthenticationFailed, Unavailable) as error:
            return self._again(error, now)

    def handle_timeout(self, now: float) -> CoapMessage | None:
        if now < self.deadline:
            return None
        if self._is_pausing or self._initiator is None:
            return self._message_1(now)
        return self._again(Unavailable("The device did not answer the handshake in time."), now)

    @property
    def _is_pausing(self) -> bool:
        return not self.token

    def _next(self, initiator: Initiator, response: CoapMessage, now: float) -> CoapMessage | Session:
        if response.code == codes.UNAVAILABLE:
            raise Unavailable("The device has too many handshakes under way.")
        if response.code != codes.CHANGED:
            raise AuthenticationFailed("The device refused the handshake: it may not list this app's key.")
        if self._is_verified:
            return Session(initiator.receive_message_4(response.payload), now)
        payload = initiator.receive_message_2(response.payload)
        self._is_verified = True
        return self._request(payload, now)

    def _message_1(self, now: float) -> CoapMessage:
        self._attempts += 1
        self._is_verified = False
        self._initiator = Initiator(self._own, self._peer, self._taken)
        return self._request(self._initiator.message_1(), now)

    def _again(self, error: AdmittanceError, now: float) -> CoapMessage | None:
        """Another attempt: at once, or after a pause if the device has no room; or the end."""
        if self._attempts >= MAX_ATTEMPTS:
            raise error
        if not isinstance(error, Unavailable) or now >= self.deadline:
            return self._message_1(now)
        self.token = b""
        self.deadline = now + PAUSE_S
        return None

    def _request(self, payload: bytes, now: float) -> CoapMessage:
        self.token = self._random(TOKEN_BYTES)
        self.deadline = now + ATTEMPT_S
        return CoapMessage(codes.POST, self.token, _EDHOC_POST, payload)


class Answering:
    """The responder's side: answers the unprotected requests of one peer.

    `admit` takes the bytes of an admission; it raises `Refused` or `Malformed` for one that does not hold. The peer
    learns no more of a failure than that there is one.
    """

    def __init__(
        self,
        own: ChannelKey,
        find: Callable[[bytes], Entry],
        admit: Callable[[bytes], None] | None,
        half_open: "HalfOpen[Responder[Entry]]",
        possessors: Possessors | None,
        random: Callable[[int], bytes],
        peer: Hashable,
    ) -> None:
        self._own = own
        self._find = find
        self._admit = admit
        self._half_open = half_open
        self._peer = peer
        self._admissions_left = MAX_ADMISSIONS
        self._authz_info = None if possessors is None else AuthzInfoAnswering(possessors, random, peer)

    def receive(
        self, request: CoapMessage, taken: frozenset[bytes], now: float
    ) -> tuple[CoapMessage, Session | None]:
        """The answer, and what is open by it. `taken` are our connection ids in use."""
        path = _path_of(request) if request.code == codes.POST else ""
        if path == EDHOC_PATH:
            return self._edhoc(request, taken | self._ids_unproven, now)
        if path == ADMISSIONS_PATH:
            return CoapMessage(self._admission_code(request.payload), request.token), None
        if self._authz_info is None:
            return CoapMessage(codes.UNAUTHORIZED, request.token), None
        if path == AUTHZ_INFO_PATH:
            return self._authz_info.receive(request, taken | self._half_open.connection_ids(self._peer), now), None
        return self._authz_info.hint(request, now), None

    def unproven(self, connection_id: bytes | None, now: float) -> Session | None:
        """The context of a possession key under which no message came yet."""
        return None if self._authz_info is None else self._authz_info.unproven(connection_id, now)

    def proven(self, session: Session, now: float) -> None:
        """A message opened in what `unproven` gave."""
        if self._authz_info is not None:
            self._authz_info.proven(session, now)

    @property
    def _ids_unproven(self) -> frozenset[bytes]:
        return frozenset() if self._authz_info is None else self._authz_info.connection_ids

    def _edhoc(self, request: CoapMessage, taken: frozenset[bytes], now: float) -> tuple[CoapMessage, Session | None]:
        try:
            payload, opened = self._handshake(request.payload, taken, now)
        except SuiteRefused:
            return _refusal(request, codes.BAD_REQUEST, ERROR_SUITE), None
        except (Malformed, AuthenticationFailed, NotFound):
            return _refusal(request, codes.BAD_REQUEST, ERROR), None
        except QuotaExceeded:
            busy = CoapMessage(codes.UNAVAILABLE, request.token, ((MAX_AGE, encode_uint(int(PAUSE_S))),))
            return busy, None
        return CoapMessage(codes.CHANGED, request.token, _EDHOC_ANSWER, payload), opened

    def close(self) -> None:
        self._half_open.drop(self._peer)
        if self._authz_info is not None:
            self._authz_info.close()

    def _handshake(self, payload: bytes, taken: frozenset[bytes], now: float) -> tuple[bytes, Session | None]:
        if payload[:1] == b"\xf5":
            self._half_open.make_room(self._peer, now)
            responder = Responder(self._own, self._find)
            message_2 = responder.receive_message_1(payload, taken | self._half_open.connection_ids(self._peer))
            self._half_open.add(self._peer, responder.connection_id, responder, now)
            return message_2, None
        responder = self._half_open.take(self._peer, payload[:1], now)
        message_4, entry = responder.receive_message_3(payload)
        return message_4, Session(responder.keys, now, entry, lambda: self._find(entry.kid))

    def _admission_code(self, data: bytes) -> int:
        if self._admit is None or not self._admissions_left:
            return codes.FORBIDDEN
        self._admissions_left -= 1
        try:
            self._admit(data)
        except Malformed:
            return codes.BAD_REQUEST
        except Throttled:
            return codes.TOO_MANY_REQUESTS
        except AdmittanceError:
            return codes.FORBIDDEN
        return codes.CHANGED


def _refusal(request: CoapMessage, code: int, error: bytes) -> CoapMessage:
    return CoapMessage(code, request.token, _EDHOC_ANSWER, error)


def _path_of(request: CoapMessage) -> str:
    try:
        return request.path
    except Malformed:
        return ""
