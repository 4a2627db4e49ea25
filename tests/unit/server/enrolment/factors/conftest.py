from pathlib import Path

import pytest

from admittance.server.database import Database
from tests.unit.server.enrolment.factors.factor_world import FactorWorld


@pytest.fixture
def world(database: Database, tmp_path: Path) -> FactorWorld:
    return FactorWorld(database, tmp_path)
