"""Every service is tested on both stores: the embedded file, and a real MongoDB that explains each query."""

from collections.abc import Callable, Iterator
from pathlib import Path

import bson
import pytest
from msgspec.structs import replace
from pymongo import MongoClient, monitoring

from backend.security.keyring import Keyring, make_keys
from backend.settings import Settings
from tests.services.plans import Asked, slow_plans

recorder = Asked()
monitoring.register(recorder)
explained: set[str] = set()


@pytest.fixture(scope="session")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    folder = tmp_path_factory.mktemp("keys")
    make_keys(folder)
    return Keyring.open(folder)


@pytest.fixture(params=["sqlite", "mongodb"])
def settings(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Settings]:
    """Return the settings of a city on either store.

    After a test on MongoDB, every form of query that its services made is explained. None may read a whole collection,
    sort in memory, need a transaction or run without a time limit: a city of millions cannot afford it.
    """
    if request.param == "sqlite":
        yield settings
        return
    url: str = request.getfixturevalue("emptied_url")
    with MongoClient[dict[str, object]](url) as client:
        database = client.get_default_database()
        recorder.take(database.name)
        recorder.unbounded.clear()
        yield replace(settings, store=url)
        examples = {form: example for form, example in recorder.take(database.name).items() if form not in explained}
        assert slow_plans(database, examples) == []
    explained.update(examples)
    assert (recorder.transactions, recorder.unbounded) == ([], [])


@pytest.fixture
def stored_bytes(settings: Settings, tmp_path: Path) -> Callable[[], bytes]:
    """Return all bytes that the store holds."""

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
