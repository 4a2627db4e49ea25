import asyncio
import io
import json

import pytest

from admittance.server.logs import configure_logs
from admittance.server.request_log import RequestLog

pytestmark = pytest.mark.usefixtures("logging_restored")


class Stream(io.StringIO):
    """Counts what is written to it."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


async def logged(level: str) -> Stream:
    """What is written of two requests of one turn."""
    stream = Stream()
    configure_logs("json", level, stream)
    requests = RequestLog("people")
    requests.add("GET", "/healthz", 200, 0.00123)
    requests.add("POST", "/oauth/token", 401, 0.5)
    await asyncio.sleep(0)
    return stream


async def test_requests_of_one_turn_are_written_together() -> None:
    stream = await logged("info")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["listener"], first["method"], first["path"], first["status"]) == ("people", "GET", "/healthz", 200)
    assert (first["milliseconds"], second["milliseconds"]) == (1.2, 500.0)
    assert second["event"] == "request"
    assert stream.writes == 1


async def test_nothing_is_written_below_the_level() -> None:
    stream = await logged("warning")
    assert stream.getvalue() == ""
