"""The embedded file: it follows its declared indexes, and can be opened by two processes."""

import asyncio
import base64
import os
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from backend.store import Conflict, Document, Duplicate, Index, InvalidCursor, Order
from backend.store.sqlite.store import SqliteStore
from tests.conftest import ROOT
from tests.store.scene import KINDS, Letter, work_on

pytestmark = pytest.mark.slow

ADD = """
import asyncio, sys
from pathlib import Path
from msgspec.structs import replace
from backend.store import Conflict
from backend.store.sqlite.store import SqliteStore
from tests.store.scene import KINDS, Letter

async def add(times):
    store = SqliteStore.open(Path(sys.argv[1]), KINDS)
    print("ready", flush=True)
    sys.stdin.readline()
    done = refused = 0
    while done < times:
        letter = await store.get(Letter, "1")
        try:
            await store.replace(replace(letter, number=letter.number + 1))
            done += 1
        except Conflict:
            refused += 1
    await store.close()
    print(refused)

asyncio.run(add(int(sys.argv[2])))
"""


def child(*arguments: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *arguments], stdin=pipe, stdout=pipe, text=True, env=environment)


def test_two_processes_on_one_file_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    work_on(lambda: SqliteStore.open(path, KINDS), lambda store: store.insert(Letter(id="1", number=0)))
    processes = [child("-c", ADD, str(path), "300") for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    refused = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    letter = work_on(lambda: SqliteStore.open(path, KINDS), lambda store: store.get(Letter, "1"))
    assert letter is not None
    assert (letter.number, letter.revision) == (600, 601)
    assert sum(refused) > 0, "no writes collided, so nothing was tested"


def test_one_process_reads_what_another_stored(tmp_path: Path) -> None:
    async def work(one: SqliteStore) -> None:
        other = SqliteStore.open(tmp_path / "store.db", KINDS)
        stored = await one.insert(Letter(id="1"))
        assert await other.get(Letter, "1") == stored
        await other.replace(stored)
        with pytest.raises(Conflict):
            await one.replace(stored)
        await other.close()

    work_on(lambda: SqliteStore.open(tmp_path / "store.db", KINDS), work)


class Note(Document):
    """A note as first declared."""

    collection: ClassVar[str] = "notes"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("author",)),)

    author: str
    topic: str = ""


class IndexedNote(Note):
    """The same notes with an additional index on the topic."""

    indexes: ClassVar[tuple[Index, ...]] = (
        Index(("author",)),
        Index(("topic",)),
        Index(("author", "topic"), unique=True),
    )


