"""From a CoAP request to the resource that answers it, and from its answer or error to the response."""

from typing import Final, Protocol

from admittance.device.applications import Caller, Content, Method, Request
from admittance.device.log import Log
from admittance.device.resources.tree import CORE_PATH, Tree
from admittance.errors import (
    AdmittanceError,
    AlreadyUsed,
    Conflict,
    Malformed,
    NotAllowed,
    NotFound,
    QuotaExceeded,
    Refused,
    Throttled,
    TooLarge,
    Unavailable,
)
from admittance.protocol.channel.scope import check_scope
from admittance.wire.access import GrantedKey, Holder
from admittance.wire.coap import codes, formats
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import (
    ACCEPT,
    CONTENT_FORMAT,
    OBSERVE,
    SIZE1,
    URI_HOST,
    URI_PATH,
    URI_PORT,
    URI_QUERY,
    decode_uint,
    encode_uint,
    is_critical,
)
from admittance.wire.offline import EPOCH_LIST_PATH

METHODS: Final[dict[int, Method]] = {
    codes.GET: "GET",
    codes.POST: "POST",
    codes.PUT: "PUT",
    codes.DELETE: "DELETE",
    codes.FETCH: "FETCH",
}
KNOWN: Final = frozenset({URI_HOST, URI_PORT, URI_PATH, URI_QUERY, CONTENT_FORMAT, ACCEPT, OBSERVE, SIZE1})
SUCCESS: Final[dict[Method, int]] = {
    "GET": codes.CONTENT,
    "FETCH": codes.CONTENT,
    "POST": codes.CHANGED,
    "PUT": codes.CHANGED,
    "DELETE": codes.DELETED,
}
READING: Final[frozenset[Method]] = frozenset({"GET", "FETCH"})
REFUSALS: Final[tuple[tuple[type[AdmittanceError], int], ...]] = (
    (Malformed, codes.BAD_REQUEST),
    (NotAllowed, codes.FORBIDDEN),
    (NotFound, codes.NOT_FOUND),
    (Conflict, codes.CONFLICT),
    (AlreadyUsed, codes.CONFLICT),
    (TooLarge, codes.TOO_LARGE),
    (Throttled, codes.TOO_MANY_REQUESTS),
    (QuotaExceeded, codes.TOO_MANY_REQUESTS),
    (Refused, codes.FORBIDDEN),
    (Unavailable, codes.UNAVAILABLE),
)
MAX_DETAIL_BYTES: Final = 200


class Rules(Protocol):
    """What holds for possession keys beyond their scope."""

    def check(self, key: GrantedKey) -> None:
        """Raises `OutsideWindow`, `UsesSpent` or `TimeUnknown` for a request that `key` is not good for now."""

    def use(self, key: GrantedKey) -> None:
        """Count an actuation, which may begin when this returns. Raises as `check`, and `QuotaExceeded`."""


class Dispatcher:
    """Answers requests by the resources of `tree`; those of possession keys as far as `rules` allow."""

    def __init__(self, tree: Tree, rules: Rules, log: Log) -> None:
        self._tree = tree
        self._rules = rules
        self._log = log

    def is_observable(self, message: CoapMessage) -> bool:
        """Whether a GET of this may be observed."""
        try:
            return message.code == codes.GET and self._tree.find(message.path).observable
        except (Malformed, NotFound):
            return False

    async def answer(self, holder: Holder, message: CoapMessage) -> CoapMessage:
        """The response to a whole request over the channel of `holder`. Raises nothing but `CancelledError`."""
        try:
            return await self._answer(holder, message)
        except AdmittanceError as error:
            return refusal(error)
        except Exception as error:
            self._log("request_failed", cause=type(error).__name__)
            return CoapMessage(codes.INTERNAL)

    async def _answer(self, holder: Holder, message: CoapMessage) -> CoapMessage:
        path = message.path
        method = METHODS.get(message.code)
        if method is None:
            return CoapMessage(codes.METHOD_NOT_ALLOWED)
        if any(is_critical(number) and number not in KNOWN for number, _ in message.options):
            return CoapMessage(codes.BAD_OPTION)
        if isinstance(holder, GrantedKey):
            self._rules.check(holder)
        if path != CORE_PATH:
            check_scope(holder, message.code, path)
        elif method == "GET":
            return response(Content(self._tree.links(holder), formats.LINK), method)
        resource = self._tree.find(path)
        if method not in resource.methods:
            return CoapMessage(codes.METHOD_NOT_ALLOWED)
        request = request_of(holder, message, method, path)
        if isinstance(holder, GrantedKey) and method not in READING and path != EPOCH_LIST_PATH:
            self._rules.use(holder)
        content = await resource.handler(request)
        if method == "GET" and request.accept not in (None, content.content_format):
            return CoapMessage(codes.NOT_ACCEPTABLE)
        return response(content, method)


def request_of(holder: Holder, message: CoapMessage, method: Method, path: str) -> Request:
    """The request as resources see it. Raises `Malformed`."""
    try:
        query = tuple(value.decode() for value in message.all_options(URI_QUERY))
    except UnicodeDecodeError as error:
        raise Malformed("The query is not UTF-8.") from error
    return Request(
        method=method,
        path=path,
        caller=Caller(holder.kid, holder.role, holder.name),
        payload=message.payload,
        content_format=_number(message, CONTENT_FORMAT),
        accept=_number(message, ACCEPT),
        query=query,
    )


def response(content: Content, method: Method) -> CoapMessage:
    """The response that carries `content`."""
    answer = CoapMessage(content.code or SUCCESS[method], payload=content.payload)
    if content.content_format is None:
        return answer
    return answer.with_options((CONTENT_FORMAT, encode_uint(content.content_format)))


def refusal(error: AdmittanceError) -> CoapMessage:
    """The response that says what an error says, with its sentence as diagnostic payload (RFC 7252, 5.5.2)."""
    code = next((code for kind, code in REFUSALS if isinstance(error, kind)), codes.INTERNAL)
    detail = str(error).encode()[:MAX_DETAIL_BYTES].decode(errors="ignore") if code != codes.INTERNAL else ""
    return CoapMessage(code, payload=detail.encode())


def _number(message: CoapMessage, option: int) -> int | None:
    value = message.option(option)
    return None if value is None else decode_uint(value)
