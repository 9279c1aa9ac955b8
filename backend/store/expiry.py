"""Delete documents whose retention period has ended."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from backend.store import D, Order, Store
from backend.store.paging import find_pages
from backend.store.time import to_ms
from backend.store.update import delete_unless_changed

BATCH_SIZE = 1_000


async def delete_expired(
    store: Store, kind: type[D], now: datetime, may_end: Callable[[D], bool] = lambda _document: True
) -> None:
    """Delete all documents of a kind whose retention has ended, oldest first, until none is left.

    Those that may not end yet, such as an unpaid bill, stay.
    """
    retention = kind.retention
    if retention.ends_at is not None:
        expired = Order(retention.ends_at, below=to_ms(now))
    else:
        assert retention.field is not None, f"{kind.__name__} ends by its age"
        expired = Order(retention.field, below=to_ms(now - retention.length(now)))
    async for page in find_pages(store, kind, {}, expired, BATCH_SIZE):
        await asyncio.gather(*(delete_unless_changed(store, document) for document in page if may_end(document)))
