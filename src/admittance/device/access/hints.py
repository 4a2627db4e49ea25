"""Where a token for this device is to be had: what is told to who asks without one (RFC 9200, section 5.3)."""

from collections.abc import Callable
from typing import Final

from admittance.wire.ace import RequestHints

ENDPOINT_PATH: Final = "/ace/token"
PAUSE_S: Final = 1.0


class Hints:
    """They are longer than most questions, and a question over UDP may come in another's name: so they are told once
    a second at most, whoever asks."""

    def __init__(self, origin: str, device_id: str, nonce: Callable[[], bytes] = bytes) -> None:
        """`nonce` gives one for a token, or nothing while none is needed."""
        self._origin = origin
        self._device_id = device_id
        self._nonce = nonce
        self._next_at = float("-inf")

    def __call__(self, now: float) -> bytes:
        """The hints, as encoded; empty where they were told less than a second ago."""
        if now < self._next_at:
            return b""
        self._next_at = now + PAUSE_S
        origin, device_id = self._origin, self._device_id
        return RequestHints(f"{origin}{ENDPOINT_PATH}", f"{origin}/d/{device_id}", cnonce=self._nonce()).encode()
