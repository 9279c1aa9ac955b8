"""Update a document that many writers change at the same time: one write stores all changes that wait for it.

A busy document is then written as often as the store can, however many changes arrive, and no change waits for more
than the write in progress and its own.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from backend.store import Document, Store
from backend.store.update import retry_on_conflict

D = TypeVar("D", bound=Document)


class _Waiting(Generic[D]):
    """A change that waits to be stored; `outcome` is the document with it, or what the change raised."""

    def __init__(self, change: Callable[[D], D]) -> None:
        self.change = change
        self.outcome: D | Exception | None = None


class _Queue:
    """The changes of one document that wait in this process, stored one batch after the other."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting: list[_Waiting[Any]] = []


_queues: WeakKeyDictionary[Store, dict[tuple[type[Document], str], _Queue]] = WeakKeyDictionary()


async def update_grouped(
    store: Store,
    kind: type[D],
    document_id: str,
    *,
    load: Callable[[], Awaitable[D]],
    change: Callable[[D], D],
    before_write: Callable[[D], Awaitable[D]],
) -> D:
    """Change a document durably, together with all other changes of it that wait in this process; return it.

    `change` must be idempotent, because it may be made again if it is unknown whether it was stored; it returns the
    same object if nothing changes. If it raises, nothing of it is stored, and the other changes are not affected.
    `before_write` may change the document once more before it is stored. Raises what `change` raises, or Conflict if
    other processes keep changing the document.
    """
    queues = _queues.setdefault(store, {})
    queue = queues.setdefault((kind, document_id), _Queue())
    mine = _Waiting(change)
    queue.waiting.append(mine)
    try:
        async with queue.lock:
            if mine.outcome is None:
                await _write(store, list(queue.waiting), load, before_write)
    finally:
        queue.waiting.remove(mine)
        if not queue.waiting:
            queues.pop((kind, document_id), None)
    outcome = mine.outcome
    assert outcome is not None, "this task or the one before it stored the change"
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def _write(
    store: Store,
    batch: list[_Waiting[D]],
    load: Callable[[], Awaitable[D]],
    before_write: Callable[[D], Awaitable[D]],
) -> None:
    async def write() -> tuple[D, list[Exception | None]]:
        before = await load()
        changed, errors = before, list[Exception | None]()
        for one in batch:
            try:
                changed = one.change(changed)
            except Exception as error:  # noqa: BLE001  it is raised to the task that made this change
                errors.append(error)
            else:
                errors.append(None)
        return (before if changed is before else await store.replace(await before_write(changed))), errors

    stored, errors = await retry_on_conflict(write)
    for one, error in zip(batch, errors, strict=True):
        one.outcome = error or stored
