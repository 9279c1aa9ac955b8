"""A sweep drains what is due, shares it with other processes, reads nothing else, and shows how far it is behind."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from backend.store import Document, Order, Page, Scalar, Store
from backend.store.due import BATCH_SIZE, Due, RangeLease, SweepLeases, drain, ended
from backend.store.sqlite.store import SqliteStore
from backend.store.update import delete_unless_changed
from tests.counting_store import CountingStore
from tests.store.scene import At, Open, Postcard, Ticket, work_on

NOW = datetime(2022, 4, 20, 4, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1_000)
POSTCARDS = Due(Postcard, "expires_ms")


class ReadingStore(CountingStore):
    """Counts how often each document is found."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.found: Counter[str] = Counter()

    async def find(
        self,
        kind: type[Any],
        where: Mapping[str, Scalar],
        *,
        order: Order | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Any]:
        page = await super().find(kind, where, order=order, cursor=cursor, limit=limit)
        documents: list[Document] = page.documents
        self.found.update(document.id for document in documents)
        return page


async def put(store: Store, name: str, number: int, expires_ms: int) -> None:
    await store.restore([Postcard(id=f"{name}-{each:04}", revision=1, expires_ms=expires_ms) for each in range(number)])


def test_one_run_drains_thousands_and_reads_each_once_and_nothing_that_is_not_due(opened: Open) -> None:
    async def work(store: Store) -> None:
        number = 5_000 if isinstance(store, SqliteStore) else 1_000
        await put(store, "due", number, NOW_MS)
        await put(store, "later", 300, NOW_MS + 1)
        await store.insert(Postcard(id="never"))
        reading = ReadingStore(store)
        processed: list[str] = []

        async def discard(postcard: Postcard) -> None:
            processed.append(postcard.id)
            await delete_unless_changed(store, postcard)

        await drain(At(reading, NOW), POSTCARDS, discard, max_concurrent=200)
        assert len(processed) == len(set(processed)) == number
        assert reading.found == Counter(processed)
        assert await store.count(Postcard, {}) == 301
        assert reading.calls["find", "Postcard"] == number / BATCH_SIZE

    work_on(opened, work)


def test_a_sweep_with_nothing_to_do_reads_twice_and_writes_nothing(opened: Open) -> None:
    async def work(store: Store) -> None:
        await put(store, "later", 10, NOW_MS + 1)
        counting = CountingStore(store)
        context = At(counting, NOW)
        await drain(context, POSTCARDS, counting.delete)
        counting.calls.clear()
        await drain(context, POSTCARDS, counting.delete)
        assert counting.calls == {("get", "SweepLeases"): 1, ("find", "Postcard"): 1}

    work_on(opened, work)


def test_two_processes_share_what_is_due_and_neither_repeats_the_work_of_the_other(opened: Open) -> None:
    async def work() -> None:
        one, another = opened(), opened()
        await put(one, "due", 600, NOW_MS)
        processed: dict[Store, list[str]] = {one: [], another: []}

        async def discard(store: Store, postcard: Postcard) -> None:
            processed[store].append(postcard.id)
            await delete_unless_changed(store, postcard)

        async def sweep(store: Store) -> None:
            await drain(At(store, NOW), POSTCARDS, lambda postcard: discard(store, postcard))

        await asyncio.gather(sweep(one), sweep(another))
        assert sorted(processed[one] + processed[another]) == [f"due-{number:04}" for number in range(600)]
        assert all(processed.values()), "both took part"
        for store in processed:
            await store.close()

    asyncio.run(work())


def test_a_document_that_cannot_be_processed_is_reported_and_the_others_are_processed(opened: Open) -> None:
    async def work(store: Store) -> None:
        await put(store, "due", 500, NOW_MS)
        failed: list[str] = []

        async def discard(postcard: Postcard) -> None:
            if postcard.id in ("due-0000", "due-0300"):
                raise ZeroDivisionError("a bug")
            await store.delete(postcard)

        async def leave(postcard: Postcard) -> None:
            failed.append(postcard.id)

        await drain(At(store, NOW), POSTCARDS, discard, leave)
        assert failed == ["due-0000", "due-0300"]
        assert [one.id async for one in store.scan(Postcard)] == failed

    work_on(opened, work)


def test_sweeps_of_two_fields_of_a_collection_do_not_lease_each_others_documents(opened: Open) -> None:
    async def work(store: Store) -> None:
        await put(store, "due", 1, NOW_MS)
        lease = RangeLease("another process", NOW_MS, "due-0000", NOW_MS + 60_000)
        await store.insert(SweepLeases(id="postcards", leases=(lease,)))
        await drain(At(store, NOW), POSTCARDS, store.delete)
        assert await store.count(Postcard, {}) == 0

    work_on(opened, work)


def test_the_lag_is_the_age_of_the_longest_overdue_document_and_ends_with_the_sweep(opened: Open) -> None:
    async def work(store: Store) -> list[timedelta]:
        counting = CountingStore(store)
        context = At(counting, NOW)
        lags = [await POSTCARDS.lag(context)]
        await put(store, "due", 3, NOW_MS - 90_000)
        await put(store, "later", 3, NOW_MS + 1)
        lags.append(await POSTCARDS.lag(context))
        assert counting.calls == {("find", "Postcard"): 2}
        await drain(context, POSTCARDS, store.delete)
        return [*lags, await POSTCARDS.lag(context)]

    assert work_on(opened, work) == [timedelta(0), timedelta(seconds=90), timedelta(0)]


def test_the_lag_of_a_deletion_begins_when_the_retention_has_ended(opened: Open) -> None:
    async def work(store: Store) -> timedelta:
        await store.insert(Ticket(id="old", at_ms=NOW_MS - int(timedelta(days=10, seconds=5).total_seconds() * 1_000)))
        return await ended(Ticket).lag(At(store, NOW))

    assert work_on(opened, work) == timedelta(seconds=5) - timedelta(milliseconds=1)
