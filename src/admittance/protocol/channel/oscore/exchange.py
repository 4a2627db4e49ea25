"""What ties responses to their request."""

from typing import Final

import msgspec

NOTHING: Final = -2
REQUEST_NONCE: Final = -1


class Exchange(msgspec.Struct, eq=False, gc=False):
    """A request, as long as a response to it may come or go.

    The requester's exchange remembers what it has seen, so that each response is taken once and notifications only
    in their order; the responder's remembers whether the request's nonce was used.

    `newest` is the number of the newest response: a partial IV, or one of the constants above.
    """

    aad: bytes
    nonce: bytes
    response_code: int
    observes: bool = False
    is_nonce_used: bool = False
    is_answered: bool = False
    newest: int = NOTHING
