"""The log of requests: those of one turn of the event loop are written together, which costs less."""

from collections.abc import Sequence

import structlog

from admittance.server.logs import output
from admittance.server.turn import MOST, Turn

log = structlog.stdlib.get_logger(__name__)


class RequestLog:
    """What one listener was asked. The log never gets a query, a header or a body."""

    def __init__(self, listener: str) -> None:
        self._log = log.bind(listener=listener)
        self._answered = Turn(self._write, MOST)

    def add(self, method: str, path: str, status: int, seconds: float) -> None:
        """Log a request, together with others of this turn."""
        self._answered.add((method, path, status, seconds))

    def _write(self, answered: Sequence[tuple[str, str, int, float]]) -> None:
        with output.piece():
            for method, path, status, seconds in answered:
                milliseconds = round(seconds * 1000, 1)
                self._log.info("request", method=method, path=path, status=status, milliseconds=milliseconds)
