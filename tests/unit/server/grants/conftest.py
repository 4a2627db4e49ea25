from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from admittance.server.database import Database
from tests.unit.server.grants.grant_world import Household, household


@pytest.fixture
async def home(database: Database, tmp_path: Path) -> AsyncIterator[Household]:
    """On SQLite and on PostgreSQL, two nodes."""
    made = await household(database, tmp_path, nodes=2)
    yield made
    await made.close()
