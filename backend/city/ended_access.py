"""Access that ends before its tokens expire: sessions that were ended, and accounts that lost their person.

Guards check no store, so each process remembers what has ended for as long as tokens live. The process in which access
ends refuses its tokens at once, the others within a second.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import ClassVar

from backend.city.service import City
from backend.jobs.beside import beside
from backend.store import Document, Duplicate, Index, Order, StoreUnavailable
from backend.store.paging import find_all
from backend.store.retention import Retention
from backend.store.time import to_ms

POLL_SECONDS = 1.0
MARGIN = timedelta(minutes=1)
"""Clocks of processes differ by less than this."""


class EndedAccess(Document, kw_only=True):
    """Tokens that are refused until `expires_ms`, when the last of them has expired: `id` is their `access_key`."""

    collection: ClassVar[str] = "ended_access"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="expires_ms"),)
    retention: ClassVar[Retention] = Retention(
        grows_with="each session that is ended, and each account that loses its person",
        ends="when the last of its tokens has expired",
        names="nobody",
        ends_at="expires_ms",
    )

    expires_ms: int


async def end_access(city: City, key: str) -> None:
    """Refuse all tokens with this key (see `backend.security.identity.access_keys`) that were issued until now."""
    until = city.now() + timedelta(seconds=city.settings.access_token_seconds) + MARGIN
    with suppress(Duplicate):  # it has ended before
        await city.store.insert(EndedAccess(id=key, expires_ms=to_ms(until)))
    city.ended_tokens.add(key)


async def restore_access(city: City, key: str) -> None:
    """Admit tokens with this key again: the account has its person back."""
    found = await city.store.get(EndedAccess, key)
    if found is not None:
        await city.store.delete(found)
    city.ended_tokens.discard(key)


@asynccontextmanager
async def follow_ended_access(current: Callable[[], City]) -> AsyncGenerator[None, None]:
    """Refuse tokens whose access has ended in any process, until the end of the block."""
    with suppress(StoreUnavailable):
        await _read(current())
    async with beside(_poll(current)):
        yield


async def _poll(current: Callable[[], City]) -> None:
    while True:
        await asyncio.sleep(POLL_SECONDS)
        with suppress(StoreUnavailable):  # what was known is still refused
            await _read(current())


async def _read(city: City) -> None:
    known = frozenset(city.ended_tokens)
    valid = Order("expires_ms", at_least=to_ms(city.now()))
    stored = {document.id async for document in find_all(city.store, EndedAccess, {}, valid)}
    city.ended_tokens.difference_update(known - stored)  # what ended while this was read stays
    city.ended_tokens.update(stored)
