"""Every service is tried on both stores: the embedded file and a real MongoDB."""

from collections.abc import Callable
from pathlib import Path

import bson
import pytest
from msgspec.structs import replace
from pymongo import MongoClient

from backend.app import documents_of
from backend.service import discover_services
from backend.settings import Settings
from backend.store.opening import prepare_store


@pytest.fixture(params=["sqlite", "mongodb"])
def settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    if request.param == "sqlite":
        return settings
    url: str = request.getfixturevalue("database_url")
    prepare_store(url, documents_of(discover_services()))
    return replace(settings, store=url)


@pytest.fixture
def everything_kept(settings: Settings, tmp_path: Path) -> Callable[[], bytes]:
    """Give all bytes that the store holds."""

    def read() -> bytes:
        if settings.store.startswith("sqlite"):
            return b"".join(path.read_bytes() for path in tmp_path.glob("city.db*"))
        with MongoClient[dict[str, object]](settings.store) as client:
            database = client.get_default_database()
            names = database.list_collection_names()
            return b"".join(bson.encode(document) for name in names for document in database[name].find())

    return read
