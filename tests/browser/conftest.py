"""One server for all tests of its pages, and a browser of each kind."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, expect

from tests.browser.chromium import chromium, complaints
from tests.oauth_site import Server, oauth_server

expect.set_options(timeout=30_000)
"""Milliseconds: a browser beside other tests is slow to start, and a page that does not come is no faster told."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with oauth_server(tmp_path_factory.mktemp("oauth")) as opened:
        yield opened


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The browser's home folder."""
    return tmp_path / "home"


@pytest_asyncio.fixture(loop_scope="session")
async def without_scripts(server: Server, home: Path) -> AsyncIterator[BrowserContext]:
    """A browser that runs no JavaScript."""
    async with chromium(home, Path(server.stage.people_ca), scripts=False) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def with_scripts(server: Server, home: Path) -> AsyncIterator[BrowserContext]:
    """A browser as most people have it."""
    async with chromium(home, Path(server.stage.people_ca), scripts=True) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def page(without_scripts: BrowserContext) -> AsyncIterator[Page]:
    """A page without JavaScript, about which the browser has nothing to complain until the test ends."""
    opened = await without_scripts.new_page()
    heard = complaints(opened)
    yield opened
    assert heard == []
