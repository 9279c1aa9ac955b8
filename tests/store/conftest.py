"""The stores on which the shared tests run. A new adapter needs an entry here."""

from pathlib import Path

import pytest

from backend.store.mongo.schema import prepare
from backend.store.mongo.store import Driver, MongoStore
from backend.store.sqlite.store import SqliteStore
from tests.store.scene import KINDS, Open


@pytest.fixture(params=["sqlite", "mongodb-motor", "mongodb-pymongo"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "sqlite":
        return lambda: SqliteStore.open(tmp_path / "store.db", KINDS)
    url: str = request.getfixturevalue("database_url")
    prepare(url, KINDS)
    driver: Driver = "motor" if request.param == "mongodb-motor" else "pymongo"
    return lambda: MongoStore(url, KINDS, driver=driver, timeout_ms=20_000)  # it shares the cores with other tests
