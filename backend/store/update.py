"""Changing a document that others change at the same time: one write, tried again when somebody else was faster."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from backend.store import Conflict, Document, Store

D = TypeVar("D", bound=Document)

MAX_ATTEMPTS = 100
"""Of several writers one always wins, so that a hundred at once are all served."""


async def update_document(store: Store, load: Callable[[], Awaitable[D | None]], change: Callable[[D], D]) -> D | None:
    """Change a document as it stands now, which `load` gives; None where there is none.

    `change` gives back the same object where there is nothing to change. Raises Conflict if others kept changing it,
    and whatever `load` and `change` raise.
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
            await asyncio.sleep(random.uniform(0, 0.001 * attempt))  # noqa: S311  spreads the writers, guards nothing
    raise AssertionError("the last try ends it")
