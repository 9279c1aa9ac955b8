"""The thread that writes to an SQLite file, so that the writes of many tasks share one commit."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from backend.store import Duplicate
from backend.store.sqlite.errors import unavailable

MAX_GROUP = 1_000
CHECKPOINT_WRITES = 2_000
"""The log is checkpointed after this many writes, or later under load; never during a read of a request."""
MAX_LOG_PAGES = 2**14


class Write(msgspec.Struct, frozen=True):
    """One statement; `refuse` returns the error if it changed no row."""

    text: str
    values: tuple[Any, ...]
    collection: str
    refuse: Callable[[], Exception]


_Waiting = tuple[Write, "asyncio.Future[None]"]


class Writer:
    """The writing thread. Pending writes are committed as one group.

    The writes of one turn of an event loop are enqueued together: a thread that is woken for each write would commit
    each separately, and take the interpreter lock each time.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._waiting: queue.SimpleQueue[list[_Waiting] | None] = queue.SimpleQueue()
        self._collected: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
        self._since_checkpoint = 0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def write(self, write: Write) -> None:
        """Write durably. Raises the store's refusal."""
        assert not self._stopped, "the store is closed"
        assert self._thread.is_alive(), "the store's writer has ended"
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        collected = self._collected.get(loop)
        if collected is None:
            collected = self._collected[loop] = []
            loop.call_soon(self._enqueue, loop)
        collected.append((write, done))
        await done

    def _enqueue(self, loop: asyncio.AbstractEventLoop) -> None:
        collected = self._collected.pop(loop, None)
        if collected:
            self._waiting.put(collected)

    def stop(self) -> None:
        """Accept no more writes; pending writes are still committed."""
        self._stopped = True
        for loop in list(self._collected):
            self._enqueue(loop)
        self._waiting.put(None)

    def join(self) -> None:
        """Wait until pending writes are committed and the connection is closed."""
        self._thread.join()

    def _run(self) -> None:
        running = True
        while running:
            batch, writes = self._waiting.get(), list[_Waiting]()
            while batch is not None:
                writes.extend(batch)
                if len(writes) >= MAX_GROUP:
                    break
                try:
                    batch = self._waiting.get_nowait()
                except queue.Empty:
                    break
            running = batch is not None
            if writes:
                self._resolve_futures(writes, self._commit([write for write, _ in writes]))
            if self._since_checkpoint > CHECKPOINT_WRITES and self._waiting.empty():
                self._checkpoint()
        self._checkpoint()
        self._connection.close()

    def _commit(self, writes: Sequence[Write]) -> list[Exception | None]:
        """Run a group of writes in one transaction; a refused write does not affect the others."""
        self._roll_back()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._execute(write) for write in writes]
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            return [unavailable(error) or error] * len(writes)
        self._since_checkpoint += len(writes)
        return outcomes

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # some errors end the transaction, and a failing disk may refuse a rollback
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _execute(self, write: Write) -> Exception | None:
        try:
            changed = self._connection.execute(write.text, write.values).rowcount
        except sqlite3.IntegrityError as error:
            columns = str(error).partition("failed: ")[2].split(", ")
            return Duplicate(write.collection, tuple(column.rpartition(".")[2] for column in columns))
        except (sqlite3.ProgrammingError, OverflowError, ValueError) as error:
            return error  # a value that no column accepts: an error of this write, not of the group
        return None if changed else write.refuse()

    @staticmethod
    def _resolve_futures(writes: Sequence[_Waiting], outcomes: Sequence[Exception | None]) -> None:
        loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[None], Exception | None]]] = {}
        for (_, done), outcome in zip(writes, outcomes, strict=True):
            loops.setdefault(done.get_loop(), []).append((done, outcome))
        for loop, answers in loops.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_resolve, answers)

    def _checkpoint(self) -> None:
        try:
            _, pages, _ = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages > MAX_LOG_PAGES:  # constant readers would let it grow without limit: wait for them
                self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        except sqlite3.Error:
            return  # another process holds the file, or the disk is full; the next checkpoint will do it
        self._since_checkpoint = 0


def _resolve(answers: Sequence[tuple["asyncio.Future[None]", Exception | None]]) -> None:
    for done, outcome in answers:
        if done.done():
            continue
        if outcome is None:
            done.set_result(None)
        else:
            done.set_exception(outcome)
