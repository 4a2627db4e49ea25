"""A running premises process's server, in the test's own loop."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.premises_world import Echo, echo_server, premises_server


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    async with echo_server() as server:
        yield server


@pytest.fixture
async def socket_path(tmp_path: Path, echo: Echo) -> AsyncIterator[Path]:
    async with premises_server(tmp_path, [f"127.0.0.1:{echo.port}"]) as path:
        yield path
