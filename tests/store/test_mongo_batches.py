"""Writes over MongoDB share a command, and each writer learns what became of its own document."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pymongo import MongoClient
from pymongo.errors import WriteError

from backend.store import Conflict, Duplicate, Store, StoreUnavailable
from backend.store.mongo.schema import prepare
from backend.store.mongo.store import Driver, MongoStore
from tests.mongod import Mongod, NoMongodError
from tests.store.opener import opener
from tests.store.scene import KINDS, Letter, Open, work_on


@pytest.fixture(params=["mongodb-motor", "mongodb-pymongo"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    return opener(request, tmp_path, KINDS)


def commands(url: str, name: str) -> int:
    """Return how many commands of this name the server has carried out."""
    with MongoClient[dict[str, Any]](url) as client:
        return int(client.admin.command("serverStatus")["metrics"]["commands"][name]["total"])


def test_concurrent_writers_share_commands(opened: Open, database_url: str) -> None:
    async def work(store: Store) -> None:
        letters = await asyncio.gather(*(store.insert(Letter(id=str(n))) for n in range(200)))
        await asyncio.gather(*(store.replace(replace(letter, text="new")) for letter in letters))

    before = {name: commands(database_url, name) for name in ("insert", "update")}
    work_on(opened, work)
    for name, number in before.items():
        assert 2 <= commands(database_url, name) - number <= 20, f"200 of {name} in batches of up to 128"


def test_each_writer_of_a_batch_learns_its_own_outcome(opened: Open) -> None:
    async def work(store: Store) -> None:
        one, other, gone = [await store.insert(Letter(id=id_, stamp=id_)) for id_ in ("1", "2", "3")]
        await store.delete(gone)
        outcomes = await asyncio.gather(
            store.replace(replace(one, text="first")),
            store.replace(replace(one, text="second")),
            store.replace(replace(one, revision=7)),
            store.replace(replace(other, stamp="1")),
            store.replace(gone),
            store.replace(replace(gone, revision=0)),
            store.replace(Letter(id="never stored")),
            return_exceptions=True,
        )
        assert outcomes[0] == replace(one, text="first", revision=2)
        assert [type(outcome) for outcome in outcomes[1:]] == [Conflict, Conflict, Duplicate, *[Conflict] * 3]
        assert [letter async for letter in store.scan(Letter)] == [outcomes[0], other]

    work_on(opened, work)


def test_a_document_that_is_deleted_during_a_replacement_stays_deleted(opened: Open) -> None:
    async def work(store: Store) -> None:
        for n in range(60):
            letter = await store.insert(Letter(id=str(n)))
            others = [store.replace(Letter(id=f"other-{n}-{m}", revision=1)) for m in range(8)]
            changed, deleted, *_ = await asyncio.gather(
                store.replace(replace(letter, text="new")), store.delete(letter), *others, return_exceptions=True
            )
            assert {type(changed), type(deleted)} in ({Letter, Conflict}, {Conflict, type(None)})
            assert await store.get(Letter, letter.id) == (changed if isinstance(changed, Letter) else None)
        assert await store.count(Letter, {}) < 61

    work_on(opened, work)


def test_many_large_documents_are_replaced_or_refused_together(opened: Open) -> None:
    async def work(store: Store) -> None:
        text = "长" * 500_000
        letters = [await store.insert(Letter(id=str(n), text=text)) for n in range(12)]
        current = [await store.replace(replace(letter, read=True)) for letter in letters[:6]]
        outcomes = await asyncio.gather(
            *(store.replace(replace(letter, text=text + "。")) for letter in letters), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [Conflict] * 6 + [Letter] * 6
        assert await store.get_many(Letter, [letter.id for letter in letters[:6]]) == {one.id: one for one in current}

    work_on(opened, work)


def test_what_mongodb_or_its_format_refuses_fails_alone(opened: Open) -> None:
    async def work(store: Store) -> None:
        wrong_type: Any = "noon"
        outcomes = await asyncio.gather(
            store.insert(Letter(id="1")),
            store.insert(Letter(id="2", sent_ms=wrong_type)),
            store.insert(Letter(id="3", number=2**70)),
            store.insert(Letter(id="4")),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [Letter, WriteError, OverflowError, Letter]
        assert [letter.id async for letter in store.scan(Letter)] == ["1", "4"]

    work_on(opened, work)


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["motor", "pymongo"])
def test_nothing_acknowledged_is_lost_when_mongodb_is_killed_between_batches(tmp_path: Path, driver: Driver) -> None:
    try:
        server = Mongod(tmp_path / "mongod")
    except NoMongodError as error:
        pytest.skip(str(error))
    acknowledged: dict[str, int] = {}
    refused: list[StoreUnavailable] = []

    async def write(store: Store, writer: int) -> None:
        try:
            for n in range(100_000):
                letter = await store.insert(Letter(id=f"{writer}-{n}"))
                acknowledged[letter.id] = 1
                letter = await store.replace(replace(letter, text="new"))
                acknowledged[letter.id] = 2
        except StoreUnavailable as error:
            refused.append(error)

    async def work() -> None:
        prepare(server.url, KINDS)
        store = MongoStore(server.url, KINDS, driver=driver, timeout_ms=1_000)
        writers = [asyncio.create_task(write(store, writer)) for writer in range(24)]
        while len(acknowledged) < 200:  # noqa: ASYNC110  acknowledgements are counted and not signalled
            await asyncio.sleep(0.01)
        server.kill()
        await asyncio.gather(*writers)
        await store.close()
        server.start()
        server.wait_until_primary()
        store = MongoStore(server.url, KINDS, driver=driver, timeout_ms=20_000)
        stored = {letter.id: letter.revision async for letter in store.scan(Letter)}
        await store.close()
        assert len(refused) == 24, "every writer learns it"
        assert {id_: stored.get(id_, 0) >= revision for id_, revision in acknowledged.items()} == dict.fromkeys(
            acknowledged, True
        )

    try:
        asyncio.run(work())
    finally:
        server.stop()
