"""The stores on which sagas are tested."""

from pathlib import Path

import pytest

from tests.jobs.shipments import KINDS, Open
from tests.store.opener import opener


@pytest.fixture(params=["sqlite", "mongodb"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    return opener(request, tmp_path, KINDS)
