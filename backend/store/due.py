"""Sweeps drain: they process all documents that are due, in batches, until none is left, on any number of processes.

A sweep reads by index, and reads only what is due. Several processes share the work: each leases a range of documents
at a time. A lease saves work and guards nothing: processing a document twice must be harmless, as after any crash.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Generic, Protocol, TypeVar
from weakref import WeakSet

from msgspec import Struct
from msgspec.structs import replace

from backend.store import Document, Order, Page, Store, StoreUnavailable
from backend.store.query import Cursors
from backend.store.retention import Retention
from backend.store.time import to_ms
from backend.store.update import insert_or_get, retry_on_conflict, update_document

BATCH_SIZE = 200
MAX_CONCURRENT = 16
LEASE_MS = 120_000

_log = logging.getLogger("chengma.sweeps")

D = TypeVar("D", bound=Document)


class SweepContext(Protocol):
    """The part of a City that a sweep needs."""

    @property
    def store(self) -> Store:
        """The store of documents."""
        ...

    def now(self) -> datetime:
        """Return the current instant."""
        ...


def _now(now: datetime) -> datetime:
    return now


class Due(Struct, Generic[D], frozen=True):
    """What a sweep processes: the documents of a kind whose `field`, in milliseconds, is at most `until(now)`.

    The kind declares an index that is ordered by the field and has no other. Without `until`, the instant is now.
    """

    kind: type[D]
    field: str
    until: Callable[[datetime], datetime] = _now

    def order(self, now: datetime) -> Order:
        """Return the order of the documents that are due at `now`, the longest overdue first."""
        return Order(self.field, at_least=0, below=to_ms(self.until(now)) + 1)

    def at(self, document: D) -> int:
        """Return the instant of a due document, in milliseconds."""
        return int(getattr(document, self.field))

    def lease_id(self) -> str:
        """Return the id of the SweepLeases of this sweep."""
        collection = self.kind.collection
        return collection if self.field == "due_ms" else f"{collection}.{self.field}"  # as earlier editions name it

    async def lag(self, context: SweepContext) -> timedelta:
        """Return how long the document that is longest overdue has been due; no time if none is."""
        now = context.now()
        page: Page[D] = await context.store.find(self.kind, {}, order=self.order(now), limit=1)
        ages = [to_ms(self.until(now)) - self.at(document) for document in page.documents]
        return timedelta(milliseconds=max(ages, default=0))


def ended(kind: type[D]) -> Due[D]:
    """Return what the sweep of a kind deletes: the documents whose retention has ended before now."""
    retention = kind.retention
    field = retention.ends_at or retention.field
    assert field is not None, f"{kind.__name__} ends by its age"

    def until(now: datetime) -> datetime:
        length = timedelta(0) if retention.ends_at is not None else retention.length(now)
        return now - length - timedelta(milliseconds=1)

    return Due(kind, field, until)


class RangeLease(Struct, frozen=True):
    """A sweep processes the documents up to (`due_ms`, `id`) that no earlier lease covers, until the lease expires."""

    holder: str
    due_ms: int
    id: str
    until_ms: int

    def last_position(self) -> tuple[int, str]:
        """Return the position of the last document in the order of a sweep."""
        return self.due_ms, self.id


class SweepLeases(Document, kw_only=True):
    """The ranges that sweeps process now; its `id` names the collection, and the field if that is not `due_ms`."""

    collection: ClassVar[str] = "sweep_leases"
    retention: ClassVar[Retention] = Retention(
        grows_with="nothing: there is one for each kind of sweep",
        ends="never",
        names="nobody",
    )

    leases: tuple[RangeLease, ...] = ()


async def drain(
    context: SweepContext,
    due: Due[D],
    process: Callable[[D], Awaitable[object]],
    failed: Callable[[D], Awaitable[object]] | None = None,
    max_concurrent: int = MAX_CONCURRENT,
) -> None:
    """Process all documents that are due when it starts, the longest overdue first, by `process_all`.

    A process runs one sweep of a kind at a time. The range of a process that dies is left until its lease expires, two
    minutes later. Raises StoreUnavailable.
    """
    sweeping = _sweeping.setdefault(due.lease_id(), WeakSet())
    if context.store in sweeping:
        return
    sweeping.add(context.store)
    try:
        order, end = due.order(context.now()), (0, "")
        while (leased := await _lease(context, due, order, end)) is not None:
            lease, page = leased
            try:
                await process_all(page.documents, process, failed, max_concurrent)
            finally:
                await _release(context.store, due, lease)
            if page.cursor is None:  # what became due since then is left to the next run
                return
            end = lease.last_position()
    finally:
        sweeping.discard(context.store)


_sweeping: dict[str, WeakSet[Store]] = {}
"""For each kind of sweep, the stores that this process is sweeping."""


async def _lease(
    context: SweepContext, due: Due[D], order: Order, after: tuple[int, str]
) -> tuple[RangeLease, Page[D]] | None:
    """Lease the next due documents that no other sweep processes and return them; None if there are none."""
    cursors = Cursors(due.kind, {}, order)

    async def lease() -> tuple[RangeLease, Page[D]] | None:
        held = await _leases(context.store, due)
        now_ms = to_ms(context.now())
        others = tuple(other for other in held.leases if other.until_ms > now_ms)
        begin = max([after, *(other.last_position() for other in others)])
        cursor = cursors.write(*begin)
        page: Page[D] = await context.store.find(due.kind, {}, order=order, cursor=cursor, limit=BATCH_SIZE)
        if not page.documents:
            return None
        last = page.documents[-1]
        leased = RangeLease(secrets.token_urlsafe(9), due.at(last), last.id, now_ms + LEASE_MS)
        await context.store.replace(replace(held, leases=(*others, leased)))
        return leased, page

    return await retry_on_conflict(lease)  # another sweep may lease a range at the same time


async def _leases(store: Store, due: Due[D]) -> SweepLeases:
    found = await store.get(SweepLeases, due.lease_id())
    return found or await insert_or_get(store, SweepLeases(id=due.lease_id()))


async def _release(store: Store, due: Due[D], lease: RangeLease) -> None:
    def released(held: SweepLeases) -> SweepLeases:
        return replace(held, leases=tuple(one for one in held.leases if one != lease))

    await update_document(store, lambda: _leases(store, due), released)


async def process_all(
    documents: Sequence[D],
    process: Callable[[D], Awaitable[object]],
    failed: Callable[[D], Awaitable[object]] | None = None,
    max_concurrent: int = MAX_CONCURRENT,
) -> None:
    """Process documents, several at a time, without a lease.

    An error of one document is logged, and `failed` is called with it; the others are processed. Raises
    StoreUnavailable, and then starts no more.
    """
    pending = deque(documents)

    async def work() -> None:
        while pending:
            document = pending.popleft()
            try:
                await process(document)
            except StoreUnavailable:
                pending.clear()
                raise
            except Exception as error:  # noqa: BLE001  one document must not hold up the others
                _log.warning("the sweep could not process %s/%s", document.collection, document.id, exc_info=error)
                if failed is not None:
                    await failed(document)

    results = await asyncio.gather(*(work() for _ in range(max_concurrent)), return_exceptions=True)
    for failure in filter(None, results):
        raise failure
