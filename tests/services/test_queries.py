"""What the services ask of MongoDB, and that a wrong question would be found out."""

from collections.abc import Callable

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from pymongo import MongoClient

from backend.app import documents_of
from backend.city.service import discover_services
from backend.services.health_code.model import HealthRecord
from backend.store.mongo.schema import prepare, shard_commands
from tests.services.conftest import asked
from tests.services.plans import Asked, slow_plans


def test_a_read_by_id_is_explained_as_such(client: TestClient[Litestar], sign_in: Callable[..., object]) -> None:
    store = client.app.state.city.store
    sign_in("13800138000")
    client.blocking_portal.call(store.get, HealthRecord, "nobody")
    if hasattr(store, "client"):
        forms = asked._examples[store.client.get_default_database().name]
        assert "find health_records [{'_id': 'str'}]" in forms
        assert any(form.startswith("find accounts") for form in forms)


@pytest.mark.parametrize(
    ("asks", "slow"),
    [
        (lambda letters: letters.find_one({"text": "x"}), "reads the whole collection"),
        (lambda letters: list(letters.find({"_id": {"$gt": ""}}, sort=[("text", 1)])), "sorts in memory"),
        (lambda letters: letters.update_one({"text": "x"}, {"$set": {"text": "y"}}), "reads the whole collection"),
        (lambda letters: letters.count_documents({}), "reads the whole collection"),
    ],
)
def test_a_slow_question_is_found_out(database_url: str, asks: Callable[..., object], slow: str) -> None:
    listener = Asked()
    with MongoClient[dict[str, object]](database_url, event_listeners=[listener]) as client:
        database = client.get_default_database()
        database.letters.insert_many([{"text": str(number)} for number in range(10)])
        asks(database.letters)
        (told,) = slow_plans(database, listener.take(database.name))
    assert told.endswith(slow)


def test_a_unique_index_is_one_that_holds_on_a_sharded_cluster() -> None:
    """A shard knows only its own documents: what is unique across ids must lie on one shard."""
    for kind in documents_of(discover_services()):
        if any(index.unique for index in kind.indexes):
            assert not kind.shard_key, f"{kind.collection} is unique by more than its id, so it stays on one shard"


def test_each_collection_that_grows_with_the_city_is_spread_by_its_id() -> None:
    commands = shard_commands("chengma", documents_of(discover_services()))
    assert 'sh.shardCollection(\'chengma.health_records\', {"_id":"hashed"})' in commands
    assert 'sh.shardCollection(\'chengma.visits\', {"_id":"hashed"})' in commands
    assert not [command for command in commands if "chengma.accounts" in command]


def test_preparing_again_leaves_the_index_of_the_shard_key_and_drops_others(database_url: str) -> None:
    """Without its index a cluster moves no more chunks of a collection from shard to shard."""
    kinds = documents_of(discover_services())
    prepare(database_url, kinds)
    with MongoClient[dict[str, object]](database_url) as client:
        visits = client.get_default_database()["visits"]
        before = set(visits.index_information())
        visits.create_index([("_id", "hashed")])
        visits.create_index("gate")
        prepare(database_url, kinds)
        assert set(visits.index_information()) == before | {"_id_hashed"}


def test_mongodb_refuses_a_document_of_another_form(database_url: str) -> None:
    from pymongo.errors import WriteError

    prepare(database_url, documents_of(discover_services()))
    with MongoClient[dict[str, object]](database_url) as client:
        records = client.get_default_database()["health_records"]
        with pytest.raises(WriteError, match="failed validation"):
            records.insert_one({"_id": "1", "revision": 1, "code_id": "c", "facts": {}, "history": [{"colour": 7}]})
