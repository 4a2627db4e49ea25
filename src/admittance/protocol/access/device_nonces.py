"""Nonces by which a device without a clock knows that a token is fresh: ``cnonce`` (RFC 9200, section 5.3.1).

A nonce tells when it was made, on the device's monotonic clock, and a MAC under a key of this power-up: so it can be
given to anybody, as often as asked, and nothing has to be remembered of it.
"""

import hmac
from typing import Final

from admittance.errors import WrongNonce

FRESH_S: Final = 900
"""How long a client has to fetch a token with a nonce and come back."""

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 16
_TIME_BYTES: Final = 4


class DeviceNonces:
    """`key` is random, 32 bytes, and of this power-up alone. Times are seconds on the monotonic clock."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, now: float) -> bytes:
        """A nonce, 16 bytes; the same within one second."""
        made_at = int(now).to_bytes(_TIME_BYTES)
        return made_at + self._tag(made_at)

    def check(self, nonce: bytes, now: float) -> None:
        """Raises `WrongNonce` unless this device made `nonce` in the last 15 minutes, since it was switched on."""
        made_at, tag = nonce[:_TIME_BYTES], nonce[_TIME_BYTES:]
        if not hmac.compare_digest(tag, self._tag(made_at)):
            raise WrongNonce("The token's nonce is none of this device's, or from before it was switched on.")
        if not 0 <= now - int.from_bytes(made_at) <= FRESH_S:
            raise WrongNonce("The token's nonce is too old: ask the device for another.")

    def _tag(self, made_at: bytes) -> bytes:
        return hmac.digest(self._key, made_at, "sha256")[: NONCE_BYTES - _TIME_BYTES]
