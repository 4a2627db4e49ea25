"""The requests that one end of a channel gets: each is handed over once, whole, and answered once.

Bodies in blocks are put together before anybody sees them; answers that are too large are kept for who fetches their
further blocks, so a block is never a reason to carry a request out again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from admittance.errors import Conflict, Malformed, Misuse, NotFound, TooLarge
from admittance.protocol.channel.events import Event, ObservationEnded, RequestReceived
from admittance.protocol.channel.oscore import Exchange
from admittance.protocol.channel.session import Session, with_token
from admittance.protocol.coap import observe
from admittance.protocol.coap.blockwise import MAX_BODY_BYTES, Downloads, Uploads, block_of
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import (
    ACCEPT,
    BLOCK1,
    BLOCK2,
    OBSERVE,
    REQUEST_TAG,
    SIZE1,
    SIZE2,
    URI_HOST,
    URI_PATH,
    URI_PORT,
    URI_QUERY,
    Block,
    encode_uint,
    is_critical,
)

MAX_OPEN: Final = 32
MAX_OBSERVATIONS: Final = 16
ANSWER_S: Final = 120.0
SWEEP_S: Final = 60.0

# Critical options that are understood here or by whoever carries a request out; with another one it is refused.
_UNDERSTOOD = frozenset({URI_HOST, URI_PORT, URI_PATH, URI_QUERY, ACCEPT, BLOCK1, BLOCK2})
_TRANSFER = (BLOCK1, BLOCK2, SIZE1, SIZE2, REQUEST_TAG)


@dataclass(slots=True)
class _Call:
    """A request of the peer's that is open. `request` has the options of its transfer, but the whole body."""

    handle: int
    session: Session
    request: CoapMessage
    exchange: Exchange
    since: float
    last_block: Block | None
    block_bytes: int
    numbers: observe.NotificationNumbers | None

    @property
    def observes(self) -> bool:
        return self.numbers is not None


