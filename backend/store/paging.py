"""Read all documents that a query finds, page by page."""

from collections.abc import AsyncIterator, Mapping

from backend.store import D, Order, Scalar, Store


async def find_pages(
    store: Store, kind: type[D], where: Mapping[str, Scalar], order: Order | None, page_size: int = 200
) -> AsyncIterator[list[D]]:
    """Yield the documents that `find` finds, in order and page by page, while others read and write."""
    cursor: str | None = None
    while True:
        page = await store.find(kind, where, order=order, cursor=cursor, limit=page_size)
        yield page.documents
        cursor = page.cursor
        if cursor is None:
            return


async def find_all(store: Store, kind: type[D], where: Mapping[str, Scalar], order: Order | None) -> AsyncIterator[D]:
    """Yield all documents that `find` finds, in order, while others read and write."""
    async for page in find_pages(store, kind, where, order):
        for document in page:
            yield document
