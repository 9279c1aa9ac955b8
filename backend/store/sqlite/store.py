"""The embedded store: one SQLite file, no server.

Reads run on the event loop, since handing them to a thread costs more than the read. Writes go to one writer thread,
which commits all pending writes as a group with `synchronous=FULL`; a write is acknowledged after its commit.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import closing, suppress
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from backend.store import Conflict, Document, Order, Page, Part, Scalar, StoredBatch
from backend.store.query import MAX_PAGE, Cursors, assert_declared, index_name, indexed_fields
from backend.store.sqlite.errors import unavailable
from backend.store.sqlite.writer import Write, Writer

D = TypeVar("D", bound=Document)

SCAN_BATCH = 500
READ_BATCH = 8_192
BUSY_MILLISECONDS = 10_000
MAPPED_BYTES = 2**34
"""The part of the file that is memory-mapped, which saves a system call and a copy for each page."""

_encode = msgspec.msgpack.Encoder().encode


class SqliteStore:
    """A Store in one SQLite file. Documents whose ordered field is None are not in a query with that order."""

    def __init__(self, path: Path, kinds: Sequence[type[Document]]) -> None:
        self._tables = {kind: _Table(kind) for kind in kinds}
        writer = _connect(path)
        try:
            for table in self._tables.values():
                table.prepare(writer)
        except Exception:
            writer.close()  # otherwise it keeps the file locked
            raise
        self._reader = _connect(path)
        self._path = path
        self._writer = Writer(writer)

    @classmethod
    def open(cls, path: Path, kinds: Sequence[type[Document]]) -> "SqliteStore":
        """Open or create the file; tables, columns and indexes follow the declarations of `kinds`."""
        return cls(path, kinds)

    async def get(self, kind: type[D], document_id: str) -> D | None:
        """Return one document by its id, or None."""
        table = self._tables[kind]
        rows = self._read(table.select_one, (document_id,))
        return table.decode(rows[0][0]) if rows else None

    async def get_many(self, kind: type[D], document_ids: Sequence[str]) -> dict[str, D]:
        """Return several documents by their ids, without those that do not exist."""
        table = self._tables[kind]
        documents: dict[str, D] = {}
        for start in range(0, len(document_ids), SCAN_BATCH):
            ids = document_ids[start : start + SCAN_BATCH]
            placeholders = ", ".join("?" * len(ids))
            for row in self._read(f"SELECT body FROM {table.name} WHERE id IN ({placeholders})", ids):  # noqa: S608  our own names
                document: D = table.decode(row[0])
                documents[document.id] = document
        return documents

    async def find(
        self,
        kind: type[D],
        where: Mapping[str, Scalar],
        *,
        order: Order | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[D]:
        """Return the documents whose declared fields equal `where`, by `order` and then by id; see Store.find."""
        assert 1 <= limit <= MAX_PAGE, f"a page holds 1 to {MAX_PAGE} documents"
        table = self._tables[kind]
        assert_declared(kind, where, order)
        cursors = Cursors(kind, where, order)
        query = _Query(table.name, where, order, cursors.read(cursor) if cursor is not None else None)
        rows = self._read(query.text(limit + 1), query.values)
        next_cursor = cursors.write(*rows[limit - 1][1:]) if len(rows) > limit else None
        return Page([table.decode(row[0]) for row in rows[:limit]], next_cursor)

    async def count(self, kind: type[D], where: Mapping[str, Scalar]) -> int:
        """Return the number of documents whose declared fields equal `where` (all documents if it is empty)."""
        table = self._tables[kind]
        if where:
            assert_declared(kind, where, None)
        query = _Query(table.name, where, None, None)
        return int(self._read(query.count_text(), query.values)[0][0])

    async def insert(self, document: D) -> D:
        """Store a new document durably and return it at revision 1. Raises Duplicate."""
        stored = replace(document, revision=1)
        await self._writer.write(self._tables[type(document)].insertion(stored))
        return stored

    async def replace(self, document: D) -> D:
        """Store a changed document durably if its revision is still current. Raises Conflict or Duplicate."""
        stored = replace(document, revision=document.revision + 1)
        await self._writer.write(self._tables[type(document)].replacement(stored, document.revision))
        return stored

    async def delete(self, document: Document) -> None:
        """Delete a document durably if its revision is still current. Raises Conflict."""
        assert document.deletable(), f"{document.collection}/{document.id} holds what must be taken over first"
        await self._writer.write(self._tables[type(document)].deletion(document))

    async def scan(self, kind: type[D], *, after: str = "") -> AsyncIterator[D]:
        """Yield a whole collection by ascending id, starting after `after`, while others read and write."""
        table = self._tables[kind]
        text = f"SELECT id, body FROM {table.name} WHERE id > ? ORDER BY id LIMIT {SCAN_BATCH}"  # noqa: S608  our own names
        while rows := self._read(text, (after,)):
            for row in rows:
                yield table.decode(row[1])
            after = rows[-1][0]
            await asyncio.sleep(0)

    async def parts(self, kind: type[Document], number: int) -> list[Part]:
        """Return up to `number` parts of about the same size, by the order in which documents were stored."""
        ((last,),) = self._read(f"SELECT max(rowid) FROM {self._tables[kind].name}", ())  # noqa: S608  our own names
        size = max(1, -(-(last or 0) // number))
        firsts = range(0, last or 1, size)
        return [Part(first, None if first == firsts[-1] else first + size) for first in firsts]

    async def read_stored(self, kind: type[Document], part: Part, fields: Sequence[str]) -> AsyncIterator[StoredBatch]:
        """Yield the documents of a part as they are stored, with all their fields.

        A thread reads them by a connection of its own: so many at once would hold up the event loop.
        """
        del fields  # a row is read whole
        table = self._tables[kind].name
        text = f"SELECT rowid, body FROM {table} WHERE rowid > ? AND rowid <= ? ORDER BY rowid LIMIT {READ_BATCH}"  # noqa: S608  our own names
        after, up_to = part.after or 0, 2**62 if part.up_to is None else part.up_to
        with closing(_connect(self._path)) as connection:
            while rows := await asyncio.to_thread(_fetch, connection, text, (after, up_to)):
                bodies = [row[1] for row in rows]
                starts = list(accumulate(map(len, bodies[:-1]), initial=0))
                yield StoredBatch("msgpack", b"".join(bodies), starts)
                after = rows[-1][0]

    async def restore(self, documents: Sequence[Document]) -> None:
        """Store documents of one kind durably with their revisions, replacing the same ids. Raises Duplicate."""
        if documents:
            table = self._tables[type(documents[0])]
            await asyncio.gather(*(self._writer.write(table.restoration(document)) for document in documents))

    async def read_bodies(self, collection: str, after: str, limit: int) -> list[dict[str, Any]]:
        """Return documents by ascending id, starting after `after`, as stored."""
        if not self._read("SELECT 1 FROM sqlite_master WHERE name = ?", (collection,)):
            return []  # an earlier edition had this collection, and this file never did
        text = f"SELECT body FROM {_quoted(collection)} WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608  our own names
        return [msgspec.msgpack.decode(body) for (body,) in self._read(text, (after, limit))]

    async def write_bodies(self, collection: str, bodies: Sequence[dict[str, Any]]) -> int:
        """Store changed bodies, each at its next revision, if its revision is still current; return how many."""
        tables = {kind.collection: table for kind, table in self._tables.items()}
        table = tables.get(collection) or _Table(_former_kind(collection))
        writes = [self._writer.write(table.rewriting(body)) for body in bodies]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None and not isinstance(outcome, Conflict):
                raise outcome
        return outcomes.count(None)

    async def close(self) -> None:
        """Finish pending writes, then close the file."""
        self._writer.stop()
        await asyncio.to_thread(self._writer.join)
        self._end_read()
        self._reader.close()

    def _read(self, text: str, values: Sequence[Any]) -> list[Any]:
        """Return the rows of a query, in the read transaction that all reads of this turn of the event loop share.

        A transaction costs two locks, as much as the read itself. It ends before tasks that wait for a write continue,
        so that reads see every write that was acknowledged before them.
        """
        try:
            if not self._reader.in_transaction:
                self._reader.execute("BEGIN")
                asyncio.get_running_loop().call_soon(self._end_read)
            return self._reader.execute(text, values).fetchall()
        except sqlite3.Error as error:
            self._end_read()
            refused = unavailable(error)
            if refused is None:
                raise
            raise refused from error

    def _end_read(self) -> None:
        with suppress(sqlite3.Error):  # some errors end the transaction
            if self._reader.in_transaction:
                self._reader.execute("COMMIT")


def _fetch(connection: sqlite3.Connection, text: str, values: Sequence[Any]) -> list[Any]:
    try:
        return connection.execute(text, values).fetchall()
    except sqlite3.Error as error:
        refused = unavailable(error)
        if refused is None:
            raise
        raise refused from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
    enable_write_ahead_log(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
    return connection


def enable_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Enable write-ahead logging; SQLite does not wait if another process is creating the file."""
    end = time.monotonic() + BUSY_MILLISECONDS / 1_000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def _former_kind(collection: str) -> type[Document]:
    """Return a kind for a collection of an earlier edition, which only migrations still read."""
    kind = msgspec.defstruct("Former", [], bases=(Document,), namespace={"collection": collection}, kw_only=True)
    return cast("type[Document]", kind)


