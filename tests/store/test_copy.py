"""Copy a city to another store: completely, resumably, and verified."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backend.app import documents_of, open_city
from backend.city.person import Person
from backend.city.service import discover_integrations, discover_services
from backend.cli.synthetic_data import fill_city
from backend.services.account.model.account import Account
from backend.services.account.model.session import Session
from backend.services.health_code.model import HealthRecord
from backend.settings import Settings
from backend.store import Store
from backend.store.connect import open_store, prepare_store
from backend.store.copy import CopiedCollection, CopyProgress, CopyRefused, copy_city, to_the_millisecond
from backend.store.sqlite.store import SqliteStore
from tests.conftest import ROOT
from tests.keys import new_keys

pytestmark = pytest.mark.slow

SERVICES = discover_services()
KINDS = documents_of(SERVICES)
CITIZENS = 2_500


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a city with 2,500 citizens in a file."""
    folder = tmp_path_factory.mktemp("city")
    settings = Settings(store=f"sqlite:///{folder}/city.db", keys=new_keys(folder / "keys"), rules=str(ROOT / "rules"))

    async def fill() -> None:
        opened = open_city(settings, SERVICES, discover_integrations("integrations"))
        await fill_city(opened, SERVICES, CITIZENS, 1, lambda _done, _total: None)
        await opened.store.insert(session())
        await opened.store.close()

    asyncio.run(fill())
    return settings.store


def session() -> Session:
    """Return a session with microseconds, which MongoDB does not store and earlier editions had."""
    used = datetime(2022, 4, 20, 4, 0, 0, 123_456, tzinfo=UTC)
    last_used = used + timedelta(minutes=1)
    return Session(id="p", account_id="a", refresh_digest="d", expires_ms=0, created=used, last_used=last_used)


def moved(source: str, target: str, name: str = "city.db", stop_after: int | None = None) -> list[CopiedCollection]:
    class Stopped(Exception):
        pass

    copied = 0

    def progress(_collection: str, _done: int, _total: int) -> None:
        nonlocal copied
        copied += 1
        if copied == stop_after:
            raise Stopped

    async def copy_and_close() -> list[CopiedCollection]:
        one, other = (open_store(address, KINDS, driver="pymongo") for address in (source, target))
        try:
            return await copy_city(one, other, name, KINDS, progress)
        except Stopped:
            return []
        finally:
            await one.close()
            await other.close()

    return asyncio.run(copy_and_close())


def test_a_city_is_copied_completely_with_its_revisions(city: str, address: str, tmp_path: Path) -> None:
    target = address if address.startswith("mongodb") else f"sqlite:///{tmp_path}/other.db"
    copied = {line.collection: line.count for line in moved(city, target)}
    assert copied[Person.collection] == copied[Account.collection] == copied[HealthRecord.collection] == CITIZENS

    async def compare() -> None:
        one, other = (open_store(place, KINDS, driver="pymongo") for place in (city, target))
        for kind in (Person, Account, HealthRecord):
            ours = {document.id: document async for document in one.scan(kind)}
            assert {document.id: document async for document in other.scan(kind)} == ours
        stored = await other.get(Session, "p")
        assert stored == to_the_millisecond(await one.get(Session, "p"))
        assert await other.count(CopyProgress, {}) == 0
        for store in (one, other):
            await store.close()

    asyncio.run(compare())


@pytest.mark.parametrize("stop_after", [1, 2, 4, 6])
def test_an_interrupted_copy_is_resumed(city: str, database_url: str, stop_after: int) -> None:
    prepare_store(database_url, KINDS)
    assert moved(city, database_url, stop_after=stop_after) == []
    assert {line.collection: line.count for line in moved(city, database_url)}[Account.collection] == CITIZENS


def test_a_copy_of_another_city_is_not_resumed(city: str, database_url: str) -> None:
    prepare_store(database_url, KINDS)
    moved(city, database_url, stop_after=1)
    with pytest.raises(CopyRefused, match=r"the target contains part of a copy of city\.db"):
        moved(city, database_url, name="another.db")


def test_a_target_that_holds_a_city_is_refused(city: str, database_url: str) -> None:
    prepare_store(database_url, KINDS)
    moved(city, database_url)
    with pytest.raises(CopyRefused, match=r"the target already contains .*: copy into an empty store"):
        moved(city, database_url)


def test_a_difference_after_copying_is_reported(city: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    restore = SqliteStore.restore

    async def forget_one(self: SqliteStore, documents: Any) -> None:  # noqa: ANN401  documents
        await restore(self, documents[1:])

    monkeypatch.setattr(SqliteStore, "restore", forget_one)
    with pytest.raises(
        CopyRefused, match=r"accounts differs: 2,500 documents with the digest \w+ in the source, 2,497"
    ):
        moved(city, f"sqlite:///{tmp_path}/other.db")


def test_restoring_replaces_existing_documents(address: str) -> None:
    async def work() -> None:
        store: Store = open_store(address, KINDS, driver="pymongo")
        await store.restore([session()])
        newer = to_the_millisecond(Session(id="p", revision=7, account_id="a", refresh_digest="n", expires_ms=5))
        await store.restore([newer])
        assert await store.get(Session, "p") == newer
        await store.close()

    asyncio.run(work())