class Incoming:
    """`send` takes a protected message; `take_handle` gives a new number."""

    def __init__(
        self,
        send: Callable[[CoapMessage], None],
        take_handle: Callable[[], int],
        whole_bytes: int,
        block_bytes: int,
    ) -> None:
        self._send = send
        self._take_handle = take_handle
        self._whole_bytes = whole_bytes
        self._block_bytes = block_bytes
        self._calls: dict[int, _Call] = {}
        self._transfers: dict[Session, tuple[Uploads, Downloads]] = {}
        self._sweep_at: float | None = None
        self.events: list[Event] = []

    def receive(self, session: Session, request: CoapMessage, exchange: Exchange, now: float) -> None:
        """Take a request that was opened in `session`."""
        if self._sweep_at is None:
            self._sweep_at = now + SWEEP_S
        try:
            answer = self._take(session, request, exchange, now)
        except (Conflict, NotFound):
            answer = CoapMessage(codes.REQUEST_ENTITY_INCOMPLETE)
        except TooLarge:
            answer = CoapMessage(codes.TOO_LARGE)
        except Malformed:
            answer = CoapMessage(codes.BAD_REQUEST)
        if answer is not None:
            self.answer(session, exchange, with_token(answer, request.token))

    def respond(self, handle: int, response: CoapMessage, now: float) -> None:
        """Answer a request for good. Does nothing if nobody waits for the answer any more.

        Raises `TooLarge` for more than 64 KiB; the request is still open then.
        """
        _check_size(response)
        call = self._calls.pop(handle, None)
        if call is not None:
            self.answer(call.session, call.exchange, self._first_block(call, response.without(OBSERVE), now))

    def notify(self, handle: int, response: CoapMessage, now: float) -> None:
        """Answer a request, and keep it open for further notifications. An error ends it.

        Raises `Misuse` if the request did not ask for notifications, and `TooLarge` as `respond`.
        """
        _check_size(response)
        call = self._calls.get(handle)
        if call is None:
            return
        if call.numbers is None:
            raise Misuse("a notification to a request that observes nothing")
        if not codes.is_success(response.code):
            self.respond(handle, response, now)
            return
        number = encode_uint(call.numbers.take())
        first = self._first_block(call, response, now).without(OBSERVE).with_options((OBSERVE, number))
        self.answer(call.session, call.exchange, first)

    def end_observations(self, keep: Session) -> None:
        """End those of other sessions than `keep`: the peer registers anew."""
        for call in list(self._calls.values()):
            if call.observes and call.session is not keep:
                self._end(call)

    def lose(self, session: Session) -> None:
        """A session is over: whoever asked in it gets no answer."""
        self._transfers.pop(session, None)
        for call in list(self._calls.values()):
            if call.session is session:
                self._end(call)

    def next_timeout(self) -> float | None:
        return self._sweep_at

    def handle_timeout(self, now: float) -> None:
        """Forget requests that nobody answered, and bodies that were not completed."""
        if self._sweep_at is None or now < self._sweep_at:
            return
        for call in list(self._calls.values()):
            if not call.observes and now >= call.since + ANSWER_S:
                del self._calls[call.handle]
        for uploads, downloads in self._transfers.values():
            uploads.expire(now)
            downloads.expire(now)
        is_clear = not any(uploads or downloads for uploads, downloads in self._transfers.values())
        self._sweep_at = None if is_clear and not self._calls else now + SWEEP_S

    def _take(self, session: Session, request: CoapMessage, exchange: Exchange, now: float) -> CoapMessage | None:
        """The answer, if there is one without asking anybody."""
        if any(is_critical(number) and number not in _UNDERSTOOD for number, _ in request.options):
            return CoapMessage(codes.BAD_OPTION)
        _ = request.path
        uploads, downloads = self._transfers.setdefault(session, (Uploads(), Downloads()))
        upload, download = block_of(request, BLOCK1), block_of(request, BLOCK2)
        if upload is not None:
            whole = uploads.receive(request, upload, now)
            if whole is None:
                return CoapMessage(codes.CONTINUE, options=((BLOCK1, upload.encode()),))
            request = whole
        elif download is not None and download.number > 0:
            return downloads.further(request, download, now)
        if len(self._calls) >= MAX_OPEN + MAX_OBSERVATIONS:
            return CoapMessage(codes.UNAVAILABLE)
        self._open(session, request, exchange, now, upload, download)
        return None

    def _open(
        self,
        session: Session,
        request: CoapMessage,
        exchange: Exchange,
        now: float,
        upload: Block | None,
        download: Block | None,
    ) -> None:
        asked = observe.asked(request)
        if asked == observe.DEREGISTER:
            self._deregister(session, request.token)
        observing = sum(call.observes for call in self._calls.values())
        numbers = None
        if asked == observe.REGISTER and exchange.observes and observing < MAX_OBSERVATIONS:
            self._deregister(session, request.token)
            numbers = observe.NotificationNumbers()
        handle = self._take_handle()
        size = min(download.size, self._block_bytes) if download else self._block_bytes
        self._calls[handle] = _Call(handle, session, request, exchange, now, upload, size, numbers)
        dropped = _TRANSFER if numbers is not None else (*_TRANSFER, OBSERVE)
        self.events.append(RequestReceived(handle, session.holder, request.without(*dropped)))

    def _deregister(self, session: Session, token: bytes) -> None:
        for call in list(self._calls.values()):
            if call.observes and call.session is session and call.request.token == token:
                self._end(call)

    def _first_block(self, call: _Call, response: CoapMessage, now: float) -> CoapMessage:
        """The answer, or its first block if it is too large for one message or the peer asked for blocks."""
        asked_for_blocks = call.request.option(BLOCK2) is not None
        if call.last_block is not None:
            response = response.with_options((BLOCK1, call.last_block.encode()))
        if len(response.payload) > (call.block_bytes if asked_for_blocks else self._whole_bytes):
            transfers = self._transfers.get(call.session)
            if transfers is not None:
                response = transfers[1].first(call.request, response, call.block_bytes, now)
        return with_token(response, call.request.token)

    def answer(self, session: Session, exchange: Exchange, response: CoapMessage) -> None:
        """Send an answer in `session` as it is."""
        session.messages += 1
        self._send(session.context.protect_response(response, exchange))

    def _end(self, call: _Call) -> None:
        if self._calls.pop(call.handle, None) is not None and call.observes:
            self.events.append(ObservationEnded(call.handle))


def _check_size(response: CoapMessage) -> None:
    if len(response.payload) > MAX_BODY_BYTES:
        raise TooLarge(f"An answer has at most {MAX_BODY_BYTES} bytes.")
