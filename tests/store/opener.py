"""Open the store that the parameter of a fixture names."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from backend.store import Document, Store
from backend.store.mongo.schema import prepare
from backend.store.mongo.store import Driver, MongoStore
from backend.store.sqlite.store import SqliteStore


def opener(request: pytest.FixtureRequest, folder: Path, kinds: Sequence[type[Document]]) -> Callable[[], Store]:
    """Return a function that opens the store of a test, as each process does."""
    if request.param == "sqlite":
        return lambda: SqliteStore.open(folder / "store.db", kinds)
    url: str = request.getfixturevalue("database_url")
    prepare(url, kinds)
    driver: Driver = "motor" if request.param == "mongodb-motor" else "pymongo"
    return lambda: MongoStore(url, kinds, driver=driver, timeout_ms=20_000)  # it shares the cores with other tests
