"""A store that counts its operations, so that a test can say how many a process takes."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeVar

from backend.store import Document, Order, Page, Scalar, Store

D = TypeVar("D", bound=Document)

WRITES = ("insert", "replace", "delete")


class CountingStore:
    """Passes every operation on to a store. `counts` holds their number by operation and collection."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.counts: Counter[tuple[str, str]] = Counter()

    def writes(self, kind: type[Document]) -> int:
        """Return how often documents of a kind were written."""
        return sum(self.counts[operation, kind.collection] for operation in WRITES)

    def reads(self, kind: type[Document]) -> int:
        """Return how often documents of a kind were read."""
        return sum(self.counts[operation, kind.collection] for operation in ("get", "get_many", "find", "count"))

    def total(self) -> int:
        """Return the number of all operations."""
        return self.counts.total()

    async def get(self, kind: type[D], document_id: str) -> D | None:
        self.counts["get", kind.collection] += 1
        return await self.store.get(kind, document_id)

    async def get_many(self, kind: type[D], document_ids: Sequence[str]) -> dict[str, D]:
        self.counts["get_many", kind.collection] += 1
        return await self.store.get_many(kind, document_ids)

    async def find(
        self,
        kind: type[D],
        where: Mapping[str, Scalar],
        *,
        order: Order | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[D]:
        self.counts["find", kind.collection] += 1
        return await self.store.find(kind, where, order=order, cursor=cursor, limit=limit)

    async def count(self, kind: type[D], where: Mapping[str, Scalar]) -> int:
        self.counts["count", kind.collection] += 1
        return await self.store.count(kind, where)

    async def insert(self, document: D) -> D:
        self.counts["insert", document.collection] += 1
        return await self.store.insert(document)

    async def replace(self, document: D) -> D:
        self.counts["replace", document.collection] += 1
        return await self.store.replace(document)

    async def delete(self, document: Document) -> None:
        self.counts["delete", document.collection] += 1
        await self.store.delete(document)

    def scan(self, kind: type[D], *, after: str = "") -> AsyncIterator[D]:
        self.counts["scan", kind.collection] += 1
        return self.store.scan(kind, after=after)

    async def restore(self, documents: Sequence[Document]) -> None:
        await self.store.restore(documents)

    async def read_bodies(self, collection: str, after: str, limit: int) -> list[dict[str, Any]]:
        return await self.store.read_bodies(collection, after, limit)

    async def write_bodies(self, collection: str, bodies: Sequence[dict[str, Any]]) -> int:
        return await self.store.write_bodies(collection, bodies)

    async def close(self) -> None:
        await self.store.close()
