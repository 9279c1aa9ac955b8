"""A city that was filled by the code of 70001f4, with its keys and sandboxes, on either store.

`city_of_70001f4/` contains every stored document, the test keys, the records of the sandboxes, the answers to every
request at one instant (`answers`), and the balances forty days later (`later`).
"""

import asyncio
import gzip
import json
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, cast

import msgspec
from pymongo import MongoClient

from backend.app import documents_of, open_city
from backend.city.following_releases import load_active_rulebook
from backend.city.person import Person
from backend.city.service import City, discover_integrations, discover_services
from backend.jobs.tasks import Job, discover_tasks
from backend.security.field_encryption import FieldEncryption
from backend.security.keyring import Keyring, make_keys
from backend.services.medical_credit.model.hospital import Hospital
from backend.settings import Settings
from backend.store.connect import open_store, prepare_store
from backend.store.migrations import find_migrations, migrate, pending
from backend.store.place import Place
from tests.conftest import ROOT, Clock
from tests.integrations.his.fhir.hospital_system import OURS

HERE = Path(__file__).parent / "city_of_70001f4"
NOW = datetime(2026, 5, 20, 4, 0, tzinfo=UTC)
LATER, STEP = timedelta(days=40), timedelta(days=5)
Json = Any


@cache
def read_lines(name: str) -> list[Json]:
    with gzip.open(HERE / name, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@cache
def read_json(name: str) -> Json:
    return json.loads(gzip.decompress((HERE / name).read_bytes()))


def as_stored(value: Json) -> Any:  # noqa: ANN401  any part of a document
    """Return a value of the dump as both stores store it; an instant is dumped as {"$at": ...}."""
    if isinstance(value, dict):
        parts = cast("dict[str, Json]", value)
        if parts.keys() == {"$at"}:
            return datetime.fromisoformat(parts["$at"])
        return {name: as_stored(part) for name, part in parts.items()}
    return [as_stored(part) for part in cast("list[Json]", value)] if isinstance(value, list) else value


def put_in_sqlite(path: Path, schema: str, lines: Iterable[Json]) -> None:
    """Create the embedded file with its original tables, columns and indexes."""
    file = sqlite3.connect(path)
    file.executescript(schema)
    for line in lines:
        table, body = line["collection"], as_stored(line["body"])
        present = [row[1] for row in file.execute(f'PRAGMA table_info("{table}")')]
        columns = [name for name in present if name not in ("id", "revision", "body")]
        row = [body["id"], body["revision"], msgspec.msgpack.encode(body), *(body.get(name) for name in columns)]
        names = ", ".join(f'"{name}"' for name in ("id", "revision", "body", *columns))
        marks = ", ".join("?" * len(row))
        file.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', row)  # noqa: S608  names of our own
    file.commit()
    file.close()


def put_in_mongodb(url: str, indexes: Mapping[str, Json], lines: Iterable[Json]) -> None:
    """Create the collections with their original indexes, without indexed fields that are None."""
    with MongoClient[dict[str, Any]](url) as client:
        database = client.get_default_database()
        for collection, made in indexes.items():
            database.create_collection(collection)
            for index in made:
                database[collection].create_index([tuple(key) for key in index["keys"]], **index["options"])
        for line in lines:
            collection, body = line["collection"], as_stored(line["body"])
            keys = {key for index in indexes[line["collection"]] for key, _ in index["keys"]}
            omitted = {"id", *(name for name in keys if body.get(name) is None)}
            stored = {name: value for name, value in body.items() if name not in omitted}
            database[collection].insert_one({"_id": body["id"], **stored})


def migrate_store(settings: Settings) -> None:
    """Migrate a store to today's schema, as `chengma migrate` does."""
    kinds = documents_of(discover_services())
    prepare_store(settings.store, kinds)

    async def migrate_all() -> None:
        store = open_store(settings.store, kinds, driver="pymongo")
        rebind = FieldEncryption(Keyring.open(Path(settings.keys))).rebind
        await migrate(store, find_migrations(), lambda _migration, _seen: None, rebind=rebind)
        assert await pending(store, find_migrations()) == []
        await store.close()

    asyncio.run(migrate_all())


def name_people(settings: Settings) -> None:
    """Give everybody a verified name, which the bank compares: people reported by a hospital alone have none."""
    encryption = FieldEncryption(Keyring.open(Path(settings.keys)))

    async def name_all() -> None:
        store = open_store(settings.store, documents_of(discover_services()), driver="pymongo")
        for person in [person async for person in store.scan(Person) if person.name is None]:
            name = encryption.encrypt("张三", Place.of(Person, person.id, "name"))
            await store.replace(msgspec.structs.replace(person, name=name))
        await store.close()

    asyncio.run(name_all())


def name_systems(settings: Settings) -> None:
    """Name the identifier system of the hospitals' visits, as operators do before the new edition starts."""

    async def name_all() -> None:
        store = open_store(settings.store, documents_of(discover_services()), driver="pymongo")
        for hospital in [hospital async for hospital in store.scan(Hospital)]:
            await store.replace(msgspec.structs.replace(hospital, own_systems=(OURS,)))
        await store.close()

    asyncio.run(name_all())


class CityCopy:
    """A copy of the city: its settings, clock, keys and sandboxes."""

    def __init__(self, folder: Path, store: str) -> None:
        keys = folder / "keys"
        keys.mkdir(mode=0o700)
        for name, text in read_json("keys.json.gz").items():
            (keys / name).touch(0o600)
            (keys / name).write_text(text, encoding="utf-8")
        make_keys(keys)  # as an operator does before the upgrade: 70001f4 had no audit key
        with sqlite3.connect(folder / "sandbox.db") as file:
            file.executescript(gzip.decompress((HERE / "sandbox.sql.gz").read_bytes()).decode())
        file.close()
        self.clock = Clock(NOW)
        self.settings = Settings(
            store=store,
            mongo_driver="pymongo",
            keys=str(keys),
            sandbox=str(folder / "sandbox.db"),
            rules=str(ROOT / "rules"),
            access_log=False,
            person_requests_per_minute=100_000,
            address_requests_per_minute=100_000,
        )

    def migrate(self) -> None:
        """Migrate the store to today's schema, as `chengma migrate` does."""
        migrate_store(self.settings)

    async def time_passes(self) -> None:
        """Advance the clock forty days in steps of five; after each step, run the sweeps and their jobs one by one."""
        async with opened(self) as (city, tasks, queue):
            for _ in range(LATER // STEP):
                self.clock.now += STEP
                for _ in range(20):
                    for task in sorted(tasks.values(), key=lambda one: one.name):
                        if task.every is not None:
                            await task(city)
                    if not queue.jobs:
                        break
                    while queue.jobs:
                        job = queue.jobs.pop(0)
                        await tasks[job.task](city, *job.arguments)


class Queue:
    """Collects jobs, which the test runs in order."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    async def __aenter__(self) -> object:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    def waiting(self) -> int:
        return len(self.jobs)

    async def put(self, job: Job, *, delay_seconds: float = 0) -> None:
        assert delay_seconds == 0
        if (job.task, job.arguments) not in [(one.task, one.arguments) for one in self.jobs]:
            self.jobs.append(job)


@asynccontextmanager
async def opened(copy: CityCopy) -> AsyncGenerator[tuple[City, Mapping[str, Any], Queue], None]:
    services, queue = discover_services(), Queue()
    city = open_city(copy.settings, services, discover_integrations("integrations"), clock=copy.clock, jobs=queue)
    set_clocks(city, copy.clock)
    try:
        yield await load_active_rulebook(city), discover_tasks(), queue
    finally:
        await city.store.close()


def set_clocks(city: City, clock: Callable[[], datetime]) -> None:
    """Set the clock of the sandboxes to that of the test."""
    for port in city.ports.values():
        database: Any = getattr(port, "database", None)
        if database is not None:
            database.clock = clock
