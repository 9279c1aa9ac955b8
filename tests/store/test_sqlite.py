"""What is the embedded file's own: it survives a kill, follows its declarations, and may be opened by two processes."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import pytest

from backend.store import Conflict, Document, Duplicate, Index
from backend.store.sqlite import SqliteStore
from tests.conftest import ROOT
from tests.store.scene import KINDS, Letter, work_on

KILLS = 24

ADD = """
import asyncio, sys
from pathlib import Path
from msgspec.structs import replace
from backend.store import Conflict
from backend.store.sqlite import SqliteStore
from tests.store.scene import KINDS, Letter

async def add(times):
    store = SqliteStore.open(Path(sys.argv[1]), KINDS)
    done = 0
    while done < times:
        letter = await store.get(Letter, "1")
        try:
            await store.replace(replace(letter, number=letter.number + 1))
            done += 1
        except Conflict:
            pass
    await store.close()

asyncio.run(add(int(sys.argv[2])))
"""


def child(*arguments: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env=environment)


def test_a_process_killed_while_it_writes_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path, chance = tmp_path / "store.db", random.Random(1)
    acknowledged: dict[str, int] = {}
    for start in range(KILLS):
        process = child("-m", "tests.store.crash", str(path), str(start))
        assert process.stdout is not None
        said = process.stdout.readline()
        time.sleep(chance.uniform(0, 0.15))
        os.kill(process.pid, signal.SIGKILL)
        said += process.stdout.read()
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        for line in said[: said.rindex("\n")].splitlines():
            letter_id, revision = line.split()
            acknowledged[letter_id] = max(int(revision), acknowledged.get(letter_id, 0))
        kept = work_on(lambda: SqliteStore.open(path, KINDS), lambda store: store.get_many(Letter, list(acknowledged)))
        assert {id_ for id_ in acknowledged if id_ not in kept} == set()
        for letter_id, revision in acknowledged.items():
            letter = kept[letter_id]
            assert letter.revision >= revision
            assert len(letter.text) == 200 * (letter.revision - 1), "a document is whole or not there"
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
    assert len(acknowledged) > KILLS


def test_two_processes_on_one_file_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    work_on(lambda: SqliteStore.open(path, KINDS), lambda store: store.insert(Letter(id="1", number=0)))
    processes = [child("-c", ADD, str(path), "100") for _ in range(2)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    for process in processes:
        assert process.stdout is not None
        process.stdout.close()
    letter = work_on(lambda: SqliteStore.open(path, KINDS), lambda store: store.get(Letter, "1"))
    assert letter is not None
    assert (letter.number, letter.revision) == (200, 201)


def test_what_one_process_keeps_another_sees(tmp_path: Path) -> None:
    async def work(one: SqliteStore) -> None:
        other = SqliteStore.open(tmp_path / "store.db", KINDS)
        kept = await one.insert(Letter(id="1"))
        assert await other.get(Letter, "1") == kept
        await other.replace(kept)
        with pytest.raises(Conflict):
            await one.replace(kept)
        await other.close()

    work_on(lambda: SqliteStore.open(tmp_path / "store.db", KINDS), work)


class Note(Document):
    """A note, as it was first declared."""

    collection: ClassVar[str] = "notes"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("author",)),)

    author: str
    topic: str = ""


class IndexedNote(Note):
    """The same notes, to be found by their topic too."""

    indexes: ClassVar[tuple[Index, ...]] = (
        Index(("author",)),
        Index(("topic",)),
        Index(("author", "topic"), unique=True),
    )


def test_a_new_index_finds_the_documents_that_were_there_before_it(tmp_path: Path) -> None:
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


def test_a_value_that_no_column_holds_fails_alone_and_the_store_goes_on(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        good, bad = Letter(id="1"), Letter(id="2", sent_ms=2**63)
        outcomes = await asyncio.gather(store.insert(good), store.insert(bad), return_exceptions=True)
        assert isinstance(outcomes[0], Letter)
        assert isinstance(outcomes[1], OverflowError)
        assert await store.count(Letter, {}) == 1
        assert (await store.insert(Letter(id="3"))).revision == 1

    work_on(lambda: SqliteStore.open(tmp_path / "store.db", KINDS), work)


def test_a_closed_store_refuses_writes(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "store.db", KINDS)
    asyncio.run(store.close())
    with pytest.raises(AssertionError, match="the store is closed"):
        asyncio.run(store.insert(Letter(id="1")))


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        SqliteStore.open(tmp_path, KINDS)
