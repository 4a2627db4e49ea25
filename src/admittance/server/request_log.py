"""The log of requests: those of one turn of the event loop are written together, which costs less."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog
from msgspec import Struct
from msgspec.json import Encoder

from admittance.server.logs import holds_token, output
from admittance.server.turn import MOST, Turn

log = structlog.stdlib.get_logger(__name__)


class Line(Struct):
    """What structlog makes of a request, and takes four times as long for."""

    listener: str
    method: str
    path: str
    status: int
    milliseconds: float
    event: str
    level: str
    logger: str
    timestamp: datetime


class RequestLog:
    """What one listener was asked. The log never gets a query, a header or a body."""

    def __init__(self, listener: str) -> None:
        self._listener = listener
        self._log = log.bind(listener=listener)
        self._encoder = Encoder()
        self._lines = Turn(self._write, MOST)

    def add(self, method: str, path: str, status: int, seconds: float) -> None:
        """Log a request, together with others of this turn."""
        milliseconds = round(seconds * 1000, 1)
        now = datetime.now(UTC)
        self._lines.add(Line(self._listener, method, path, status, milliseconds, "request", "info", __name__, now))

    def _write(self, lines: Sequence[Line]) -> None:
        if not self._log.is_enabled_for(logging.INFO):
            return
        if output.is_json and not holds_token("\n".join([line.path for line in lines])):
            output.write(self._encoder.encode_lines(lines).decode().removesuffix("\n"))
            return
        for line in lines:
            self._log.info(
                line.event, method=line.method, path=line.path, status=line.status, milliseconds=line.milliseconds
            )
