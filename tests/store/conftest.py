"""The stores that the shared suite is run on. A new adapter is one more entry here."""

from collections.abc import Callable
from pathlib import Path

import pytest

from backend.store import Store
from backend.store.sqlite import SqliteStore
from tests.store.scene import KINDS, Open

ADAPTERS: dict[str, Callable[[Path], Store]] = {
    "sqlite": lambda folder: SqliteStore.open(folder / "store.db", KINDS),
}


@pytest.fixture(params=sorted(ADAPTERS))
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    return lambda: ADAPTERS[request.param](tmp_path)
