"""What ties responses to their request."""

from typing import Final

NOTHING: Final = -2
REQUEST_NONCE: Final = -1


class Exchange:
    """A request, as long as a response to it may come or go.

    The requester's exchange remembers what it has seen, so that each response is taken once and notifications only
    in their order; the responder's remembers whether the request's nonce was used.

    `newest` is the number of the newest response: a partial IV, or one of the constants above.
    """

    __slots__ = ("aad", "is_answered", "is_nonce_used", "newest", "nonce", "observes", "response_code")

    def __init__(self, aad: bytes, nonce: bytes, response_code: int, *, observes: bool) -> None:
        self.aad = aad
        self.nonce = nonce
        self.response_code = response_code
        self.observes = observes
        self.is_nonce_used = False
        self.is_answered = False
        self.newest = NOTHING
