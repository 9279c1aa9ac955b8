"""The stores on which sagas are tested."""

from pathlib import Path

import pytest

from backend.store.mongo.schema import prepare
from backend.store.mongo.store import MongoStore
from backend.store.sqlite.store import SqliteStore
from tests.jobs.shipments import KINDS, Open


@pytest.fixture(params=["sqlite", "mongodb"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Return a function that opens the store of a test, as each process does."""
    if request.param == "sqlite":
        return lambda: SqliteStore.open(tmp_path / "store.db", KINDS)
    url: str = request.getfixturevalue("database_url")
    prepare(url, KINDS)
    return lambda: MongoStore(url, KINDS, driver="pymongo")
