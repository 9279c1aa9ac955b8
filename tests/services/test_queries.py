"""The queries of the services in MongoDB, and that a slow query would be noticed."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from pymongo import MongoClient

from backend.app import documents_of
from backend.city.service import discover_services
from backend.codes.signed_code import GenuineCode
from backend.services.health_code.code import make_claims
from backend.services.health_code.model import HealthRecord
from backend.services.health_code.scans import Scan, visit_id
from backend.store.mongo.schema import prepare, shard_commands
from tests.services.conftest import recorder
from tests.services.plans import CommandRecorder, slow_plans


def test_a_read_by_id_is_explained_as_such(client: TestClient[Litestar], sign_in: Callable[..., object]) -> None:
    store = client.app.state.city.store
    sign_in("13800138000")
    client.blocking_portal.call(store.get, HealthRecord, "nobody")
    if hasattr(store, "client"):
        forms = recorder._examples[store.client.get_default_database().name]
        assert "find health_records [{'_id': 'str'}]" in forms
        assert any(form.startswith("find accounts") for form in forms)


@pytest.mark.parametrize(
    ("query", "slow"),
    [
        (lambda letters: letters.find_one({"text": "x"}), "reads the whole collection"),
        (lambda letters: list(letters.find({"_id": {"$gt": ""}}, sort=[("text", 1)])), "sorts in memory"),
        (lambda letters: letters.update_one({"text": "x"}, {"$set": {"text": "y"}}), "reads the whole collection"),
        (lambda letters: letters.count_documents({}), "reads the whole collection"),
    ],
)
def test_a_slow_query_is_noticed(database_url: str, query: Callable[..., object], slow: str) -> None:
    listener = CommandRecorder()
    with MongoClient[dict[str, object]](database_url, event_listeners=[listener]) as client:
        database = client.get_default_database()
        database.letters.insert_many([{"text": str(number)} for number in range(10)])
        query(database.letters)
        (plan,) = slow_plans(database, listener.pop_examples(database.name))
    assert plan.endswith(slow)


def test_a_unique_index_also_works_on_a_sharded_cluster() -> None:
    """A shard knows only its own documents, so those that must differ in a unique index must be on one shard."""
    for kind in documents_of(discover_services()):
        for index in kind.indexes:
            assert not index.unique or dict(kind.shard_key) in ({}, {index.fields[0]: 1}), (
                f"{kind.collection} has a unique index besides its id, so it must stay on one shard, or be sharded by "
                "the field with which that index begins"
            )


def test_visits_with_the_same_id_are_on_one_shard() -> None:
    """They are sharded by venue, and a code has a visit at each venue: its id follows from the two."""
    now = datetime(2022, 4, 20, tzinfo=UTC)
    code = GenuineCode("valid", make_claims("Qm3k_x-7PaZ1", "green", now, 60))
    venues = {visit_id(Scan(venue, "scan-0001", code, "gate", now)): venue for venue in ("museum", "lake")}
    assert sorted(venues.values()) == ["lake", "museum"]


def test_each_collection_that_grows_with_the_city_is_sharded_by_its_id() -> None:
    commands = shard_commands("chengma", documents_of(discover_services()))
    assert 'sh.shardCollection(\'chengma.health_records\', {"_id":"hashed"})' in commands
    assert "sh.shardCollection('chengma.visits', {\"venue\":1})" in commands
    assert not [command for command in commands if "chengma.accounts" in command]


def test_preparing_again_keeps_the_index_of_the_shard_key_and_drops_others(database_url: str) -> None:
    """Without that index, a cluster can no longer move chunks of the collection between shards."""
    kinds = documents_of(discover_services())
    prepare(database_url, kinds)
    with MongoClient[dict[str, object]](database_url) as client:
        records = client.get_default_database()["health_records"]
        before = set(records.index_information())
        records.create_index([("_id", "hashed")])
        records.create_index("gate")
        prepare(database_url, kinds)
        assert set(records.index_information()) == before | {"_id_hashed"}


def test_mongodb_refuses_an_invalid_document(database_url: str) -> None:
    from pymongo.errors import WriteError

    prepare(database_url, documents_of(discover_services()))
    with MongoClient[dict[str, object]](database_url) as client:
        records = client.get_default_database()["health_records"]
        with pytest.raises(WriteError, match="failed validation"):
            records.insert_one({"_id": "1", "revision": 1, "code_id": "c", "facts": {}, "history": [{"colour": 7}]})
