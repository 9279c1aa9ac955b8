"""The stores that the shared suite is run on. A new adapter is one more entry here."""

from pathlib import Path

import pytest

from backend.store.mongo.schema import prepare
from backend.store.mongo.store import MongoStore
from backend.store.sqlite.store import SqliteStore
from tests.store.scene import KINDS, Open


@pytest.fixture(params=["sqlite", "mongodb-motor", "mongodb-pymongo"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "sqlite":
        return lambda: SqliteStore.open(tmp_path / "store.db", KINDS)
    url: str = request.getfixturevalue("database_url")
    prepare(url, KINDS)
    return lambda: MongoStore(url, KINDS, driver="motor" if request.param == "mongodb-motor" else "pymongo")
