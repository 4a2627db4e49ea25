"""Where a token for this device is to be had: what is told to who asks without one (RFC 9200, section 5.3)."""

from typing import Final

from admittance.wire.ace import RequestHints

ENDPOINT_PATH: Final = "/ace/token"
PAUSE_S: Final = 1.0


class Hints:
    """They are longer than most questions, and a question over UDP may come in another's name: so they are told once
    a second at most, whoever asks."""

    def __init__(self, origin: str, device_id: str) -> None:
        self._encoded = RequestHints(f"{origin}{ENDPOINT_PATH}", f"{origin}/d/{device_id}").encode()
        self._next_at = float("-inf")

    def __call__(self, now: float) -> bytes:
        """The hints, as encoded; empty where they were told less than a second ago."""
        if now < self._next_at:
            return b""
        self._next_at = now + PAUSE_S
        return self._encoded
