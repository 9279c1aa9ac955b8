"""The production store: MongoDB, as a replica set or a sharded cluster.

Each kind of document has a collection of its own, with its fields, and `id` as `_id`. Writes are acknowledged by the
majority and reads return majority-committed data, so losing a primary loses no data.

Only calls that motor and PyMongo's own asyncio client share are used: motor's maintenance ended in May 2026.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cached_property
from inspect import isawaitable
from typing import Any, Literal, TypeVar, cast

import msgspec
from bson.codec_options import CodecOptions
from bson.int64 import Int64
from msgspec import Struct
from msgspec.structs import replace
from pymongo import AsyncMongoClient, ReplaceOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from backend.store import Conflict, Document, Duplicate, Order, Page, Part, Scalar, StoredBatch, StoreUnavailable
from backend.store.mongo.errors import unavailable
from backend.store.query import MAX_PAGE, Cursors, assert_declared, finds_at_most_one, indexed_fields

D = TypeVar("D", bound=Document)
Driver = Literal["motor", "pymongo"]

DATABASE = "chengma"
"""The database if the address names none."""

MAX_CONCURRENT = 32
"""The maximum number of concurrent operations of one process: fewer than the driver has connections."""

SCAN_BATCH = 1_000
READ_BATCH = 8_192
SEPARATE_READS_SECONDS = 10.0
DUPLICATE_KEY = 11_000
CODEC = CodecOptions[dict[str, Any]](tz_aware=True, tzinfo=UTC)


def client_options(timeout_ms: int) -> dict[str, Any]:
    """Return the options of every client: all waits are bounded, and writes are acknowledged by the majority.

    `timeout_ms` bounds each operation with all its retries. The address may override any option.
    """
    return {
        "w": "majority",
        "readConcernLevel": "majority",
        "readPreference": "primary",
        "retryWrites": True,
        "retryReads": True,
        "maxPoolSize": 100,
        "waitQueueTimeoutMS": timeout_ms,
        "serverSelectionTimeoutMS": timeout_ms,
        "connectTimeoutMS": timeout_ms,
        "timeoutMS": timeout_ms,
        "appname": "chengma",
    }


class _BatchRead(Struct):
    """The ids that are read in one turn of the event loop, and the task that reads them in the next turn."""

    ids: list[str]
    bodies: asyncio.Task[dict[str, dict[str, Any]]]


class MongoStore:
    """A Store in a MongoDB database. It belongs to the event loop that first uses it.

    `backend.store.mongo.schema.prepare` creates the collections and their indexes.
    """

    def __init__(
        self, url: str, kinds: Sequence[type[Document]], *, driver: Driver = "motor", timeout_ms: int = 3_000
    ) -> None:
        self._url = url
        self._indexed = {kind.collection: indexed_fields(kind) for kind in kinds}
        self._driver = driver
        self._timeout_ms = timeout_ms
        self._collections: dict[type[Document], Any] = {}
        self._batch_reads: dict[type[Document], _BatchRead] = {}
        self._separate_reads_until = 0.0
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def get(self, kind: type[D], document_id: str) -> D | None:
        """Return one document by its id, or None."""
        if time.monotonic() < self._separate_reads_until:
            bodies = await self._bodies_of(kind, [document_id])
        else:
            reading = self._batch_reads.get(kind)
            if reading is None:
                reading = self._batch_reads[kind] = _BatchRead([], asyncio.create_task(self._read_batch(kind)))
            reading.ids.append(document_id)
            bodies = await asyncio.shield(reading.bodies)  # other readers may be cancelled
        body = bodies.get(document_id)
        return None if body is None else document_of(kind, body)

    async def get_many(self, kind: type[D], document_ids: Sequence[str]) -> dict[str, D]:
        """Return several documents by their ids, without those that do not exist."""
        bodies = await self._bodies_of(kind, document_ids)
        return {document_id: document_of(kind, body) for document_id, body in bodies.items()}

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
        assert_declared(kind, where, order)
        cursors = Cursors(kind, where, order)
        sign = -1 if order is not None and order.direction == "descending" else 1
        keys = [order.field, "_id"] if order is not None else ["_id"]
        query = [dict(where), *([_range(order)] if order is not None else [])]
        if cursor is not None:
            query.append(_after_last(order, *cursors.read(cursor)))
        # Without the exception MongoDB would sort a single document.
        sort = [] if finds_at_most_one(kind, where) else [(key, sign) for key in keys]
        bodies = await self._bodies(kind, {"$and": query}, sort, limit + 1)
        last = bodies[limit - 1] if len(bodies) > limit else None
        value = None if last is None else last[keys[0]]
        if isinstance(value, Int64):  # BSON decodes milliseconds as Int64; a cursor needs plain numbers
            value = int(value)
        next_cursor = None if last is None else cursors.write(value, last["_id"])
        return Page([document_of(kind, body) for body in bodies[:limit]], next_cursor)

    async def count(self, kind: type[D], where: Mapping[str, Scalar]) -> int:
        """Return the number of documents whose declared fields equal `where` (all documents if it is empty)."""
        options: dict[str, Any] = {"maxTimeMS": self._timeout_ms}
        if where:
            assert_declared(kind, where, None)
        else:
            options["hint"] = "_id_"  # otherwise the whole collection is read
        async with self._operation():
            return int(await self._collection(kind).count_documents(dict(where), **options))

    async def insert(self, document: D) -> D:
        """Store a new document durably and return it at revision 1. Raises Duplicate."""
        stored = replace(document, revision=1)
        try:
            async with self._operation():
                await self._collection(type(document)).insert_one(body_of(stored))
        except DuplicateKeyError as error:
            raise _duplicate(document, error.details) from error
        return stored

    async def replace(self, document: D) -> D:
        """Store a changed document durably if its revision is still current. Raises Conflict or Duplicate."""
        stored = replace(document, revision=document.revision + 1)
        query = {"_id": document.id, "revision": document.revision}
        try:
            async with self._operation():
                result = await self._collection(type(document)).replace_one(query, body_of(stored))
        except DuplicateKeyError as error:
            raise _duplicate(document, error.details) from error
        if not result.matched_count:
            raise Conflict(document.collection, document.id, document.revision)
        return stored

    async def delete(self, document: Document) -> None:
        """Delete a document durably if its revision is still current. Raises Conflict."""
        assert document.deletable(), f"{document.collection}/{document.id} holds what must be taken over first"
        query = {"_id": document.id, "revision": document.revision}
        async with self._operation():
            result = await self._collection(type(document)).delete_one(query)
        if not result.deleted_count:
            raise Conflict(document.collection, document.id, document.revision)

    async def scan(self, kind: type[D], *, after: str = "") -> AsyncIterator[D]:
        """Yield a whole collection by ascending id, starting after `after`, while others read and write."""
        while bodies := await self._bodies(kind, {"_id": {"$gt": after}}, [("_id", 1)], SCAN_BATCH):
            for body in bodies:
                yield document_of(kind, body)
            after = bodies[-1]["_id"]

    async def parts(self, kind: type[Document], number: int) -> list[Part]:
        """Return up to `number` parts of about the same size, by id."""
        bounds: list[str] = []
        async with self._operation():
            documents = await self._collection(kind).estimated_document_count()
            for place in range(1, number):
                at = documents * place // number
                cursor = self._collection(kind).find({}, {"_id": 1}, sort=[("_id", 1)], skip=at, limit=1)
                bounds += [found["_id"] for found in await cursor.to_list(1)]
        bounds = sorted(set(bounds))
        return [Part(after, up_to) for after, up_to in zip([None, *bounds], [*bounds, None], strict=True)]

    async def read_stored(self, kind: type[Document], part: Part, fields: Sequence[str]) -> AsyncIterator[StoredBatch]:
        """Yield the documents of a part as MongoDB sends them, with these fields and the id."""
        query = {"_id": {"$gt": part.after or ""} | ({} if part.up_to is None else {"$lte": part.up_to})}
        async with self._operation():
            cursor = self._collection(kind).find_raw_batches(query, dict.fromkeys(fields, 1), batch_size=READ_BATCH)
            async for batch in cursor:
                yield StoredBatch("bson", batch)

    async def restore(self, documents: Sequence[Document]) -> None:
        """Store documents of one kind durably with their revisions, replacing the same ids. Raises Duplicate."""
        if not documents:
            return
        collection = self._collection(type(documents[0]))
        bodies = [body_of(document) for document in documents]
        try:
            async with self._operation():
                await collection.insert_many(bodies, ordered=False)  # twice as fast as upserts
        except BulkWriteError as error:
            refused = _duplicates(error)
            await self._overwrite(collection, [bodies[int(write["index"])] for write in refused], documents[0])

    async def _overwrite(self, collection: Any, bodies: Sequence[dict[str, Any]], sample: Document) -> None:  # noqa: ANN401  either driver's collection
        writes = [ReplaceOne({"_id": body["_id"]}, body, upsert=True) for body in bodies]
        try:
            async with self._operation():
                await collection.bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            raise _duplicate(sample, _duplicates(error)[0]) from error

    async def read_bodies(self, collection: str, after: str, limit: int) -> list[dict[str, Any]]:
        """Return documents by ascending id, starting after `after`, as stored."""
        async with self._operation():
            cursor = self._database[collection].find({"_id": {"$gt": after}}, limit=limit, sort=[("_id", 1)])
            bodies = cast("list[dict[str, Any]]", await cursor.to_list(limit))
        return [{"id": body.pop("_id"), **body} for body in bodies]

    async def write_bodies(self, collection: str, bodies: Sequence[dict[str, Any]]) -> int:
        """Store changed bodies, each at its next revision, if its revision is still current; return how many."""
        writes: list[ReplaceOne[dict[str, Any]]] = []
        for body in bodies:
            absent = {"id", *(name for name in self._indexed.get(collection, ()) if body.get(name) is None)}
            changed = {name: value for name, value in body.items() if name not in absent}
            query = {"_id": body["id"], "revision": body["revision"]}
            writes.append(ReplaceOne(query, changed | {"revision": body["revision"] + 1}))
        if not writes:
            return 0
        async with self._operation():
            return int((await self._database[collection].bulk_write(writes, ordered=False)).matched_count)

    async def close(self) -> None:
        """Close the connections."""
        self._collections.clear()
        client: Any = self.__dict__.pop("client", None)
        closing = client.close() if client is not None else None
        if isawaitable(closing):
            await closing

    @cached_property
    def client(self) -> Any:  # noqa: ANN401  either driver's client
        """Return the driver's own client, opened on first use."""
        options = client_options(self._timeout_ms)
        if self._driver == "pymongo":
            return AsyncMongoClient[dict[str, Any]](self._url, **options)
        from motor.motor_asyncio import AsyncIOMotorClient

        return AsyncIOMotorClient[dict[str, Any]](self._url, **options)

    def _collection(self, kind: type[Document]) -> Any:  # noqa: ANN401  either driver's collection
        collection = self._collections.get(kind)
        if collection is None:
            collection = self._collections[kind] = self._database[kind.collection]
        return collection

    @property
    def _database(self) -> Any:  # noqa: ANN401  either driver's database
        return self.client.get_default_database(DATABASE, codec_options=CODEC)

    async def _read_batch(self, kind: type[Document]) -> dict[str, dict[str, Any]]:
        """Return the documents requested in one turn of the event loop, by one query: twice as fast as one for each.

        In a sharded cluster one missing shard makes the whole query fail, so documents are then read separately for
        a while.
        """
        reading = self._batch_reads.pop(kind)
        try:
            return await self._bodies_of(kind, reading.ids)
        except StoreUnavailable:
            self._separate_reads_until = time.monotonic() + SEPARATE_READS_SECONDS
            raise

    async def _bodies_of(self, kind: type[Document], ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        bodies: dict[str, dict[str, Any]] = {}
        for start in range(0, len(ids), SCAN_BATCH):
            batch = list(ids[start : start + SCAN_BATCH])
            query = {"_id": {"$in": batch} if len(batch) > 1 else batch[0]}
            for body in await self._bodies(kind, query, [], len(batch)):
                bodies[body["_id"]] = body
        return bodies

    async def _bodies(
        self, kind: type[Document], query: dict[str, Any], order: list[tuple[str, int]], limit: int
    ) -> list[dict[str, Any]]:
        async with self._operation():
            cursor = self._collection(kind).find(
                query, limit=limit, batch_size=limit, sort=order or None, max_time_ms=self._timeout_ms
            )
            return cast("list[dict[str, Any]]", await cursor.to_list(limit))

    @asynccontextmanager
    async def _operation(self) -> AsyncGenerator[None, None]:
        """Wait for a free slot, with a timeout. Raises StoreUnavailable if MongoDB does not answer.

        Refusals of MongoDB are raised unchanged. If its connections run out, the driver serves new operations before
        waiting ones, some of which then time out; the slots serve all operations in order of arrival.
        """
        try:
            async with asyncio.timeout(self._timeout_ms / 1_000):
                await self._slots.acquire()
        except TimeoutError as error:
            raise StoreUnavailable("MongoDB does not answer: too many operations are waiting") from error
        try:
            yield
        except DuplicateKeyError:
            raise
        except PyMongoError as error:
            refused = unavailable(error)
            if refused is None:
                raise
            raise refused from error
        finally:
            self._slots.release()


def _range(order: Order) -> dict[str, Any]:
    ends = {sign: end for sign, end in (("$gte", order.at_least), ("$lt", order.below)) if end is not None}
    return {order.field: ends or {"$exists": True}}


def _after_last(order: Order | None, value: Scalar, last_id: str) -> dict[str, Any]:
    """Return the condition for documents after the last one of a page."""
    if order is None:
        return {"_id": {"$gt": last_id}}
    sign = "$lt" if order.direction == "descending" else "$gt"
    same_value = {order.field: value, "_id": {sign: last_id}}
    return {"$or": [{order.field: {sign: value}}, same_value], order.field: {f"{sign}e": value}}


def body_of(document: Document) -> dict[str, Any]:
    """Return a document for the driver, without indexed fields that are None: a unique index ignores missing fields."""
    body: dict[str, Any] = msgspec.to_builtins(document, builtin_types=(datetime, bytes))
    body["_id"] = body.pop("id")
    for field in indexed_fields(type(document)):
        if body.get(field) is None:
            body.pop(field, None)
    return body


def document_of(kind: type[D], body: dict[str, Any]) -> D:
    """Return a document from the driver's representation."""
    absent_fields = {field: None for field in indexed_fields(kind) if field not in body}
    return msgspec.convert({**body, **absent_fields, "id": body["_id"]}, kind)


def _duplicates(error: BulkWriteError) -> Sequence[Mapping[str, Any]]:
    """Return the writes that were refused as duplicates. Raises the error itself if there is any other error."""
    details: Mapping[str, Any] = error.details or {}
    refused = details.get("writeErrors", [])
    if not refused or details.get("writeConcernErrors") or any(write["code"] != DUPLICATE_KEY for write in refused):
        raise error
    return refused


def _duplicate(document: Document, details: Mapping[str, Any] | None) -> Duplicate:
    keys: Mapping[str, Any] = (details or {}).get("keyPattern", {})
    return Duplicate(document.collection, tuple("id" if key == "_id" else key for key in keys))
