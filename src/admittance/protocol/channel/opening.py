"""How an initiator opens a channel, whatever it proves itself by."""

from typing import Final, Protocol

from admittance.protocol.channel.session import Session
from admittance.wire.coap.message import CoapMessage

MAX_ATTEMPTS: Final = 3
ATTEMPT_S: Final = 5.0
PAUSE_S: Final = 1.0
TOKEN_BYTES: Final = 4


class Opening(Protocol):
    """Up to `MAX_ATTEMPTS` attempts to make one session."""

    @property
    def token(self) -> bytes:
        """Of the request under way."""

    @property
    def deadline(self) -> float:
        """When `handle_timeout` is due."""

    def begin(self, now: float) -> CoapMessage:
        """The first request."""

    def receive(self, response: CoapMessage, now: float) -> "CoapMessage | Session | None":
        """What an answer leads to: the next request, the session, or nothing if it answers nothing of ours.

        Raises `AuthenticationFailed` or `Unavailable` after the last attempt.
        """

    def handle_timeout(self, now: float) -> CoapMessage | None:
        """The next request, if it is time for one. Raises as `receive`."""
