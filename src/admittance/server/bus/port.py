"""What the nodes of one server tell each other through: named subjects, at most once, in order for each sender."""

from collections.abc import Awaitable, Callable
from typing import Protocol

MAX_MESSAGE_BYTES = 512 * 1024
"""The most that one message may hold."""

Handler = Callable[[bytes], None]
"""Takes a message at once, without waiting. What it raises is logged."""

Responder = Callable[[bytes], Awaitable[bytes]]
"""Answers a request. What it raises is logged, and the asking side gets `Unavailable`."""


class Bus(Protocol):
    """A message reaches every subscriber of its subject on every node, the sender's own too, or is lost.

    Subjects are words of letters, digits, ``_`` and ``-`` joined by dots. Subscriptions hold until `close`.
    """

    @property
    def is_shared(self) -> bool:
        """Whether other processes can be on this bus."""

    @property
    def connected(self) -> bool:
        """Whether messages go out now."""

    async def start(self) -> None:
        """Connect. A bus that does not answer is tried again for ever, in the background."""

    async def close(self) -> None:
        """Send what is queued, as far as that takes no longer than a second, and disconnect."""

    def publish(self, subject: str, data: bytes) -> None:
        """Queue a message of at most `MAX_MESSAGE_BYTES`; lost while disconnected or when too many are queued.

        Raises `Misuse` for a longer one.
        """

    async def subscribe(self, subject: str, handler: Handler) -> None:
        """Call `handler` for each message from now on."""

    async def request(self, subject: str, data: bytes, timeout_s: float) -> bytes:
        """Ask whoever serves `subject`. Raises `Unavailable` when nobody does, or no answer comes in time."""

    async def serve(self, subject: str, responder: Responder) -> None:
        """Answer requests, each in a task of its own."""
