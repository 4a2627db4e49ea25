"""The log of requests: those of one turn of the event loop are written together, which costs less."""

import asyncio

import structlog

from admittance.server.logs import output

log = structlog.stdlib.get_logger(__name__)


class RequestLog:
    """What one listener was asked. The log never gets a query, a header or a body."""

    def __init__(self, listener: str) -> None:
        self._log = log.bind(listener=listener)
        self._answered: list[tuple[str, str, int, float]] = []

    def add(self, method: str, path: str, status: int, seconds: float) -> None:
        """Log a request when the event loop has done what it has to do now."""
        if not self._answered:
            asyncio.get_running_loop().call_soon(self._write)
        self._answered.append((method, path, status, seconds))

    def _write(self) -> None:
        answered, self._answered = self._answered, []
        with output.piece():
            for method, path, status, seconds in answered:
                milliseconds = round(seconds * 1000, 1)
                self._log.info("request", method=method, path=path, status=status, milliseconds=milliseconds)
