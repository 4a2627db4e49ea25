import asyncio
import io
import json

import pytest

from admittance.server import request_log
from admittance.server.logs import configure_logs
from admittance.server.request_log import RequestLog

pytestmark = pytest.mark.usefixtures("logging_restored")


class Stream(io.StringIO):
    """Counts what is written to it."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


@pytest.fixture
def stream() -> Stream:
    return Stream()


HEALTHY = ("GET", "/healthz", 200, 0.00123)
REFUSED = ("POST", "/oauth/token", 401, 0.5)


async def logged(*answered: tuple[str, str, int, float]) -> None:
    """Requests of one turn."""
    requests = RequestLog("people")
    for each in answered:
        requests.add(*each)
    await asyncio.sleep(0)


async def test_requests_of_one_turn_are_written_together(stream: Stream) -> None:
    configure_logs("json", "info", stream)
    await logged(HEALTHY, REFUSED)
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["listener"], first["method"], first["path"], first["status"]) == ("people", "GET", "/healthz", 200)
    assert (first["milliseconds"], second["milliseconds"]) == (1.2, 500.0)
    assert second["event"] == "request"
    assert stream.writes == 1


async def test_a_line_is_what_structlog_would_write(stream: Stream) -> None:
    configure_logs("json", "info", stream)
    await logged(("GET", '/a\u2028"b', 200, 0.00123))
    fields = {"method": "GET", "path": '/a\u2028"b', "status": 200, "milliseconds": 1.2}
    request_log.log.bind(listener="people").info("request", **fields)
    ours, theirs = map(json.loads, stream.getvalue().strip().split("\n"))
    assert list(ours) == list(theirs)
    assert ours.pop("timestamp") <= theirs.pop("timestamp")
    assert ours == theirs


async def test_a_token_in_a_path_is_not_written(stream: Stream) -> None:
    configure_logs("json", "info", stream)
    await logged(HEALTHY, ("GET", "/eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl/x", 200, 0.00123))
    assert [json.loads(line)["path"] for line in stream.getvalue().splitlines()] == ["/healthz", "/[redacted]/x"]


async def test_people_read_them_on_a_console(stream: Stream) -> None:
    configure_logs("console", "info", stream)
    await logged(HEALTHY, REFUSED)
    first, second = stream.getvalue().splitlines()
    assert "path=/healthz" in first
    assert "path=/oauth/token" in second


async def test_nothing_is_written_below_the_level(stream: Stream) -> None:
    configure_logs("json", "warning", stream)
    await logged(HEALTHY)
    assert stream.getvalue() == ""
