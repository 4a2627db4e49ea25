"""CoAP codes (RFC 7252, section 12.1): a class of three bits and a detail of five, written ``class.detail``."""

from typing import Final

EMPTY: Final = 0x00

GET: Final = 0x01
POST: Final = 0x02
PUT: Final = 0x03
DELETE: Final = 0x04
FETCH: Final = 0x05
PATCH: Final = 0x06
IPATCH: Final = 0x07

CREATED: Final = 0x41
DELETED: Final = 0x42
VALID: Final = 0x43
CHANGED: Final = 0x44
CONTENT: Final = 0x45
CONTINUE: Final = 0x5F

BAD_REQUEST: Final = 0x80
UNAUTHORIZED: Final = 0x81
BAD_OPTION: Final = 0x82
FORBIDDEN: Final = 0x83
NOT_FOUND: Final = 0x84
METHOD_NOT_ALLOWED: Final = 0x85
NOT_ACCEPTABLE: Final = 0x86
REQUEST_ENTITY_INCOMPLETE: Final = 0x88
CONFLICT: Final = 0x89
PRECONDITION_FAILED: Final = 0x8C
TOO_LARGE: Final = 0x8D
UNSUPPORTED_FORMAT: Final = 0x8F
UNPROCESSABLE: Final = 0x96
TOO_MANY_REQUESTS: Final = 0x9D

INTERNAL: Final = 0xA0
NOT_IMPLEMENTED: Final = 0xA1
BAD_GATEWAY: Final = 0xA2
UNAVAILABLE: Final = 0xA3
GATEWAY_TIMEOUT: Final = 0xA4


REQUESTS: Final = frozenset(range(0x01, 0x20))
RESPONSES: Final = frozenset((*range(0x40, 0x60), *range(0x80, 0xC0)))


def is_request(code: int) -> bool:
    """A method: 0.01 to 0.31."""
    return code in REQUESTS


def is_response(code: int) -> bool:
    """Success (2.xx), or an error of the client (4.xx) or of the server (5.xx); the other classes are reserved."""
    return code in RESPONSES


def is_success(code: int) -> bool:
    return code >> 5 == 2


def text(code: int) -> str:
    """As people write it: ``2.05``."""
    return f"{code >> 5}.{code & 0x1F:02}"
