"""A channel that is opened by a possession key in place of EDHOC: ``POST /authz-info`` (RFC 9203, section 4).

The request names the token and is not protected, and nobody has proven anything by it: the key is proven by the first
message that opens under the context. So a responder keeps what it answered as half-open, and an initiator asks for a
protected answer before it calls the channel open.
"""

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field
from typing import Final

from admittance.errors import (
    AdmittanceError,
    AuthenticationFailed,
    Malformed,
    QuotaExceeded,
    Refused,
    TimeUnknown,
    Unavailable,
    WrongDevice,
    WrongNonce,
)
from admittance.protocol.access.possession import NONCE_BYTES, client_keys, server_keys
from admittance.protocol.channel.edhoc import free_connection_id
from admittance.protocol.channel.half_open import HalfOpen
from admittance.protocol.channel.opening import ATTEMPT_S, MAX_ATTEMPTS, PAUSE_S, TOKEN_BYTES
from admittance.protocol.channel.oscore import Exchange
from admittance.protocol.channel.session import Session
from admittance.wire.access import AUTHZ_INFO_PATH, GrantedKey
from admittance.wire.ace import AuthzInfo, AuthzInfoAnswer
from admittance.wire.coap import codes, formats
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import CONTENT_FORMAT, MAX_AGE, OSCORE, encode_uint, path_options

ACE_FORMAT: Final = ((CONTENT_FORMAT, encode_uint(formats.ACE_CBOR)),)
_POST = (*path_options(AUTHZ_INFO_PATH), *ACE_FORMAT)


@dataclass(frozen=True, slots=True)
class PossessionKey:
    """A token, by reference (16 bytes) or an offline one, and the master secret of the key that it is bound to (32
    bytes)."""

    token: bytes
    master_secret: bytes = field(repr=False)


@dataclass(frozen=True)
class Possessors:
    """Whom a responder lets in by a possession key. One serves all channels of a program.

    `find` gives the key of a token and `standing` a key of an open channel as it stands now; both raise `Refused` for
    one that opens nothing any more. `hints` are those for who asks without any key, as encoded; empty where they are
    not told now.
    """

    find: Callable[[bytes], GrantedKey]
    standing: Callable[[GrantedKey], GrantedKey]
    hints: Callable[[float], bytes]
    unproven: HalfOpen[Session] = field(default_factory=HalfOpen)


class AuthzInfoAnswering:
    """The responder's side, for one peer."""

    def __init__(self, possessors: Possessors, random: Callable[[int], bytes], peer: Hashable) -> None:
        self._possessors = possessors
        self._random = random
        self._peer = peer

    @property
    def connection_ids(self) -> frozenset[bytes]:
        """Ours that are taken by contexts which nobody has proven."""
        return self._possessors.unproven.connection_ids(self._peer)

    def receive(self, request: CoapMessage, taken: frozenset[bytes], now: float) -> CoapMessage:
        """The answer to a request to authz-info that is not protected. `taken` are our connection ids in use."""
        if request.option(CONTENT_FORMAT) != ACE_FORMAT[0][1]:
            return CoapMessage(codes.UNSUPPORTED_FORMAT, request.token)
        try:
            answer = self._begin(AuthzInfo.decode(request.payload), taken, now)
        except Malformed:
            return CoapMessage(codes.BAD_REQUEST, request.token)
        except QuotaExceeded:
            return CoapMessage(codes.UNAVAILABLE, request.token, ((MAX_AGE, encode_uint(int(PAUSE_S))),))
        except WrongDevice:
            return CoapMessage(codes.FORBIDDEN, request.token)
        except (WrongNonce, TimeUnknown):
            return hint(self._possessors, request, now)
        except Refused:
            return CoapMessage(codes.UNAUTHORIZED, request.token)
        return CoapMessage(codes.CREATED, request.token, ACE_FORMAT, answer.encode())

    def hint(self, request: CoapMessage, now: float) -> CoapMessage:
        """The answer to any other request that is not protected."""
        return hint(self._possessors, request, now)

    def unproven(self, connection_id: bytes | None, now: float) -> Session | None:
        """The context of that id that waits for its first message."""
        return self._possessors.unproven.get(self._peer, connection_id or b"", now)

    def proven(self, session: Session, now: float) -> None:
        """A message opened under it."""
        self._possessors.unproven.take(self._peer, session.recipient_id, now)

    def close(self) -> None:
        self._possessors.unproven.drop(self._peer)

    def _begin(self, asked: AuthzInfo, taken: frozenset[bytes], now: float) -> AuthzInfoAnswer:
        if asked.client_id is None:
            raise Malformed("an update of a token that is not protected")
        key = self._possessors.find(asked.access_token)
        unproven = self._possessors.unproven
        unproven.make_room(self._peer, now)
        answer = AuthzInfoAnswer(
            self._random(NONCE_BYTES), free_connection_id({*taken, *self.connection_ids, asked.client_id})
        )
        keys = server_keys(key.master_secret, asked, answer)
        session = Session(keys, now, key, lambda: self._possessors.standing(key))
        unproven.add(self._peer, answer.server_id, session, now)
        return answer


