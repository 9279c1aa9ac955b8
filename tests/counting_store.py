"""A store that counts the calls of each method."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeVar

from backend.store import Document, Order, Page, Part, Scalar, Store, StoredBatch

D = TypeVar("D", bound=Document)


class CountingStore:
    """Forwards all calls to a store; `calls` counts them by method and kind of document."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls: Counter[tuple[str, str]] = Counter()

    def total(self) -> int:
        """Return the number of all calls."""
        return self.calls.total()

    async def get(self, kind: type[D], document_id: str) -> D | None:
        self.calls["get", kind.__name__] += 1
        return await self._store.get(kind, document_id)

    async def get_many(self, kind: type[D], document_ids: Sequence[str]) -> dict[str, D]:
        self.calls["get_many", kind.__name__] += 1
        return await self._store.get_many(kind, document_ids)

    async def find(
        self,
        kind: type[D],
        where: Mapping[str, Scalar],
        *,
        order: Order | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[D]:
        self.calls["find", kind.__name__] += 1
        return await self._store.find(kind, where, order=order, cursor=cursor, limit=limit)

    async def count(self, kind: type[D], where: Mapping[str, Scalar]) -> int:
        self.calls["count", kind.__name__] += 1
        return await self._store.count(kind, where)

    async def insert(self, document: D) -> D:
        self.calls["insert", type(document).__name__] += 1
        return await self._store.insert(document)

    async def replace(self, document: D) -> D:
        self.calls["replace", type(document).__name__] += 1
        return await self._store.replace(document)

    async def delete(self, document: Document) -> None:
        self.calls["delete", type(document).__name__] += 1
        await self._store.delete(document)

    def scan(self, kind: type[D], *, after: str = "") -> AsyncIterator[D]:
        self.calls["scan", kind.__name__] += 1
        return self._store.scan(kind, after=after)

    async def parts(self, kind: type[Document], number: int) -> list[Part]:
        return await self._store.parts(kind, number)

    def read_stored(self, kind: type[Document], part: Part, fields: Sequence[str]) -> AsyncIterator[StoredBatch]:
        self.calls["read_stored", kind.__name__] += 1
        return self._store.read_stored(kind, part, fields)

    async def restore(self, documents: Sequence[Document]) -> None:
        await self._store.restore(documents)

    async def read_bodies(self, collection: str, after: str, limit: int) -> list[dict[str, Any]]:
        return await self._store.read_bodies(collection, after, limit)

    async def write_bodies(self, collection: str, bodies: Sequence[dict[str, Any]]) -> int:
        return await self._store.write_bodies(collection, bodies)

    async def close(self) -> None:
        await self._store.close()
