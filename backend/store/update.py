"""Write documents that others may write at the same time: a conflict is retried here, and callers do not see it."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from backend.store import Conflict, Document, Duplicate, Store

D = TypeVar("D", bound=Document)
R = TypeVar("R")

MAX_ATTEMPTS = 100
"""One of several writers always succeeds, so a hundred concurrent writers all succeed."""


async def retry_on_conflict(write: Callable[[], Awaitable[R]]) -> R:
    """Run `write` until no other writer was faster, and return its result.

    `write` reads again what it changes. Raises Conflict, or Duplicate of an id, if others are faster every time, and
    Duplicate of another unique index at once.
    """
    for attempt in range(1, MAX_ATTEMPTS):
        try:
            return await write()
        except Conflict:
            pass
        except Duplicate as duplicate:
            if duplicate.fields != ("id",):
                raise
        await asyncio.sleep(random.uniform(0, 0.001 * attempt))  # noqa: S311  jitter, not security
    return await write()


async def update_document(
    store: Store, load: Callable[[], Awaitable[D | None]], change: Callable[[D], D], in_hand: D | None = None
) -> D | None:
    """Load a document, change it, store it and return it; None if `load` returns None.

    `change` returns the same object if there is nothing to change. A document `in_hand` that was read before is loaded
    only after a conflict. Raises Conflict if others keep changing it, and what `load` and `change` raise.
    """

    async def write() -> D | None:
        nonlocal in_hand
        document, in_hand = in_hand or await load(), None
        if document is None:
            return None
        changed = change(document)
        return document if changed is document else await store.replace(changed)

    return await retry_on_conflict(write)


async def create_or_update(store: Store, document: D, change: Callable[[D], D]) -> D:
    """Change the stored document with the id of `document`, or `document` itself if there is none, and store it.

    `change` returns the same object if there is nothing to change; a document that is not stored is then not stored.
    Raises Conflict if others keep changing it, and what `change` raises.
    """

    async def write() -> D:
        found = await store.get(type(document), document.id)
        before = document if found is None else found
        changed = change(before)
        if changed is before:
            return before
        return await (store.insert(changed) if found is None else store.replace(changed))

    return await retry_on_conflict(write)


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


async def delete_unless_changed(store: Store, document: Document) -> bool:
    """Delete a document, and return whether this call did.

    If it was changed or deleted since it was read, or is not deletable yet, it stays as it is.
    """
    if document.deletable():
        with suppress(Conflict):
            await store.delete(document)
            return True
    return False


async def replace_unless_changed(store: Store, document: Document) -> bool:
    """Store a changed document, and return whether this call did; if others changed it, it stays as it is."""
    with suppress(Conflict):
        await store.replace(document)
        return True
    return False
