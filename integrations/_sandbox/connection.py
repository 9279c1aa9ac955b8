"""The connection to the sandboxes' file: one in each process, which all databases on the file share.

Opening a file costs more than a transaction, so the connection stays open until no database uses it, at the latest
until the process ends. A forked process opens its own: SQLite's connections do not survive a fork.
"""

import os
import sqlite3
import weakref
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TypeVar

from backend.store.sqlite.store import enable_write_ahead_log

T = TypeVar("T")

BUSY_SECONDS = 20.0


class SharedConnection:
    """A connection that any thread may use; transactions run one after the other, each durable once it is committed."""

    def __init__(self, path: Path, tables: str) -> None:
        self._path = path
        self._tables = tables
        self._transaction = Lock()
        self._connection: sqlite3.Connection | None = None

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a transaction in this thread; it is rolled back if it raises."""
        with self._transaction:
            connection = self._connection or self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            enable_write_ahead_log(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(self._tables)
        except BaseException:
            connection.close()
            raise
        weakref.finalize(self, _close, connection, os.getpid())
        self._connection = connection
        return connection

    def forget(self) -> None:
        """Leave the connection to the process that opened it; called in a process that was forked from that one."""
        if self._connection is not None:
            _inherited.append(self._connection)
        self._connection = None
        self._transaction = Lock()  # a thread of the other process may have held it


def _close(connection: sqlite3.Connection, opened_by: int) -> None:
    if os.getpid() == opened_by:
        connection.close()


_shared: weakref.WeakValueDictionary[Path, SharedConnection] = weakref.WeakValueDictionary()
_inherited: list[sqlite3.Connection] = []
"""Connections of the process that this one was forked from; closing one here could break the file for that process."""

_sharing = Lock()


def shared_connection(path: Path, tables: str) -> SharedConnection:
    """Return the connection of this process to a file, which is opened, with its tables, at the first transaction."""
    with _sharing:
        absolute = path.absolute()
        shared = _shared.get(absolute)
        if shared is None:
            shared = _shared[absolute] = SharedConnection(absolute, tables)
        return shared


def _after_fork() -> None:
    global _sharing  # noqa: PLW0603  another thread of the parent may have held it
    _sharing = Lock()
    for shared in list(_shared.values()):
        shared.forget()


os.register_at_fork(after_in_child=_after_fork)
