"""The production store: MongoDB, as a replica set or a sharded cluster.

Each kind of document has a collection of its own, with its fields, and `id` as `_id`. Writes are acknowledged by the
majority and reads return majority-committed data, so losing a primary loses no data.

Only calls that motor and PyMongo's own asyncio client share are used: motor's maintenance ended in May 2026.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from inspect import isawaitable
from itertools import chain
from typing import Any, Literal, TypeVar, cast

from bson.int64 import Int64
from msgspec.structs import replace
from pymongo import AsyncMongoClient, ReplaceOne
from pymongo.errors import BulkWriteError, PyMongoError

from backend.store import Conflict, Document, Order, Page, Part, Scalar, StoredBatch, StoreUnavailable
from backend.store.mongo.codec import CODEC, body_of, document_of
from backend.store.mongo.errors import unavailable
from backend.store.mongo.grouping import Grouping
from backend.store.mongo.writes import (
    DUPLICATE_KEY,
    MAX_BATCH_BYTES,
    Write,
    duplicate,
    insertion,
    replacement,
    write_all,
)
from backend.store.query import MAX_PAGE, Cursors, assert_declared, finds_at_most_one, indexed_fields

D = TypeVar("D", bound=Document)
Driver = Literal["motor", "pymongo"]
_Bodies = dict[str, dict[str, Any]]

DATABASE = "chengma"
"""The database if the address names none."""

MAX_CONCURRENT = 32
"""The maximum number of concurrent operations of one process: fewer than the driver has connections."""

SCAN_BATCH = 1_000
READ_BATCH = 8_192


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
        self._timeout_seconds = timeout_ms / 1_000
        self._collections: dict[type[Document], Any] = {}
        self._reads: dict[type[Document], Grouping[Sequence[str], _Bodies]] = {}
        self._insertions: dict[type[Document], Grouping[Write, None]] = {}
        self._replacements: dict[type[Document], Grouping[Write, None]] = {}
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def get(self, kind: type[D], document_id: str) -> D | None:
        """Return one document by its id, or None."""
        bodies = await self._bodies_of(kind, [document_id])
        body = bodies.get(document_id)
        return None if body is None else document_of(kind, body)

    async def get_many(self, kind: type[D], document_ids: Sequence[str]) -> dict[str, D]:
        """Return several documents by their ids, without those that do not exist."""
        documents: dict[str, D] = {}
        for start in range(0, len(document_ids), SCAN_BATCH):
            ids = document_ids[start : start + SCAN_BATCH]
            bodies = await self._bodies_of(kind, ids)
            documents |= {id_: document_of(kind, bodies[id_]) for id_ in ids if id_ in bodies}
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
        write = insertion(stored)
        await self._writes(self._insertions, type(document)).run(write, write.weight)
        return stored

    async def replace(self, document: D) -> D:
        """Store a changed document durably if its revision is still current. Raises Conflict or Duplicate."""
        stored = replace(document, revision=document.revision + 1)
        write = replacement(stored)
        await self._writes(self._replacements, type(document)).run(write, write.weight)
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
            raise duplicate(sample.collection, _duplicates(error)[0]) from error

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
        """Finish pending writes and close the connections."""
        for groups in (self._insertions, self._replacements, self._reads):
            for grouping in groups.values():
                await grouping.finish()
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

    async def _bodies_of(self, kind: type[Document], ids: Sequence[str]) -> "_Bodies":
        """Return the bodies of at least these documents, read together with those that others ask for."""
        grouping = self._reads.get(kind)
        if grouping is None:

            async def read(asked: Sequence[Sequence[str]]) -> list[_Bodies | Exception]:
                unique = list(dict.fromkeys(chain.from_iterable(asked)))
                query = {"_id": {"$in": unique} if len(unique) > 1 else unique[0]}
                bodies = {body["_id"]: body for body in await self._bodies(kind, query, [], len(unique))}
                return [bodies] * len(asked)

            grouping = self._reads[kind] = Grouping(read, max_weight=SCAN_BATCH, timeout_seconds=self._timeout_seconds)
        return await grouping.run(ids, len(ids))

    def _writes(
        self, groupings: dict[type[Document], Grouping[Write, None]], kind: type[Document]
    ) -> Grouping[Write, None]:
        grouping = groupings.get(kind)
        if grouping is None:

            async def write(writes: Sequence[Write]) -> list[Exception | None]:
                async with self._operation():
                    return await write_all(self._collection(kind), writes)

            grouping = groupings[kind] = Grouping(
                write, max_weight=MAX_BATCH_BYTES, timeout_seconds=self._timeout_seconds
            )
        return grouping

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
            async with asyncio.timeout(self._timeout_seconds):
                await self._slots.acquire()
        except TimeoutError as error:
            raise StoreUnavailable("MongoDB does not answer: too many operations are waiting") from error
        try:
            yield
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


def _duplicates(error: BulkWriteError) -> Sequence[Mapping[str, Any]]:
    """Return the writes that were refused as duplicates. Raises the error itself if there is any other error."""
    details: Mapping[str, Any] = error.details or {}
    refused = details.get("writeErrors", [])
    if not refused or details.get("writeConcernErrors") or any(write["code"] != DUPLICATE_KEY for write in refused):
        raise error
    return refused
