"""Change a document that others may change at the same time: one conditional write, retried after a conflict."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from backend.store import Conflict, Document, Store

D = TypeVar("D", bound=Document)

MAX_ATTEMPTS = 100
"""One of several writers always succeeds, so a hundred concurrent writers all succeed."""


async def update_document(store: Store, load: Callable[[], Awaitable[D | None]], change: Callable[[D], D]) -> D | None:
    """Load a document, change it, store it and return it; None if `load` returns None.

    `change` returns the same object if there is nothing to change. Raises Conflict if others keep changing it,
    and what `load` and `change` raise.
    """
    for attempt in range(1, MAX_ATTEMPTS + 1):
        document = await load()
        if document is None:
            return None
        changed = change(document)
        if changed is document:
            return document
        try:
            return await store.replace(changed)
        except Conflict:
            if attempt == MAX_ATTEMPTS:
                raise
            await asyncio.sleep(random.uniform(0, 0.001 * attempt))  # noqa: S311  jitter, not security
    raise AssertionError("the last attempt returns or raises")
