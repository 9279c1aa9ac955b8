"""The encrypted values of a city of 70001f4 are read before the migration, and bound to their places by it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from litestar.testing import TestClient

from backend.app import create_app, documents_of
from backend.city.binding import LAST_REBINDING
from backend.city.person import Person
from backend.city.service import discover_services
from backend.security.field_encryption import FieldEncryption, UndecryptableField
from backend.security.identity import IN_PERSON, Caller
from backend.security.keyring import Keyring
from backend.store import Store
from backend.store.connect import open_store, prepare_store
from backend.store.migrations import Migration, MigrationRun, UnknownSchema, find_migrations, migrate
from backend.store.place import Place
from tests.accounts import bearer_of
from tests.migrations.old_city import HERE, CityCopy, Json, put_in_mongodb, put_in_sqlite, read_json, read_lines

pytestmark = pytest.mark.slow

T = TypeVar("T")
BINDING = [migration for migration in find_migrations() if migration.encrypted]


@pytest.fixture(params=["sqlite", "mongodb"])
def city_copy(request: pytest.FixtureRequest, tmp_path: Path) -> CityCopy:
    """The city of 70001f4 on either store, with the schema but not the documents of today."""
    if request.param == "sqlite":
        schema = (HERE / "schema.sql").read_text(encoding="utf-8")
        put_in_sqlite(tmp_path / "city.db", schema, read_lines("city.jsonl.gz"))
        store = f"sqlite:///{tmp_path}/city.db"
    else:
        store = request.getfixturevalue("database_url")
        indexes = json.loads((HERE / "indexes.json").read_text(encoding="utf-8"))
        put_in_mongodb(store, indexes, read_lines("city.jsonl.gz"))
    prepare_store(store, documents_of(discover_services()))
    return CityCopy(tmp_path, store)


def with_store(city_copy: CityCopy, work: Callable[[Store], Awaitable[T]]) -> T:
    async def run() -> T:
        store = open_store(city_copy.settings.store, documents_of(discover_services()), driver="pymongo")
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def encryption_of(city_copy: CityCopy) -> FieldEncryption:
    return FieldEncryption(Keyring.open(Path(city_copy.settings.keys)))


async def encrypted_values(store: Store) -> dict[Place, str]:
    found: dict[Place, str] = {}
    for migration in BINDING:
        for body in await store.read_bodies(migration.collection, "", 10_000):
            for field in migration.encrypted:
                if body.get(field) is not None:
                    found[Place(migration.collection, body["id"], field)] = body[field]
    return found


def own_name(city_copy: CityCopy) -> Json:
    app = create_app(city_copy.settings, clock=city_copy.clock)
    with TestClient(app) as client:
        one = next(person for person in read_json("people.json.gz") if person["citizen"] is not None)
        caller = Caller(one["account"], "s", one["citizen"], tuple(one["roles"]), level=IN_PERSON)
        assert client.blocking_portal is not None
        headers = client.blocking_portal.call(bearer_of, app, caller)
        return client.get("/v1/me", headers=headers).json()


def test_a_city_whose_values_are_not_yet_bound_is_read(city_copy: CityCopy) -> None:
    before = own_name(city_copy)
    assert before["id_number"] is not None
    city_copy.migrate()
    assert own_name(city_copy) == before


def test_the_migration_binds_every_encrypted_value_and_changes_none(city_copy: CityCopy) -> None:
    encryption = encryption_of(city_copy)
    before = with_store(city_copy, encrypted_values)
    assert {place.collection for place in before} == {"profiles", "accounts", "talents", "his_messages"}
    city_copy.migrate()
    after = with_store(city_copy, encrypted_values)
    texts = {place: encryption.decrypt(value, place) for place, value in after.items()}
    encryption.reads_unbound = True
    assert texts == {place: encryption.decrypt(value, place) for place, value in before.items()}


def test_after_the_migration_an_old_value_and_one_of_another_person_are_refused(city_copy: CityCopy) -> None:
    before = with_store(city_copy, encrypted_values)
    city_copy.migrate()
    one, other, *_ = [place for place in before if place.collection == "profiles" and place.field == "id_number"]
    after = with_store(city_copy, encrypted_values)
    for wrong in (before[one], before[other], after[other]):

        async def plant(store: Store, value: str = wrong) -> Person:
            [body] = [body for body in await store.read_bodies("profiles", "", 10_000) if body["id"] == one.id]
            assert await store.write_bodies("profiles", [body | {"id_number": value}]) == 1
            person = await store.get(Person, one.id)
            assert person is not None
            return person

        person = with_store(city_copy, plant)
        app = create_app(city_copy.settings, clock=city_copy.clock)
        with TestClient(app), pytest.raises(UndecryptableField):
            app.state.city.encryption.read(person, "id_number")


def test_an_interrupted_binding_is_resumed(city_copy: CityCopy) -> None:
    encryption = encryption_of(city_copy)
    calls = 0

    def interrupted(value: str, place: Place) -> str:
        nonlocal calls
        calls += 1
        if calls % 7 == 0:
            raise KeyboardInterrupt
        return encryption.rebind(value, place)

    def quiet(_migration: Migration, _seen: int) -> None:
        pass

    async def work(store: Store) -> None:
        for _ in range(1_000):
            try:
                await migrate(store, find_migrations(), quiet, batch=3, rebind=interrupted)
            except KeyboardInterrupt:
                continue
            break
        for place, value in (await encrypted_values(store)).items():
            assert encryption.decrypt(value, place)
        run = await store.get(MigrationRun, LAST_REBINDING)
        assert run is not None
        assert run.done

    with_store(city_copy, work)
    assert calls > 20


def test_without_the_citys_keys_nothing_is_bound(city_copy: CityCopy) -> None:
    async def work(store: Store) -> None:
        with pytest.raises(UnknownSchema, match=r"0070_bind_people\.py needs the city's keys: set CHENGMA_KEYS"):
            await migrate(store, find_migrations(), lambda _migration, _seen: None)

    with_store(city_copy, work)


def test_the_last_binding_migration_is_known() -> None:
    """Processes refuse unbound values once it is done."""
    assert BINDING[-1].id == LAST_REBINDING


def test_every_encrypted_field_of_the_city_is_bound(city_copy: CityCopy) -> None:
    """What looks like an encrypted value of this city anywhere in its store is bound."""
    city_copy.migrate()
    kids = {key.kid for key in Keyring.open(Path(city_copy.settings.keys)).keys("field")}

    async def unbound(store: Store) -> list[str]:
        return [
            f"{kind.collection}.{name}"
            for kind in documents_of(discover_services())
            for body in await store.read_bodies(kind.collection, "", 10_000)
            for name, value in body.items()
            if isinstance(value, str) and value.partition(".")[0] in kids
        ]

    assert with_store(city_copy, unbound) == []
