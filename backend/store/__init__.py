"""The document store: a narrow port with two adapters.

One aggregate is one document, stored whole, with a revision. No operation needs a transaction over several documents,
so the same code runs on an embedded file and on a sharded cluster.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar, runtime_checkable

from msgspec import Struct

from backend.store.retention import AT_EXPIRY, Retention

Scalar = str | int | bool | None
"""The types of indexed fields. Instants are integers or sortable UTC text, never floats."""

ShardKey = Mapping[str, Literal["hashed", 1]]
HASHED_ID: ShardKey = {"_id": "hashed"}
ONE_SHARD: ShardKey = {}


class Index(Struct, frozen=True):
    """A declared access path: equality on `fields`, then a range and an order on `ordered`, if given.

    `unique` applies to the combination of `fields`; a document in which one of them is None is exempt.
    """

    fields: tuple[str, ...]
    ordered: str | None = None
    unique: bool = False


class Document(Struct, kw_only=True):
    """One aggregate. `revision` counts its writes from 1; 0 means that it was never stored.

    A subclass names its `collection` and declares the `indexes` that `find` and `count` may use. Indexed fields are
    top-level fields of type `Scalar`. Other instants are in UTC, to the millisecond.

    `retention` says when its documents end; every kind of the city declares it.

    `shard_key` distributes the collection in a cluster. The default, the hashed id, distributes writes evenly and sends
    each read by id to one shard. A unique index over other fields requires ONE_SHARD for all documents, or the field
    with which the index begins, in ascending order, as the shard key: then it must follow from the id.
    """

    collection: ClassVar[str]
    indexes: ClassVar[tuple[Index, ...]] = ()
    shard_key: ClassVar[ShardKey] = HASHED_ID
    retention: ClassVar[Retention] = AT_EXPIRY

    id: str
    revision: int = 0

    def deletable(self) -> bool:
        """Return whether the document may be deleted: not while it holds what another document must take over."""
        return True


D = TypeVar("D", bound=Document)


class Order(Struct, frozen=True):
    """An order on one declared field, within the half-open interval [`at_least`, `below`); None leaves an end open."""

    field: str
    direction: Literal["ascending", "descending"] = "ascending"
    at_least: Scalar = None
    below: Scalar = None


class Page(Struct, Generic[D], frozen=True):
    """Documents in order, and the `cursor` of the next page; None after the last page."""

    documents: list[D]
    cursor: str | None


class Part(Struct, frozen=True):
    """A part of a collection: the documents after `after`, up to and including `up_to`, in the store's own order.

    None leaves an end open.
    """

    after: str | int | None = None
    up_to: str | int | None = None


class StoredBatch(Struct, frozen=True):
    """Documents as they are stored, one after the other in `buffer`.

    `starts` are where they begin; None if each begins with its length, as in BSON.
    """

    encoding: Literal["bson", "msgpack"]
    buffer: bytes
    starts: list[int] | None = None


class Duplicate(Exception):
    """A document with this id, or with the same values in a unique index, already exists.

    `fields` are those of the violated index, `("id",)` for the id itself.
    """

    def __init__(self, collection: str, fields: tuple[str, ...]) -> None:
        super().__init__(f"{collection} already contains a document with the same {' and '.join(fields)}")
        self.collection = collection
        self.fields = fields


class Conflict(Exception):
    """The stored document has another revision than the one read, or was deleted: read it again and decide again."""

    def __init__(self, collection: str, document_id: str, revision: int) -> None:
        super().__init__(f"{collection}/{document_id} is no longer at revision {revision}")


class InvalidCursor(Exception):
    """The cursor belongs to another query."""


class StoreUnavailable(Exception):
    """The store did not answer in time or cannot be reached. It is unknown whether a write was stored."""


class StoreNotWritable(StoreUnavailable):
    """The store cannot write: its disk is full, read-only or failing. What it holds can still be read."""


@runtime_checkable
class Store(Protocol):
    """Stores documents. Every method may be called from many tasks of one event loop at once.

    Every method raises StoreUnavailable, within a bounded time, if the store does not answer; methods that write raise
    StoreNotWritable if it cannot write. Both are temporary: the same store works again once the cause is removed.
    """

    async def get(self, kind: type[D], document_id: str) -> D | None:
        """Return one document by its id, or None."""
        ...

    async def get_many(self, kind: type[D], document_ids: Sequence[str]) -> dict[str, D]:
        """Return several documents by their ids, without those that do not exist."""
        ...

    async def find(
        self,
        kind: type[D],
        where: Mapping[str, Scalar],
        *,
        order: Order | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[D]:
        """Return the documents whose declared fields equal `where`, by `order` and then by id.

        A declared index must consist of exactly the fields of `where`, followed by `order.field`; any other query is a
        programming error (AssertionError). Raises InvalidCursor.
        """
        ...

    async def count(self, kind: type[D], where: Mapping[str, Scalar]) -> int:
        """Return the number of documents whose declared fields equal `where` (all documents if it is empty)."""
        ...

    async def insert(self, document: D) -> D:
        """Store a new document durably and return it at revision 1. Raises Duplicate."""
        ...

    async def replace(self, document: D) -> D:
        """Store a changed document durably if its revision is still current; return it at the next revision.

        Raises Conflict, or Duplicate if a unique index is violated.
        """
        ...

    async def delete(self, document: Document) -> None:
        """Delete a document durably if its revision is still current. Raises Conflict.

        Deleting a document that is not `deletable` is a programming error (AssertionError).
        """
        ...

    def scan(self, kind: type[D], *, after: str = "") -> AsyncIterator[D]:
        """Yield a whole collection by ascending id, starting after `after`, while others read and write.

        A document that exists from start to end is yielded exactly once.
        """
        ...

    async def parts(self, kind: type[Document], number: int) -> list[Part]:
        """Return up to `number` parts of about the same size, which together hold the whole collection."""
        ...

    def read_stored(self, kind: type[Document], part: Part, fields: Sequence[str]) -> AsyncIterator[StoredBatch]:
        """Yield the documents of a part as they are stored, while others read and write.

        Fields that are not in `fields` may be missing. For readers of a whole city that need no objects.
        """
        ...

    async def restore(self, documents: Sequence[Document]) -> None:
        """Store documents of one kind durably with their revisions, replacing documents with the same ids.

        Only for copying a city to another store. Raises Duplicate.
        """
        ...

    async def read_bodies(self, collection: str, after: str, limit: int) -> list[dict[str, Any]]:
        """Return documents by ascending id, starting after `after`, as stored, whatever their schema.

        A field that is None may be missing. For migrations, like `write_bodies`.
        """
        ...

    async def write_bodies(self, collection: str, bodies: Sequence[dict[str, Any]]) -> int:
        """Store changed bodies durably, each at its next revision, if its revision is still current.

        Returns how many were stored.
        """
        ...

    async def close(self) -> None:
        """Finish pending writes and close files or connections."""
        ...
