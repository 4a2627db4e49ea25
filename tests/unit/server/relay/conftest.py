from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.database import Database
from tests.unit.server.relay.relay_world import Enrolled, Login, Site, relay_site


@pytest.fixture
async def site(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[Site]:
    async with relay_site(sqlite_database, tmp_path) as opened:
        yield opened


@pytest.fixture
async def ann(site: Site) -> AuthenticatedAccount:
    return await site.world.account()


@pytest.fixture
async def app(site: Site, ann: AuthenticatedAccount) -> Login:
    return await site.login(ann)


@pytest.fixture
async def lamp(site: Site, ann: AuthenticatedAccount) -> Enrolled:
    """A device of Ann's."""
    return await site.enrolled(ann)
