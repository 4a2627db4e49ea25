import logging
from collections.abc import Iterator

import pytest
import structlog

from admittance.server.logs import output


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """Gives the test session its logging back after a test that configures logs."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream, is_json = output.stream, output.is_json
    yield
    output.stream, output.is_json = stream, is_json
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()
