import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from admittance.server.logs import configure_logs
from admittance.server.request_log import RequestLog


class Stream(io.StringIO):
    """Counts what is written to it."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


@pytest.fixture
def stream() -> Iterator[Stream]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield Stream()
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


async def logged(stream: Stream, level: str) -> None:
    configure_logs("json", level, stream)
    requests = RequestLog("people")
    requests.add("GET", "/healthz", 200, 0.00123)
    requests.add("POST", "/oauth/token", 401, 0.5)
    await asyncio.sleep(0)


async def test_requests_of_one_turn_are_written_together(stream: Stream) -> None:
    await logged(stream, "info")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["listener"], first["method"], first["path"], first["status"]) == ("people", "GET", "/healthz", 200)
    assert (first["milliseconds"], second["milliseconds"]) == (1.2, 500.0)
    assert second["event"] == "request"
    assert stream.writes == 1


async def test_nothing_is_written_below_the_level(stream: Stream) -> None:
    await logged(stream, "warning")
    assert stream.getvalue() == ""
