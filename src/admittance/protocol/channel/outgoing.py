"""The requests that one end of a channel makes: sent once, answered once or reported as failed.

A body that is too large for one message goes in blocks, and an answer that comes in blocks is fetched; the caller
sees whole messages. An observation moves to the next session when keys are renewed.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from admittance.errors import AdmittanceError, ChannelLost, Conflict, Malformed, QuotaExceeded, TooLarge, Unavailable
from admittance.protocol.channel.events import Event, RequestFailed, ResponseReceived
from admittance.protocol.channel.oscore import Exchange
from admittance.protocol.channel.session import Session, with_token
from admittance.protocol.coap import observe
from admittance.protocol.coap.blockwise import (
    MAX_BODY_BYTES,
    Download,
    OperationKey,
    block_of,
    download_block,
    operation_key,
    upload_block,
)
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import (
    BLOCK1,
    BLOCK2,
    OBSERVE,
    REQUEST_TAG,
    Block,
    encode_options,
    encode_uint,
)

MAX_IN_FLIGHT: Final = 32
MAX_WAITING: Final = 256
MAX_OPTION_BYTES: Final = 512

_TOKEN_BYTES = 4


@dataclass(slots=True)
class _Request:
    """A request of ours. `offset` is where the block that was sent last begins; `observing` since its first
    notification."""

    handle: int
    message: CoapMessage
    deadline: float | None
    timeout_s: float
    session: Session | None = None
    offset: int = 0
    block_bytes: int = 0
    observing: bool = False
    download: Download | None = None
    tokens: set[bytes] = field(default_factory=set)
    part_token: bytes = b""

    @property
    def is_upload(self) -> bool:
        return self.block_bytes > 0


class Outgoing:
    """`send` takes a protected message. `whole_bytes` is the most that one message carries of a body, `block_bytes`
    the size of the blocks of a larger one."""

    def __init__(
        self, random: Callable[[int], bytes], send: Callable[[CoapMessage], None], whole_bytes: int, block_bytes: int
    ) -> None:
        self._send = send
        self._whole_bytes = whole_bytes
        self._block_bytes = block_bytes
        self._next_token = int.from_bytes(random(_TOKEN_BYTES), "big")
        self._next_tag = 0
        self._requests: dict[int, _Request] = {}
        self._waiting: deque[int] = deque()
        self._awaited: dict[bytes, tuple[_Request, Exchange]] = {}
        self._keys: dict[int, OperationKey] = {}
        self.events: list[Event] = []

    def add(self, handle: int, message: CoapMessage, now: float, timeout_s: float) -> None:
        """Queue a request until `start`. Raises `TooLarge`, and `QuotaExceeded` if too many wait."""
        if len(message.payload) > MAX_BODY_BYTES or len(encode_options(message.options, b"")) > MAX_OPTION_BYTES:
            raise TooLarge(f"A request has at most {MAX_BODY_BYTES} bytes and {MAX_OPTION_BYTES} bytes of options.")
        if len(self._requests) >= MAX_WAITING:
            raise QuotaExceeded("Too many requests wait for an answer.")
        self._requests[handle] = _Request(handle, message, now + timeout_s, timeout_s)
        self._waiting.append(handle)

    def start(self, session: Session) -> None:
        """Send what waits, as far as the peer's replay window allows."""
        while self._waiting and self._in_flight < MAX_IN_FLIGHT:
            request = self._requests.get(self._waiting.popleft())
            if request is not None:
                self._begin(request, session)

    def cancel(self, handle: int) -> None:
        """Forget a request; an observation is ended at the peer."""
        request = self._requests.get(handle)
        if request is not None:
            self._deregister(request)
            self._drop(request)

    def session_of(self, token: bytes) -> Session | None:
        """The session in which an answer with this token is awaited."""
        awaited = self._awaited.get(token)
        return awaited[0].session if awaited else None

    def receive(self, outer: CoapMessage, now: float) -> None:
        """Take a protected answer. One that raises `Malformed`, `DecryptionFailed` or `Replayed` changes nothing."""
        request, exchange = self._awaited[outer.token]
        assert request.session is not None
        response = request.session.context.unprotect_response(outer, exchange)
        is_part = outer.token == request.part_token
        notifies = not is_part and response.option(OBSERVE) is not None
        if not notifies:
            self._forget(request, outer.token)
        if notifies and not request.observing:
            request.observing, request.deadline = True, None
        elif not notifies and not is_part:
            request.observing = False
        try:
            self._take(request, response, is_part=is_part, now=now)
        except (Malformed, Conflict, TooLarge) as error:
            self._deregister(request)
            self._fail(request, error)

    def renew(self, session: Session, now: float) -> None:
        """Register the observations of earlier sessions again in `session`."""
        for request in list(self._requests.values()):
            if request.observing and request.session is not session:
                self._forget_all(request)
                request.download = None
                request.deadline = now + request.timeout_s
                request.observing = False
                self._send_first(request, session)

    def lose(self, session: Session) -> None:
        """A session is over: nothing that was asked in it will be answered."""
        for request in [request for request in self._requests.values() if request.session is session]:
            self._fail(request, ChannelLost("The channel's keys were given up before the answer came."))

    def lose_all(self, error: AdmittanceError) -> None:
        """The channel is over."""
        for request in list(self._requests.values()):
            self._fail(request, ChannelLost(f"The channel ended before the answer came: {error}"))

    def next_timeout(self) -> float | None:
        return min(self._deadlines(), default=None)

    def handle_timeout(self, now: float) -> None:
        for request in list(self._requests.values()):
            if request.deadline is not None and now >= request.deadline:
                self._deregister(request)
                self._fail(request, Unavailable("The answer did not come in time: it may have been carried out."))

    def _deadlines(self) -> Iterator[float]:
        for request in self._requests.values():
            if request.deadline is not None:
                yield request.deadline

    @property
    def _in_flight(self) -> int:
        """Observations apart: their numbers are the peer's."""
        return sum(request.session is not None and not request.observing for request in self._requests.values())

    def _begin(self, request: _Request, session: Session) -> None:
        """Send a request, with a Request-Tag if its blocks could be taken for another's (RFC 9175, section 3.3)."""
        key = operation_key(request.message)
        if len(request.message.payload) > self._whole_bytes or key in self._keys.values():
            self._next_tag += 1
            request.message = request.message.with_options((REQUEST_TAG, encode_uint(self._next_tag)))
        self._keys[request.handle] = key
        self._send_first(request, session)

    def _send_first(self, request: _Request, session: Session) -> None:
        request.session = session
        if len(request.message.payload) > self._whole_bytes:
            request.offset, request.block_bytes = 0, self._block_bytes
            self._ask(request, upload_block(request.message, 0, self._block_bytes))
        else:
            self._ask(request, request.message)

    def _ask(self, request: _Request, message: CoapMessage) -> bytes:
        """Send a message of a request under a token of its own."""
        assert request.session is not None
        token = (self._next_token % (1 << 8 * _TOKEN_BYTES)).to_bytes(_TOKEN_BYTES, "big")
        self._next_token += 1
        request.session.messages += 1
        outer, exchange = request.session.context.protect_request(with_token(message, token))
        self._awaited[token] = (request, exchange)
        request.tokens.add(token)
        self._send(outer)
        return token

    def _deregister(self, request: _Request) -> None:
        """Tell the peer that nobody waits for notifications (RFC 7641, section 3.6); its answer is of no interest."""
        if request.session is None or observe.asked(request.message) != observe.REGISTER:
            return
        end = request.message.without(OBSERVE).with_options((OBSERVE, encode_uint(observe.DEREGISTER)))
        for token in request.tokens - {request.part_token}:
            outer, _ = request.session.context.protect_request(with_token(end, token))
            self._send(outer)

    def _take(self, request: _Request, response: CoapMessage, *, is_part: bool, now: float) -> None:
        if response.code == codes.CONTINUE:
            self._send_next(request, block_of(response, BLOCK1))
            return
        block = block_of(response, BLOCK2)
        if block is not None:
            self._fetch(request, response, block, is_part=is_part, now=now)
            return
        if is_part and codes.is_success(response.code):
            raise Conflict("A block was asked for, and something else came.")
        self._deliver(request, response)

    def _send_next(self, request: _Request, block: Block | None) -> None:
        """The next block of our body; the peer may ask for smaller ones (RFC 7959, section 2.9.1)."""
        if not request.is_upload or block is None or block.offset != request.offset:
            raise Conflict("The peer took another block than the one that was sent.")
        request.offset += request.block_bytes
        request.block_bytes = min(block.size, request.block_bytes)
        if request.offset >= len(request.message.payload):
            raise Conflict("The peer waits for a block beyond the last one.")
        self._ask(request, upload_block(request.message, request.offset, request.block_bytes))

    def _fetch(self, request: _Request, response: CoapMessage, block: Block, *, is_part: bool, now: float) -> None:
        """Take a block of the answer, and ask for the next one."""
        if not is_part:
            self._forget(request, request.part_token)
            request.download = Download()
        download = request.download
        if download is None:
            raise Conflict("A block came of an answer that nobody fetches.")
        whole = download.add(response, block)
        if whole is not None:
            request.download = None
            self._deliver(request, whole)
            return
        if request.observing:
            request.deadline = now + request.timeout_s
        following = download_block(request.message, download.next_number, download.size)
        request.part_token = self._ask(request, following)

    def _deliver(self, request: _Request, response: CoapMessage) -> None:
        more = request.observing and codes.is_success(response.code)
        if more:
            request.deadline = None
        else:
            self._drop(request)
        clean = with_token(response.without(OBSERVE, BLOCK1, BLOCK2), request.message.token)
        self.events.append(ResponseReceived(request.handle, clean, more))

    def _fail(self, request: _Request, error: AdmittanceError) -> None:
        self._drop(request)
        self.events.append(RequestFailed(request.handle, error))

    def _drop(self, request: _Request) -> None:
        self._forget_all(request)
        self._requests.pop(request.handle, None)
        self._keys.pop(request.handle, None)

    def _forget_all(self, request: _Request) -> None:
        for token in request.tokens:
            self._awaited.pop(token, None)
        request.tokens = set()

    def _forget(self, request: _Request, token: bytes) -> None:
        self._awaited.pop(token, None)
        request.tokens.discard(token)
