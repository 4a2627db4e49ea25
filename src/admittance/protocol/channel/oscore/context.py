"""The security context (RFC 8613): protects CoAP messages for one peer and opens what that peer protected.

The caller hands over and gets whole `CoapMessage`s; "outer" is what travels. Of an outer message only its token and
its OSCORE option count: all other options of what is opened come from inside.
"""

from functools import lru_cache
from typing import Final, Self

from cryptography.exceptions import InvalidTag

from admittance.errors import ContextExhausted, DecryptionFailed, Malformed, Misuse, Replayed
from admittance.protocol.channel.oscore.algorithms import AES_CCM_16_64_128, Algorithm
from admittance.protocol.channel.oscore.exchange import REQUEST_NONCE, Exchange
from admittance.protocol.channel.oscore.keys import DerivedKeys, Numbering
from admittance.protocol.channel.oscore.replay import ReplayWindow
from admittance.protocol.channel.oscore.sequence import MemorySequence, SenderSequence
from admittance.wire import oscore
from admittance.wire.coap.codes import CHANGED, CONTENT, FETCH, POST, REQUESTS, RESPONSES
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import (
    OBSERVE,
    OSCORE,
    PAYLOAD_MARKER,
    PROXY_SCHEME,
    PROXY_URI,
    URI_HOST,
    URI_PORT,
    Options,
    decode_options,
    encode_options,
    encode_uint,
)
from admittance.wire.oscore import MAX_PARTIAL_IV_BYTES, OscoreOption, encode_partial_iv

_REGISTER: Final = b""
_UNPROTECTED: Final = frozenset({URI_HOST, URI_PORT, PROXY_URI, PROXY_SCHEME})
_OUTER: Final = _UNPROTECTED | {OBSERVE}
_OBSERVE_VALUE_BITS = 0xFFFFFF
_MARKER = bytes((PAYLOAD_MARKER,))
_KEPT_BYTES = 64


def oscore_option(outer: CoapMessage) -> OscoreOption:
    """What a protected message says about its context. Raises `Malformed` if it is not a protected message."""
    found = None
    for number, value in outer.options:
        if number == OSCORE:
            if found is not None:
                raise Malformed("a message with two OSCORE options")
            found = value
    if found is None:
        raise Malformed("a message without an OSCORE option")
    return oscore.decode(found)


