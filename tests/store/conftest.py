"""The stores on which the shared tests run. A new adapter needs an entry here."""

from pathlib import Path

import pytest

from tests.store.opener import opener
from tests.store.scene import KINDS, Open


@pytest.fixture(params=["sqlite", "mongodb-motor", "mongodb-pymongo"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    return opener(request, tmp_path, KINDS)
