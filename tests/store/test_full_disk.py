"""A store that cannot write says so, still answers reads, and works again once it can write."""

import asyncio
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from backend.store import Store, StoreNotWritable, StoreUnavailable
from backend.store.connect import open_store, prepare_store
from backend.store.sqlite.store import SqliteStore
from tests.conftest import ROOT
from tests.mongod import Mongod, NoMongodError
from tests.store.scene import KINDS, Letter, work_on

pytestmark = pytest.mark.slow

LONG = "a long letter " * 1_000


def pages(store: SqliteStore, most: int | None = None) -> int:
    """Return the size of the file in pages, and bound it."""
    connection = store._writer._connection
    connection.execute(f"PRAGMA max_page_count = {most or 2**30}")
    return connection.execute("PRAGMA page_count").fetchone()[0]


def test_a_full_file_refuses_writes_answers_reads_and_works_again_with_more_room(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        await store.insert(Letter(id="1", text="hello"))
        pages(store, pages(store))
        for number in range(3):
            with pytest.raises(StoreNotWritable, match="the store cannot write: database or disk is full"):
                await asyncio.gather(*(store.insert(Letter(id=f"{number}-{n}", text=LONG)) for n in range(4)))
            letter = await store.get(Letter, "1")
            assert letter is not None
            assert letter.text == "hello"
        pages(store)
        await store.insert(Letter(id="2", text=LONG))
        assert await store.count(Letter, {}) == 2

    work_on(lambda: SqliteStore.open(tmp_path / "store.db", KINDS), work)


LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from backend.store import StoreNotWritable
from backend.store.sqlite.store import SqliteStore
from tests.store.scene import KINDS, Letter

def most_bytes(number):
    resource.setrlimit(resource.RLIMIT_FSIZE, (number, resource.RLIM_INFINITY))

async def main():
    store = SqliteStore.open(Path(sys.argv[1]), KINDS)
    await store.insert(Letter(id="first", text="hello"))
    done = refused = 0
    for turn in range(60):
        if turn % 3 == 0:
            most_bytes(1_000 if turn % 2 else resource.RLIM_INFINITY)
        try:
            await asyncio.gather(*(store.insert(Letter(id=f"{turn}-{n}", text="x" * 3_000)) for n in range(50)))
        except StoreNotWritable as error:
            refused += 1
            assert "disk I/O error" in str(error), error
            await asyncio.sleep(0)
        else:
            done += 50
        assert (await store.get(Letter, "first")).text == "hello"
    most_bytes(resource.RLIM_INFINITY)
    await store.insert(Letter(id="last"))
    assert await store.count(Letter, {}) >= done + 2
    await store.close()
    print(done, refused)

asyncio.run(main())
"""


def test_a_disk_that_fills_and_empties_again_and_again_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """The system refuses to let the file grow; between the checkpoints of the log, too."""
    path = tmp_path / "store.db"
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    done, refused = map(int, ended.stdout.split())
    assert (done, refused) == (1_500, 30)
    file = sqlite3.connect(path)
    assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert file.execute("SELECT count(*) FROM letters WHERE id NOT IN ('first', 'last')").fetchone()[0] >= done
    file.close()


def test_a_file_that_another_process_holds_for_too_long_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.store.sqlite.store.BUSY_MILLISECONDS", 50)

    async def work(store: SqliteStore) -> None:
        other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="database is locked"):
            await store.insert(Letter(id="1"))
        other.execute("ROLLBACK")
        other.close()
        await store.insert(Letter(id="1"))

    work_on(lambda: SqliteStore.open(tmp_path / "store.db", KINDS), work)


@pytest.fixture
def limited_mongod(tmp_path: Path) -> Iterator[Mongod]:
    try:
        server = Mongod(tmp_path / "mongod", "--setParameter", "enableTestCommands=1")
    except NoMongodError as error:
        pytest.skip(str(error))
    yield server
    if server.runs:
        server.stop()


def url_of(server: Mongod) -> str:
    return server.url.replace("/?", "/chengma?")


@contextmanager
def failing(server: Mongod, **how: Any) -> Iterator[None]:  # noqa: ANN401  a failpoint's data
    """Let the server itself refuse writes until the end of the block."""
    with MongoClient[dict[str, Any]](server.url) as client:
        data = {"failCommands": ["insert", "update", "delete"], **how}
        client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data})
        yield
        client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def test_a_mongodb_that_cannot_write_says_so_and_works_again(limited_mongod: Mongod) -> None:
    prepare_store(url_of(limited_mongod), KINDS)
    refusals = (
        ({"errorCode": 14_031}, StoreNotWritable, "MongoDB cannot write"),
        ({"errorCode": 8_000}, StoreNotWritable, "MongoDB cannot write"),
        ({"errorCode": 10_107}, StoreUnavailable, "MongoDB"),
        ({"errorCode": 11_602}, StoreUnavailable, "MongoDB"),
        ({"writeConcernError": {"code": 100, "errmsg": "not enough members"}}, StoreUnavailable, "MongoDB"),
    )

    async def work(store: Store) -> None:
        await store.insert(Letter(id="1", text="hello"))
        letter = await store.get(Letter, "1")
        assert letter is not None
        for number, (how, error, text) in enumerate(refusals):
            with failing(limited_mongod, **how):
                for write in (
                    store.insert(Letter(id=f"new-{number}")),
                    store.replace(letter),
                    store.delete(letter),
                    store.restore([letter]),
                    store.write_bodies("letters", [{"id": "1", "revision": 99}]),
                ):
                    with pytest.raises(error, match=text):
                        await write
                if "errorCode" in how:
                    assert await store.get(Letter, "1") == letter
        await store.insert(Letter(id="last"))

    work_on(lambda: open_store(url_of(limited_mongod), KINDS, driver="pymongo", timeout_ms=2_000), work)


def test_a_mongodb_whose_disk_is_full_stops_and_is_unavailable_until_it_is_started_again(
    limited_mongod: Mongod,
) -> None:
    prepare_store(url_of(limited_mongod), KINDS)

    async def work(store: Store) -> None:
        await store.insert(Letter(id="1", text="hello"))
        resource.prlimit(limited_mongod.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        with pytest.raises(StoreUnavailable):
            await store.insert(Letter(id="2", text=LONG))
        limited_mongod.kill()
        limited_mongod.start()
        limited_mongod.wait_until_primary()
        await store.insert(Letter(id="3"))
        assert await store.get(Letter, "1") is not None

    work_on(lambda: open_store(url_of(limited_mongod), KINDS, driver="pymongo", timeout_ms=2_000), work)
