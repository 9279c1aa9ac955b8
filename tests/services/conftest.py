"""Every service is tried on both stores: the embedded file and a real MongoDB, which explains what it was asked."""

from collections.abc import Callable, Iterator
from pathlib import Path

import bson
import pytest
from msgspec.structs import replace
from pymongo import MongoClient, monitoring

from backend.security.keyring import Keyring, make_keys
from backend.settings import Settings
from tests.services.plans import Asked, slow_plans

asked = Asked()
monitoring.register(asked)
explained: set[str] = set()


@pytest.fixture(scope="session")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    folder = tmp_path_factory.mktemp("keys")
    make_keys(folder)
    return Keyring.open(folder)


@pytest.fixture(params=["sqlite", "mongodb"])
def settings(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Settings]:
    """Give the settings of a city on either store.

    After a test on MongoDB, every form of query that its services made is explained: none may read a whole collection,
    or sort in memory, or need a transaction, or take as long as it likes: a city of millions has no time for it.
    """
    if request.param == "sqlite":
        yield settings
        return
    url: str = request.getfixturevalue("emptied_url")
    with MongoClient[dict[str, object]](url) as client:
        database = client.get_default_database()
        asked.take(database.name)
        asked.unbounded.clear()
        yield replace(settings, store=url)
        examples = {form: example for form, example in asked.take(database.name).items() if form not in explained}
        assert slow_plans(database, examples) == []
    explained.update(examples)
    assert (asked.transactions, asked.unbounded) == ([], [])


@pytest.fixture
def everything_kept(settings: Settings, tmp_path: Path) -> Callable[[], bytes]:
    """Give all bytes that the store holds."""

    def read() -> bytes:
        if settings.store.startswith("sqlite"):
            return b"".join(path.read_bytes() for path in tmp_path.glob("city.db*"))
        with MongoClient[dict[str, object]](settings.store) as client:
            database = client.get_default_database()
            names = database.list_collection_names()
            return b"".join(
                bson.encode(document)
                for name in names
                for document in database[name].find({"_id": {"$gt": ""}}, max_time_ms=5_000)
            )

    return read
