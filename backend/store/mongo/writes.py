"""Insertions and replacements in batches of which each writer learns the outcome of its own document."""

from collections.abc import Mapping, Sequence
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from msgspec import Struct
from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError, WriteError
from pymongo.results import BulkWriteResult

from backend.store import Conflict, Document, Duplicate, StoreUnavailable
from backend.store.mongo.codec import CODEC, body_of
from backend.store.mongo.errors import unavailable

DUPLICATE_KEY = 11_000
_REFUSED = 40_228
"""MongoDB's error when a pipeline replaces a document by null."""

MAX_WRITES = 128
MAX_BATCH_BYTES = 8 * 2**20
"""The bounds of a batch: larger ones save hardly more, and each writer waits for its whole batch."""


class Write(Struct, frozen=True):
    """One operation on a document, encoded once, and the revision that it replaces."""

    collection: str
    document_id: str
    revision: int
    operation: InsertOne[RawBSONDocument] | UpdateOne
    weight: int


def insertion(stored: Document) -> Write:
    """Return the insertion of a document. Raises OverflowError or ValueError for values that BSON does not have."""
    body = _encoded(stored)
    return Write(stored.collection, stored.id, 0, InsertOne(body), _weight(body))


def replacement(stored: Document) -> Write:
    """Return the replacement of a document, if it is stored at the previous revision; the error as for an insertion.

    A bulk counts the documents that matched, but does not say which ones. So a document with another revision must
    fail: the operation would insert it, and the pipeline then yields null, which MongoDB refuses. Nothing is ever
    inserted, so a deleted document stays deleted. The revision is a range, because MongoDB copies the values of
    equalities to the document that it is about to insert.
    """
    body, revision = _encoded(stored), stored.revision - 1
    query = {"_id": stored.id, "revision": {"$gt": revision - 1, "$lt": revision + 1}}
    if_current = {"$cond": [{"$eq": ["$revision", revision]}, {"$literal": body}, None]}
    operation = UpdateOne(query, [{"$replaceWith": if_current}], upsert=True)
    return Write(stored.collection, stored.id, revision, operation, _weight(body))


def _encoded(stored: Document) -> RawBSONDocument:
    return RawBSONDocument(bson.encode(body_of(stored), codec_options=CODEC))


def _weight(body: RawBSONDocument) -> int:
    return max(len(body.raw), MAX_BATCH_BYTES // MAX_WRITES)


async def write_all(collection: Any, writes: Sequence[Write]) -> list[Exception | None]:  # noqa: ANN401  either driver's collection
    """Write a batch durably; return for each writer None, or its Conflict, Duplicate or other error.

    Raises PyMongoError if it is unknown what was stored.
    """
    try:
        result: BulkWriteResult = await collection.bulk_write([write.operation for write in writes], ordered=False)
    except BulkWriteError as error:
        details: Mapping[str, Any] = error.details or {}
        errors: Sequence[Mapping[str, Any]] = details.get("writeErrors", ())
        refused = {int(one["index"]): _refusal(writes[int(one["index"])], one) for one in errors}
        if details.get("writeConcernErrors"):
            raise
        stored = details["nInserted"] + details["nMatched"]
    else:
        refused, stored = dict[int, Exception](), result.inserted_count + result.matched_count
    if stored + len(refused) != len(writes):
        raise StoreUnavailable(f"MongoDB answered {stored + len(refused)} of {len(writes)} writes")
    return [refused.get(index) for index in range(len(writes))]


def _refusal(write: Write, error: Mapping[str, Any]) -> Exception:
    if error["code"] == _REFUSED:
        return Conflict(write.collection, write.document_id, write.revision)
    if error["code"] == DUPLICATE_KEY:
        return duplicate(write.collection, error)
    other = WriteError(error["errmsg"], error["code"], error)
    return unavailable(other) or other


def duplicate(collection: str, details: Mapping[str, Any]) -> Duplicate:
    """Return the Duplicate that an error of MongoDB with code 11000 means."""
    return Duplicate(collection, tuple("id" if key == "_id" else key for key in details.get("keyPattern", {})))
