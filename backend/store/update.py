"""Write documents that others may write at the same time: a conflict is retried here, and callers do not see it."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from backend.store import Conflict, Document, Duplicate, Store

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


async def create_or_update(store: Store, document: D, change: Callable[[D], D]) -> D:
    """Change the stored document with the id of `document`, or `document` itself if there is none, and store it.

    `change` returns the same object if there is nothing to change; a document that is not stored is then not stored.
    Raises Conflict if others keep changing it, and what `change` raises.
    """
    for attempt in range(1, MAX_ATTEMPTS + 1):
        found = await store.get(type(document), document.id)
        before = document if found is None else found
        changed = change(before)
        if changed is before:
            return before
        try:
            return await (store.insert(changed) if found is None else store.replace(changed))
        except (Conflict, Duplicate):
            await asyncio.sleep(random.uniform(0, 0.001 * attempt))  # noqa: S311  jitter, not security
    raise Conflict(document.collection, document.id, document.revision)


async def insert_or_get(store: Store, document: D) -> D:
    """Store a new document and return it, or return the stored one if its id exists.

    Raises Duplicate if another unique index is violated.
    """
    while True:
        try:
            return await store.insert(document)
        except Duplicate as duplicate:
            if duplicate.fields != ("id",):
                raise
            found = await store.get(type(document), document.id)
            if found is not None:  # it may have been deleted meanwhile
                return found


async def delete_unless_changed(store: Store, document: Document) -> None:
    """Delete a document; if it was changed or deleted since it was read, it stays as it is."""
    with suppress(Conflict):
        await store.delete(document)
