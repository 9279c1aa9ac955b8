"""Delete documents whose retention period has ended."""

import asyncio
from datetime import datetime

from backend.store import Document, Order, Store
from backend.store.paging import find_pages
from backend.store.time import to_ms
from backend.store.update import delete_unless_changed

BATCH_SIZE = 1_000


async def delete_expired(store: Store, kind: type[Document], now: datetime) -> None:
    """Delete all documents of a kind whose retention has ended, oldest first, until none is left."""
    retention = kind.retention
    assert retention.field is not None, f"{kind.__name__} ends by its age"
    expired = Order(retention.field, below=to_ms(now - retention.length(now)))
    async for page in find_pages(store, kind, {}, expired, BATCH_SIZE):
        await asyncio.gather(*(delete_unless_changed(store, document) for document in page))