class _Table:
    """The table of one kind of document: id, revision and body, and a column for each indexed field."""

    def __init__(self, kind: type[Document]) -> None:
        self.kind = kind
        self.name = f'"{kind.collection}"'
        self.decode = cast("Callable[[bytes], Any]", msgspec.msgpack.Decoder(kind).decode)
        self.fields = indexed_fields(kind)
        self.select_one = f"SELECT body FROM {self.name} WHERE id = ?"  # noqa: S608  our own names
        columns = ("id", "revision", "body", *self.fields)
        placeholders = ", ".join("?" * len(columns))
        self.insert = f"INSERT INTO {self.name} ({', '.join(map(_quoted, columns))}) VALUES ({placeholders})"  # noqa: S608  likewise
        assignments = ", ".join(f"{_quoted(column)} = excluded.{_quoted(column)}" for column in columns[1:])
        self.upsert = f"{self.insert} ON CONFLICT (id) DO UPDATE SET {assignments}"
        changes = ", ".join(f"{_quoted(column)} = ?" for column in columns[1:])
        self.update = f"UPDATE {self.name} SET {changes} WHERE id = ? AND revision = ?"  # noqa: S608  likewise

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Create or update the table, its columns and its indexes as declared."""
        connection.execute("BEGIN IMMEDIATE")
        columns = "".join(f", {_quoted(field)}" for field in self.fields)
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self.name}"
            " (id TEXT PRIMARY KEY, revision INTEGER NOT NULL, body BLOB NOT NULL"
            f"{columns})"
        )
        existing = {row[1] for row in connection.execute(f"PRAGMA table_info({self.name})")}
        for field in self.fields:
            if field not in existing:
                connection.execute(f"ALTER TABLE {self.name} ADD COLUMN {_quoted(field)}")
        current = self._current_columns(connection)
        if stale := [field for field in self.fields if field not in current]:
            self._fill(connection, stale)
        self._make_indexes(connection)
        connection.execute("COMMIT")

    def _current_columns(self, connection: sqlite3.Connection) -> set[str]:
        """Return the columns that are up to date: those of existing indexes."""
        text = "SELECT i.name FROM pragma_index_list(?) AS l, pragma_index_info(l.name) AS i WHERE l.origin = 'c'"
        return {row[0] for row in connection.execute(text, (self.kind.collection,))}

    def _fill(self, connection: sqlite3.Connection, fields: Sequence[str]) -> None:
        changes = ", ".join(f"{_quoted(field)} = ?" for field in fields)
        text = f"UPDATE {self.name} SET {changes} WHERE id = ?"  # noqa: S608  our own names
        for (body,) in connection.execute(f"SELECT body FROM {self.name}").fetchall():  # noqa: S608  likewise
            stored = msgspec.msgpack.decode(body)  # it may have the schema before a pending migration
            connection.execute(text, (*(stored.get(field) for field in fields), stored["id"]))

    def _make_indexes(self, connection: sqlite3.Connection) -> None:
        declared = {f"{self.kind.collection}__{index_name(index)}": index for index in self.kind.indexes}
        existing = [row[1] for row in connection.execute(f"PRAGMA index_list({self.name})") if row[3] == "c"]
        for name in existing:
            if name not in declared:
                connection.execute(f"DROP INDEX {_quoted(name)}")
        for name, index in declared.items():
            columns = [*index.fields, *([index.ordered] if index.ordered else []), *([] if index.unique else ["id"])]
            unique = "UNIQUE " if index.unique else ""
            column_list = ", ".join(map(_quoted, columns))
            connection.execute(f"CREATE {unique}INDEX IF NOT EXISTS {_quoted(name)} ON {self.name} ({column_list})")

    def insertion(self, document: Document) -> Write:
        return Write(self.insert, self._row(document), self.kind.collection, _unreachable)

    def restoration(self, document: Document) -> Write:
        return Write(self.upsert, self._row(document), self.kind.collection, _unreachable)

    def replacement(self, document: Document, revision: int) -> Write:
        values = (document.revision, _encode(document), *self._columns(document), document.id, revision)
        return Write(
            self.update, values, self.kind.collection, lambda: Conflict(self.kind.collection, document.id, revision)
        )

    def rewriting(self, body: dict[str, Any]) -> Write:
        changed = body | {"revision": body["revision"] + 1}
        columns = [body.get(field) for field in self.fields]
        values = (changed["revision"], _encode(changed), *columns, body["id"], body["revision"])
        refuse = lambda: Conflict(self.kind.collection, body["id"], body["revision"])  # noqa: E731  read here only
        return Write(self.update, values, self.kind.collection, refuse)

    def deletion(self, document: Document) -> Write:
        text = f"DELETE FROM {self.name} WHERE id = ? AND revision = ?"  # noqa: S608  our own names
        refuse = lambda: Conflict(self.kind.collection, document.id, document.revision)  # noqa: E731  read here only
        return Write(text, (document.id, document.revision), self.kind.collection, refuse)

    def _row(self, document: Document) -> tuple[Any, ...]:
        return (document.id, document.revision, _encode(document), *self._columns(document))

    def _columns(self, document: Document) -> list[Any]:
        return [getattr(document, field) for field in self.fields]


def _unreachable() -> Exception:
    return AssertionError("an insert either changes a row or fails")


def _quoted(name: str) -> str:
    return f'"{name}"'


class _Query:
    """One `find` as SQL. Names come from declarations; values of callers are bound parameters."""

    def __init__(
        self, table: str, where: Mapping[str, Scalar], order: Order | None, last: Sequence[Any] | None
    ) -> None:
        self.table = table
        self.conditions = [f"{_quoted(field)} IS ?" for field in where]
        self.values: list[Any] = list(where.values())
        self.descending = order is not None and order.direction == "descending"
        self.keys = [order.field, "id"] if order is not None else ["id"]
        if order is not None:
            self._limit_to(order)
        if last is not None:
            self._continue_after(*last)

    def _limit_to(self, order: Order) -> None:
        self.conditions.append(f"{_quoted(order.field)} IS NOT NULL")
        for sign, end in ((">=", order.at_least), ("<", order.below)):
            if end is not None:
                self.conditions.append(f"{_quoted(order.field)} {sign} ?")
                self.values.append(end)

    def _continue_after(self, value: Scalar, last_id: str) -> None:
        keys = ", ".join(map(_quoted, self.keys))
        placeholders = ", ".join("?" * len(self.keys))
        self.conditions.append(f"({keys}) {'<' if self.descending else '>'} ({placeholders})")
        self.values.extend([value, last_id] if len(self.keys) > 1 else [last_id])

    def text(self, limit: int) -> str:
        direction = "DESC" if self.descending else "ASC"
        order = ", ".join(f"{_quoted(key)} {direction}" for key in self.keys)
        last = _quoted(self.keys[0])
        return f"SELECT body, {last}, id FROM {self.table}{self._where()} ORDER BY {order} LIMIT {limit}"  # noqa: S608  see the class

    def count_text(self) -> str:
        return f"SELECT count(*) FROM {self.table}{self._where()}"  # noqa: S608  see the class

    def _where(self) -> str:
        return " WHERE " + " AND ".join(self.conditions) if self.conditions else ""