class SecurityContext:
    """One end of a pairwise context. The other end has sender and recipient exchanged.

    It protects `algorithm.max_sealed` messages, and opens messages until it met `algorithm.max_forged` that do not
    open; beyond that, `ContextExhausted` is raised.
    """

    __slots__ = (
        "_forged",
        "_id_context",
        "_max_bytes",
        "_max_forged",
        "_max_plaintext_bytes",
        "_max_sealed",
        "_numbering",
        "_opener",
        "_option_heads",
        "_option_tail",
        "_peer_numbering",
        "_recipient_id",
        "_sealed",
        "_sealer",
        "_sequence",
        "window",
    )

    def __init__(
        self,
        keys: DerivedKeys,
        sender_id: bytes,
        recipient_id: bytes,
        id_context: bytes | None,
        algorithm: Algorithm,
        window: ReplayWindow,
        sequence: SenderSequence,
    ) -> None:
        if sender_id == recipient_id:
            raise Misuse("both ends of a context have the same id")
        self.window = window
        self._sequence = sequence
        self._recipient_id = recipient_id
        self._id_context = id_context
        self._max_bytes = algorithm.max_bytes
        self._max_plaintext_bytes = algorithm.max_bytes - algorithm.tag_bytes
        self._max_sealed = algorithm.max_sealed
        self._max_forged = algorithm.max_forged
        self._sealer = algorithm.load(keys.sender)
        self._opener = algorithm.load(keys.recipient)
        self._numbering = Numbering(sender_id, keys.common_iv, algorithm)
        self._peer_numbering = Numbering(recipient_id, keys.common_iv, algorithm)
        value = oscore.encode(OscoreOption(None, sender_id, id_context))
        self._option_heads = tuple(bytes((value[0] | length,)) for length in range(MAX_PARTIAL_IV_BYTES + 1))
        self._option_tail = value[1:]
        self._sealed = 0
        self._forged = 0

    @classmethod
    def derive(
        cls,
        master_secret: bytes,
        *,
        master_salt: bytes = b"",
        sender_id: bytes,
        recipient_id: bytes,
        id_context: bytes | None = None,
        algorithm: Algorithm = AES_CCM_16_64_128,
        window: int | ReplayWindow = 64,
        sequence: SenderSequence | None = None,
    ) -> Self:
        """The context that a master secret makes (RFC 8613, section 3.2).

        Ids have up to 7 bytes (A128GCM: 6). A context that outlives its process needs a `ReservedSequence` and,
        after a restart, a window that is lost, behind an `EchoGate`. Raises `Misuse` for ids that are too long or the
        same.
        """
        keys = DerivedKeys.derive(master_secret, master_salt, sender_id, recipient_id, id_context, algorithm)
        replay = ReplayWindow(window) if isinstance(window, int) else window
        return cls(keys, sender_id, recipient_id, id_context, algorithm, replay, sequence or MemorySequence())

    @property
    def messages_sealed(self) -> int:
        """How many messages this end has protected: who sees them grow near the limit makes a new context."""
        return self._sealed

    def protect_request(self, message: CoapMessage) -> tuple[CoapMessage, Exchange]:
        """The outer request, and what its responses are opened with. Its token is the message's."""
        if message.code not in REQUESTS:
            raise Misuse("a request was expected")
        head, outer = _encode_head(message.code, message.options)
        number = self._sequence.take()
        partial_iv = encode_partial_iv(number)
        nonce, aad = self._numbering.request(number, partial_iv)
        payload = self._seal(nonce, head, message.payload, aad)
        option = (OSCORE, self._option_heads[len(partial_iv)] + partial_iv + self._option_tail)
        if not outer:
            return CoapMessage(POST, message.token, (option,), payload), Exchange(aad, nonce, CHANGED)
        observe = message.option(OBSERVE)
        code, response_code = (POST, CHANGED) if observe is None else (FETCH, CONTENT)
        protected = CoapMessage(code, message.token, tuple(sorted((*outer, option))), payload)
        return protected, Exchange(aad, nonce, response_code, observe == _REGISTER)

    def unprotect_request(self, outer: CoapMessage) -> tuple[CoapMessage, Exchange]:
        """The request inside, and what its responses are protected with.

        Raises `Malformed`, `Replayed`, or `DecryptionFailed` for another context or a message that was changed; only
        a genuine message moves the window.
        """
        partial_iv = self._request_partial_iv(outer)
        number = int.from_bytes(partial_iv, "big")
        self.window.check(number)
        nonce, aad = self._peer_numbering.request(number, partial_iv)
        plaintext = self._open(nonce, outer.payload, aad)
        self.window.mark(number)
        return _request(plaintext, outer, nonce, aad)

    def unprotect_unordered_request(self, outer: CoapMessage) -> tuple[CoapMessage, Exchange, int]:
        """As `unprotect_request`, but without the window, and with the request's number: it may be a replay.

        For `EchoGate` alone. No response to it uses its nonce, for one may have before.
        """
        partial_iv = self._request_partial_iv(outer)
        number = int.from_bytes(partial_iv, "big")
        nonce, aad = self._peer_numbering.request(number, partial_iv)
        message, exchange = _request(self._open(nonce, outer.payload, aad), outer, nonce, aad)
        exchange.is_nonce_used = True
        return message, exchange, number

    def protect_response(self, message: CoapMessage, exchange: Exchange, *, own_piv: bool = False) -> CoapMessage:
        """The outer response. The first one to a request uses the request's nonce, unless `own_piv`; each further one
        (notifications) has a partial IV of its own. The Observe value of a notification travels outside alone."""
        if message.code not in RESPONSES:
            raise Misuse("a response was expected")
        head, outer = _encode_head(message.code, message.options)
        nonce, value = exchange.nonce, b""
        if own_piv or exchange.is_nonce_used:
            number = self._sequence.take()
            partial_iv = encode_partial_iv(number)
            nonce, value = self._numbering.nonce(number), bytes((len(partial_iv),)) + partial_iv
        else:
            exchange.is_nonce_used = True
        payload = self._seal(nonce, head, message.payload, exchange.aad)
        option = (OSCORE, value)
        options = tuple(sorted((*outer, option))) if outer else (option,)
        return CoapMessage(exchange.response_code, message.token, options, payload)

    def unprotect_response(self, outer: CoapMessage, exchange: Exchange) -> CoapMessage:
        """The response inside. A notification has an Observe option, whose value is the low 24 bits of its number.

        Raises `Replayed` for a second response, and for a notification that is not newer than the last; `Malformed`
        and `DecryptionFailed` as for requests, and `Malformed` for a notification to who asked for none.
        """
        option = oscore_option(outer)
        partial_iv = option.partial_iv
        if outer.code not in RESPONSES:
            raise Malformed("a response was expected")
        self._check_names(option.kid, option.kid_context)
        number, nonce = REQUEST_NONCE, exchange.nonce
        if partial_iv is not None:
            number = int.from_bytes(partial_iv, "big")
            nonce = self._peer_numbering.nonce(number)
        if exchange.is_answered or number <= exchange.newest:
            raise Replayed("This response was seen before, or is older than the last one.")
        plaintext = self._open(nonce, outer.payload, exchange.aad)
        exchange.newest = number
        code, options, observe, payload = _decode(plaintext)
        if code not in RESPONSES:
            raise Malformed("a protected response that holds a request")
        if observe is None:
            exchange.is_answered = True
            return CoapMessage(code, outer.token, options, payload)
        if not exchange.observes:
            raise Malformed("a notification to a request that observes nothing")
        value = encode_uint(max(number, 0) & _OBSERVE_VALUE_BITS)
        return CoapMessage(code, outer.token, _with_observe(options, value), payload)

    def _request_partial_iv(self, outer: CoapMessage) -> bytes:
        """The partial IV of a request that names this context."""
        option = oscore_option(outer)
        partial_iv, kid = option.partial_iv, option.kid
        if outer.code not in REQUESTS or partial_iv is None or kid is None:
            raise Malformed("not a protected request with kid and partial IV")
        self._check_names(kid, option.kid_context)
        return partial_iv

    def _check_names(self, kid: bytes | None, kid_context: bytes | None) -> None:
        """What a message names must be what is; it may leave names out."""
        is_other_kid = kid is not None and kid != self._recipient_id
        if is_other_kid or (kid_context is not None and kid_context != self._id_context):
            raise DecryptionFailed("This message is protected for another security context.")

    def _seal(self, nonce: bytes, head: bytes, payload: bytes, aad: bytes) -> bytes:
        if self._sealed >= self._max_sealed:
            raise ContextExhausted("This security context has protected as many messages as its keys are good for.")
        plaintext = head + _MARKER + payload if payload else head
        if len(plaintext) > self._max_plaintext_bytes:
            raise Misuse(f"a message of {len(plaintext)} bytes must go in blocks")
        self._sealed += 1
        return self._sealer.encrypt(nonce, plaintext, aad)

    def _open(self, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
        if self._forged >= self._max_forged:
            raise ContextExhausted("This security context has met as many forgeries as its keys are good for.")
        if len(ciphertext) > self._max_bytes:
            raise Malformed("a protected message that is longer than its algorithm allows")
        try:
            return self._opener.decrypt(nonce, ciphertext, aad)
        except InvalidTag as error:
            self._forged += 1
            raise DecryptionFailed("This message does not open under its security context.") from error


def _request(plaintext: bytes, outer: CoapMessage, nonce: bytes, aad: bytes) -> tuple[CoapMessage, Exchange]:
    code, options, observe, payload = _decode(plaintext)
    if code not in REQUESTS:
        raise Malformed("a protected request that holds a response")
    message = CoapMessage(code, outer.token, options, payload)
    if observe == _REGISTER and outer.option(OBSERVE) != _REGISTER:
        message, observe = message.without(OBSERVE), None
    response_code = CONTENT if outer.code == FETCH else CHANGED
    return message, Exchange(aad, nonce, response_code, observe == _REGISTER)


@lru_cache(128)
def _encode_head(code: int, options: Options) -> tuple[bytes, Options]:
    """What of a message is protected, before its payload, and which options travel outside (RFC 8613, section 4.1).

    Observe is both. Messages about a resource begin alike again and again: results are kept.
    """
    if any(number == OSCORE for number, _ in options):
        raise Misuse("a message that is protected already")
    inner = tuple(option for option in options if option[0] not in _UNPROTECTED)
    outer = tuple(option for option in options if option[0] in _OUTER)
    if code in RESPONSES:
        inner = _with_observe(inner, b"")
    return bytes((code,)) + encode_options(inner, b""), outer


def _decode(plaintext: bytes) -> tuple[int, Options, bytes | None, bytes]:
    """Code, options, value of Observe and payload of what was protected (RFC 8613, section 5.3).

    What comes before the first byte of 255 is code and options, unless an option holds such a byte: then that does
    not decode, and the whole is read.
    """
    if not plaintext:
        raise Malformed("a protected message without a code")
    head, marker, payload = plaintext.partition(_MARKER)
    is_whole = bool(marker) == bool(payload)
    kept = _decode_head(head) if is_whole and 0 < len(head) <= _KEPT_BYTES else None
    if kept is not None:
        return *kept, payload
    options, payload = decode_options(plaintext, 1)
    return plaintext[0], options, _observe(options), payload


@lru_cache(128)
def _decode_head(head: bytes) -> tuple[int, Options, bytes | None] | None:
    """Code, options and the value of Observe, if they end here; kept, as in `_encode_head`."""
    try:
        options, _ = decode_options(head, 1)
        return head[0], options, _observe(options)
    except Malformed:
        return None


def _observe(options: Options) -> bytes | None:
    """The value of Observe. Raises `Malformed` for what must not be inside."""
    observe = None
    for number, value in options:
        if number == OBSERVE:
            observe = value
        elif number == OSCORE:
            raise Malformed("a protected message inside a protected message")
    return observe


def _with_observe(options: Options, value: bytes) -> Options:
    return tuple((number, value if number == OBSERVE else content) for number, content in options)