def test_a_new_index_finds_existing_documents(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    note = Note(id="1", author="anna", topic="rain")
    work_on(lambda: SqliteStore.open(path, [Note]), lambda store: store.insert(note))

    async def work(store: SqliteStore) -> None:
        found = await store.find(IndexedNote, {"topic": "rain"})
        assert [note.id for note in found.documents] == ["1"]
        with pytest.raises(Duplicate):
            await store.insert(IndexedNote(id="2", author="anna", topic="rain"))

    for _ in range(2):
        work_on(lambda: SqliteStore.open(path, [IndexedNote]), work)


def test_an_index_that_is_no_longer_declared_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    work_on(lambda: SqliteStore.open(path, [IndexedNote]), lambda store: store.count(IndexedNote, {}))

    async def work(store: SqliteStore) -> None:
        await store.insert(Note(id="1", author="anna", topic="rain"))
        await store.insert(Note(id="2", author="anna", topic="rain"))

    work_on(lambda: SqliteStore.open(path, [Note]), work)


def test_a_recreated_index_finds_documents_that_were_written_without_it(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    note = IndexedNote(id="1", author="anna", topic="rain")
    work_on(lambda: SqliteStore.open(path, [IndexedNote]), lambda store: store.insert(note))

    async def meanwhile(store: SqliteStore) -> None:
        await store.replace(Note(id="1", revision=1, author="anna", topic="sun"))
        await store.insert(Note(id="2", author="bert", topic="sun"))

    async def again(store: SqliteStore) -> None:
        assert [note.id for note in (await store.find(IndexedNote, {"topic": "sun"})).documents] == ["1", "2"]
        assert (await store.find(IndexedNote, {"topic": "rain"})).documents == []

    work_on(lambda: SqliteStore.open(path, [Note]), meanwhile)
    work_on(lambda: SqliteStore.open(path, [IndexedNote]), again)


def test_a_unique_index_that_the_documents_violate_is_refused_and_the_file_is_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    async def twice(store: SqliteStore) -> None:
        await store.insert(Note(id="1", author="anna", topic="rain"))
        await store.insert(Note(id="2", author="anna", topic="rain"))

    work_on(lambda: SqliteStore.open(path, [Note]), twice)
    with pytest.raises(sqlite3.IntegrityError) as refused:
        SqliteStore.open(path, [IndexedNote])
    assert work_on(lambda: SqliteStore.open(path, [Note]), lambda store: store.count(Note, {})) == 2, refused


def test_several_threads_can_create_the_same_file_at_once(tmp_path: Path) -> None:
    starters = 6
    barrier = threading.Barrier(starters)

    def start(path: Path) -> SqliteStore:
        barrier.wait()
        return SqliteStore.open(path, KINDS)

    with ThreadPoolExecutor(starters) as threads:
        for n in range(10):
            for store in threads.map(start, [tmp_path / f"{n}.db"] * starters):
                asyncio.run(store.close())


def test_a_cursor_with_a_value_that_no_column_accepts_is_refused(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        for n in range(2):
            await store.insert(Letter(id=str(n)))
        order = Order("sent_ms")
        cursor = (await store.find(Letter, {}, order=order, limit=1)).cursor
        assert cursor is not None
        query, _, last_id = msgspec.msgpack.decode(base64.urlsafe_b64decode(cursor))
        for value in (2**63, 2**64 - 1, None):
            forged = base64.urlsafe_b64encode(msgspec.msgpack.encode((query, value, last_id))).decode()
            with pytest.raises(InvalidCursor):
                await store.find(Letter, {}, order=order, cursor=forged)

    work_on(lambda: SqliteStore.open(tmp_path / "store.db", KINDS), work)


def test_a_value_that_no_column_accepts_fails_alone_and_the_store_continues(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        good, bad = Letter(id="1"), Letter(id="2", sent_ms=2**63)
        outcomes = await asyncio.gather(store.insert(good), store.insert(bad), return_exceptions=True)
        assert isinstance(outcomes[0], Letter)
        assert isinstance(outcomes[1], OverflowError)
        assert await store.count(Letter, {}) == 1
        assert (await store.insert(Letter(id="3"))).revision == 1

    work_on(lambda: SqliteStore.open(tmp_path / "store.db", KINDS), work)


def test_text_that_no_column_accepts_fails_alone_and_the_store_continues(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        with pytest.raises(UnicodeEncodeError):
            await asyncio.wait_for(store.delete(Letter(id="\ud800", revision=1)), 5)
        assert (await asyncio.wait_for(store.insert(Letter(id="1")), 5)).revision == 1

    work_on(lambda: SqliteStore.open(tmp_path / "store.db", KINDS), work)


def test_pending_writes_are_stored_when_the_store_closes_and_later_ones_are_refused(tmp_path: Path) -> None:
    async def work() -> None:
        store = SqliteStore.open(tmp_path / "store.db", KINDS)
        waiting = [asyncio.create_task(store.insert(Letter(id=str(n)))) for n in range(50)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0)
        with pytest.raises(AssertionError, match="the store is closed"):
            await asyncio.wait_for(store.insert(Letter(id="late")), 5)
        await closing
        assert [letter.id for letter in await asyncio.gather(*waiting)] == [str(n) for n in range(50)]

    asyncio.run(work())
    assert work_on(lambda: SqliteStore.open(tmp_path / "store.db", KINDS), lambda store: store.count(Letter, {})) == 50


def test_a_closed_store_refuses_writes(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "store.db", KINDS)
    asyncio.run(store.close())
    with pytest.raises(AssertionError, match="the store is closed"):
        asyncio.run(store.insert(Letter(id="1")))


def test_a_folder_is_not_a_store(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        SqliteStore.open(tmp_path, KINDS)
