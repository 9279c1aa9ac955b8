"""Delete documents whose retention period is over."""

import asyncio

from backend.store import Document, Order, Store
from backend.store.update import delete_unless_changed

BATCH_SIZE = 200


async def delete_expired(store: Store, kind: type[Document], before_ms: int) -> None:
    """Delete the documents of a kind whose `expires_ms` is below `before_ms`, the oldest first, until none is left.

    A document that is changed meanwhile stays; one without an `expires_ms` never expires.
    """
    expired = Order("expires_ms", below=before_ms)
    cursor: str | None = None
    while True:
        page = await store.find(kind, {}, order=expired, cursor=cursor, limit=BATCH_SIZE)
        await asyncio.gather(*(delete_unless_changed(store, document) for document in page.documents))
        cursor = page.cursor
        if cursor is None:
            return
