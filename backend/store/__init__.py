"""Where documents live: a narrow port with two adapters.

One aggregate is one document, stored whole, with a revision. No operation needs a transaction over several documents,
which is what lets the same code run on an embedded file and on a sharded cluster.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar, runtime_checkable

from msgspec import Struct

Scalar = str | int | bool | None
"""What an indexed field may hold. Instants are stored as integers or as UTC text that sorts, never as floats."""

HASHED_ID: Mapping[str, str] = {"_id": "hashed"}
ONE_SHARD: Mapping[str, str] = {}


class Index(Struct, frozen=True):
    """A declared access path: equality on `fields`, then a range and an order on `ordered`, if given.

    `unique` holds for the combination of `fields`; a document in which one of them is None is not compared.
    """

    fields: tuple[str, ...]
    ordered: str | None = None
    unique: bool = False


class Document(Struct, kw_only=True):
    """One aggregate. `revision` counts its writes from 1; 0 means that it was never stored.

    A subclass names its `collection` and declares the `indexes` that `find` and `count` may use. Indexed fields are
    top-level fields that hold a `Scalar`. Other instants are in UTC and count to the millisecond.

    `shard_key` is how a cluster spreads the collection: by the hashed id, which spreads writes evenly and leads each
    read by id to one shard. A unique index over other fields holds only where all documents lie on ONE_SHARD.
    """

    collection: ClassVar[str]
    indexes: ClassVar[tuple[Index, ...]] = ()
    shard_key: ClassVar[Mapping[str, str]] = HASHED_ID

    id: str
    revision: int = 0


D = TypeVar("D", bound=Document)


class Order(Struct, frozen=True):
    """An order on one declared field, within the half-open interval [`at_least`, `below`); None leaves an end open."""

    field: str
    direction: Literal["ascending", "descending"] = "ascending"
    at_least: Scalar = None
    below: Scalar = None


class Page(Struct, Generic[D], frozen=True):
    """Documents in order, and the `cursor` that fetches the next page; None after the last one."""

    documents: list[D]
    cursor: str | None


class Duplicate(Exception):
    """A document with this id, or with the same values in a unique index, is already there.

    `fields` names the index that refused, `("id",)` for the id itself.
    """

    def __init__(self, collection: str, fields: tuple[str, ...]) -> None:
        super().__init__(f"{collection} already holds a document with the same {' and '.join(fields)}")
        self.collection = collection
        self.fields = fields


class Conflict(Exception):
    """The stored document has another revision than the one read, or is gone: read it again and decide anew."""

    def __init__(self, collection: str, document_id: str, revision: int) -> None:
        super().__init__(f"{collection}/{document_id} is no longer at revision {revision}")


class InvalidCursor(Exception):
    """The cursor was not made by this query."""


class StoreUnavailable(Exception):
    """The store did not answer in time, or cannot be reached. Whether a write was kept is then not known."""


@runtime_checkable
class Store(Protocol):
    """Keeps documents. Every method may be called from many tasks of one event loop at once.

    Every method raises StoreUnavailable, within a bounded time, where the store does not answer.
    """

    async def get(self, kind: type[D], document_id: str) -> D | None:
        """Read one document by its id, or None."""
        ...

    async def get_many(self, kind: type[D], document_ids: Sequence[str]) -> dict[str, D]:
        """Read several documents by their ids; ids that are not there are left out."""
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
        """Read the documents whose declared fields equal `where`, by `order` and then by id.

        A declared index must hold exactly the fields of `where`, and `order.field` after them; asking for anything
        else is a programmer's error (AssertionError). Raises InvalidCursor.
        """
        ...

    async def count(self, kind: type[D], where: Mapping[str, Scalar]) -> int:
        """Count the documents whose declared fields equal `where` (all of them for an empty one)."""
        ...

    async def insert(self, document: D) -> D:
        """Store a new document durably and give it back at revision 1. Raises Duplicate."""
        ...

    async def replace(self, document: D) -> D:
        """Store a changed document durably, if the stored one still has its revision; give it back at the next one.

        Raises Conflict, or Duplicate where a unique index refuses.
        """
        ...

    async def delete(self, document: Document) -> None:
        """Remove a document durably, if the stored one still has its revision. Raises Conflict."""
        ...

    def scan(self, kind: type[D], *, after: str = "") -> AsyncIterator[D]:
        """Walk a whole collection by ascending id, from behind `after`, while others read and write.

        A document that is there from beginning to end is met exactly once.
        """
        ...

    async def restore(self, documents: Sequence[Document]) -> None:
        """Store documents of one kind durably as they are, revisions and all, over what has their ids.

        For moving a city to another store; what lives is written by `insert` and `replace`. Raises Duplicate.
        """
        ...

    async def read_bodies(self, collection: str, after: str, limit: int) -> list[dict[str, Any]]:
        """Read documents by ascending id, from behind `after`, as they lie there, whatever form they have.

        A field that holds None may be missing. For migrations, as `write_bodies` is.
        """
        ...

    async def write_bodies(self, collection: str, bodies: Sequence[dict[str, Any]]) -> int:
        """Store changed bodies durably, each at its next revision; one whose revision no longer stands is left.

        Gives how many were stored.
        """
        ...

    async def close(self) -> None:
        """Finish what was acknowledged and let go of the files or connections."""
        ...
