"""Read once for all tasks that ask for the same at the same time.

A thousand people who claim a benefit in the same second all need to know who is first on its waiting list. While one
read of it is under way, the tasks that arrive wait for the next one, which begins after all of them have asked: each
gets an answer that is as recent as if it had read alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from backend.store import Store

R = TypeVar("R")


class _Reads:
    """The reads of one key: one that is under way holds the lock, and `following` begins when it has ended."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.following: asyncio.Task[Any] | None = None


_reads: WeakKeyDictionary[Store, dict[Hashable, _Reads]] = WeakKeyDictionary()


async def read_together(store: Store, key: Hashable, read: Callable[[], Awaitable[R]]) -> R:
    """Return what `read` returns, or another task's `read` of the same `key` that began after this call.

    Raises what that `read` raises.
    """
    reads = _reads.setdefault(store, {})
    of_key = reads.setdefault(key, _Reads())
    if of_key.following is None:
        of_key.following = asyncio.create_task(_read(reads, key, of_key, read))
    found: R = await asyncio.shield(of_key.following)  # a task that is cancelled does not cancel the others' read
    return found


async def _read(reads: dict[Hashable, _Reads], key: Hashable, of_key: _Reads, read: Callable[[], Awaitable[R]]) -> R:
    async with of_key.lock:
        of_key.following = None
        try:
            return await read()
        finally:
            if of_key.following is None:
                reads.pop(key, None)
