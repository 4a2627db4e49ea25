"""Observing resources (RFC 7641): the numbers of notifications, and which of two is fresher."""

from typing import Final

from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import OBSERVE, decode_uint

REGISTER: Final = 0
DEREGISTER: Final = 1
MAX_AGE_S: Final = 128.0

_BITS = 24
_HALF = 1 << (_BITS - 1)


def asked(request: CoapMessage) -> int | None:
    """`REGISTER`, `DEREGISTER`, or None for a request that says nothing about observing.

    Methods that can't be observed, and other values, count as nothing. Raises `Malformed` for a value that is not a
    number of 24 bits.
    """
    value = request.option(OBSERVE)
    if value is None or request.code not in (codes.GET, codes.FETCH):
        return None
    number = decode_uint(value, 3)
    return number if number in (REGISTER, DEREGISTER) else None


class NotificationNumbers:
    """The sender's side: numbers that grow by one for each notification, modulo 2**24."""

    def __init__(self) -> None:
        self._next = 0

    def take(self) -> int:
        number = self._next
        self._next = (number + 1) % (1 << _BITS)
        return number


class Freshness:
    """The receiver's side of notifications without OSCORE, whose partial IVs tell the order themselves."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._received_at = 0.0

    def is_fresh(self, number: int, now: float) -> bool:
        """Whether a notification is newer than the newest so far (section 3.4); it is the newest then."""
        known = self._number
        is_newer = (
            known is None
            or (known < number and number - known < _HALF)
            or (known > number and known - number > _HALF)
            or now > self._received_at + MAX_AGE_S
        )
        if is_newer:
            self._number, self._received_at = number, now
        return is_newer