def hint(possessors: Possessors, request: CoapMessage, now: float) -> CoapMessage:
    """The answer to a request of somebody who has opened nothing (RFC 9200, section 5.3)."""
    hints = possessors.hints(now)
    return CoapMessage(codes.UNAUTHORIZED, request.token, ACE_FORMAT if hints else (), hints)


def is_update(request: CoapMessage) -> bool:
    """Whether a protected request hands over a token (RFC 9203, section 4.1)."""
    try:
        return request.code == codes.POST and request.path == AUTHZ_INFO_PATH
    except Malformed:
        return False


def answer_update(request: CoapMessage, key: GrantedKey) -> CoapMessage:
    """The answer to a protected request that hands over a token: it changes nothing, for what a key is good for is
    the server's to say, and so the token of the channel's own key is the only one that is taken."""
    try:
        asked = AuthzInfo.decode(request.payload)
    except Malformed:
        return CoapMessage(codes.BAD_REQUEST, request.token)
    code = codes.CREATED if key.is_of(asked.access_token) else codes.UNAUTHORIZED
    return CoapMessage(code, request.token)


class PossessionOpening:
    """The initiator's side: up to `MAX_ATTEMPTS`, each with a nonce of its own."""

    def __init__(self, key: PossessionKey, taken: Collection[bytes], random: Callable[[int], bytes]) -> None:
        self._key = key
        self._client_id = free_connection_id(taken)
        self._random = random
        self._attempts = 0
        self._asked = AuthzInfo(key.token)
        self._derived: tuple[Session, Exchange] | None = None
        self.token = b""
        self.deadline = 0.0

    def begin(self, now: float) -> CoapMessage:
        return self._authz_info(now)

    def receive(self, response: CoapMessage, now: float) -> CoapMessage | Session | None:
        """As `Opening.receive` has it: the session once an answer under it came."""
        if response.token != self.token or not self.token:
            return None
        try:
            if self._derived is None:
                return self._confirm(self._derive(response, now), now)
            return _confirmed(response, *self._derived)
        except (Malformed, AuthenticationFailed, Unavailable) as error:
            return self._again(error, now)

    def handle_timeout(self, now: float) -> CoapMessage | None:
        if now < self.deadline:
            return None
        if not self.token:
            return self._authz_info(now)
        if self._derived is None:
            return self._again(Unavailable("The device did not answer in time."), now)
        return self._again(AuthenticationFailed("The device took the token, and proved no key."), now)

    def _authz_info(self, now: float) -> CoapMessage:
        self._attempts += 1
        self._derived = None
        self._asked = AuthzInfo(self._key.token, self._random(NONCE_BYTES), self._client_id)
        self._expect(now)
        return CoapMessage(codes.POST, self.token, _POST, self._asked.encode())

    def _derive(self, response: CoapMessage, now: float) -> Session:
        if response.code == codes.UNAVAILABLE:
            raise Unavailable("The device has too many handshakes under way.")
        if response.code != codes.CREATED:
            raise AuthenticationFailed("The device does not know the token.")
        answer = AuthzInfoAnswer.decode(response.payload)
        return Session(client_keys(self._key.master_secret, self._asked, answer), now)

    def _confirm(self, session: Session, now: float) -> CoapMessage:
        """A request under the new context, whose answer proves that the device has the key."""
        self._expect(now)
        request = CoapMessage(codes.POST, self.token, _POST, AuthzInfo(self._key.token).encode())
        outer, exchange = session.context.protect_request(request)
        session.messages += 1
        self._derived = session, exchange
        return outer

    def _again(self, error: AdmittanceError, now: float) -> CoapMessage | None:
        """Another attempt: at once, or after a pause if the device has no room; or the end."""
        if self._attempts >= MAX_ATTEMPTS:
            raise error
        if not isinstance(error, Unavailable) or now >= self.deadline:
            return self._authz_info(now)
        self.token = b""
        self.deadline = now + PAUSE_S
        return None

    def _expect(self, now: float) -> None:
        self.token = self._random(TOKEN_BYTES)
        self.deadline = now + ATTEMPT_S


def _confirmed(response: CoapMessage, session: Session, exchange: Exchange) -> Session:
    if response.option(OSCORE) is None:
        raise AuthenticationFailed("The device does not know the key.")
    session.context.unprotect_response(response, exchange)
    session.messages += 1
    return session
