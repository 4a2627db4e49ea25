"""When, and where, to connect to the relay again."""

from collections.abc import Callable, Sequence
from typing import Final

from admittance.device.backoff import Backoff
from admittance.errors import AdmittanceError, WebSocketClosed
from admittance.wire.relay import CloseCode, parse_retry_after

LONGEST_S: Final = 30.0
STABLE_S: Final = 10.0
UNWELCOME: Final = frozenset({CloseCode.NOT_AUTHENTICATED, CloseCode.REVOKED, CloseCode.SUPERSEDED})


class Retrying:
    """Nodes in turn, with growing delays: 0.5 to 1 s first, 15 to 30 s in the end.

    A node that names a time is obeyed. Where the device is not welcome it waits for the longest time at once: another
    node would say the same. `jitter` gives numbers from 0 to 1.
    """

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._backoff = Backoff(jitter, LONGEST_S)
        self._tries = 0

    def url(self, urls: Sequence[str]) -> str:
        """The node to try now."""
        return urls[self._tries % len(urls)]

    def failed(self, error: AdmittanceError, connected_s: float) -> float:
        """The seconds to wait, after a connection of `connected_s` (0: there was none) ended with `error`."""
        self._tries += 1
        if connected_s >= STABLE_S:
            self._backoff.reset()
        delay_s = self._backoff.next()
        if not isinstance(error, WebSocketClosed):
            return delay_s
        named_ms = parse_retry_after(error.reason)
        if named_ms is not None:
            return named_ms / 1000
        if error.close_code in UNWELCOME:
            return LONGEST_S * (1 - self._jitter() / 2)
        return delay_s

    def reset(self) -> None:
        """Start over: network, certificate or nodes are new."""
        self._backoff.reset()
        self._tries = 0
