from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tpm_made import made_tpm


@pytest.fixture
def tcti(tmp_path: Path) -> Iterator[str]:
    with made_tpm(tmp_path) as path:
        yield path
