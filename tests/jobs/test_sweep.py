"""Sweeps of sagas: they drain, share the work by leases, and survive failures of documents, workers and the store."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from backend.jobs.tasks import Job
from backend.store import Store, StoreUnavailable, due
from backend.store.due import BATCH_SIZE, LEASE_MS, MAX_CONCURRENT, RangeLease, SweepLeases
from tests.jobs.shipments import NOON, SAGA, Open, PostOffice, Shipment, in_office, weigh

NOON_MS = int(NOON.timestamp() * 1_000)


async def put(store: Store, number: int, *, due_ms: Sequence[int] = (NOON_MS,)) -> None:
    """Store shipments that only have to be weighed, due at these times in turn."""
    shipments = [
        Shipment(id=f"{each:04}", revision=1, held=True, due_ms=due_ms[each % len(due_ms)]) for each in range(number)
    ]
    await store.restore(shipments)


async def weighed(store: Store) -> int:
    return sum([shipment.weight_g is not None async for shipment in store.scan(Shipment)])


async def leases(store: Store) -> tuple[RangeLease, ...]:
    found = await store.get(SweepLeases, "shipments")
    return () if found is None else found.leases


def runs(*offices: PostOffice) -> Counter[str]:
    """Return how often each shipment was weighed."""
    return Counter(shipment for office in offices for step, shipment in office.steps if step == "weigh")


async def weigh_slowly(office: PostOffice, shipment: Shipment, now: datetime) -> Shipment:
    await asyncio.sleep(0.003)
    return await weigh(office, shipment, now)


SLOW_SAGA = replace(SAGA, steps={**SAGA.steps, "weigh": weigh_slowly})
"""With slow steps both processes take part, even if they wait for the lock of an SQLite file."""


@asynccontextmanager
async def two_processes(opened: Open) -> AsyncIterator[tuple[PostOffice, PostOffice]]:
    """Open the store twice, as two processes do."""
    first, second = opened(), opened()
    try:
        yield PostOffice(first), PostOffice(second)
    finally:
        await first.close()
        await second.close()


# ── draining ──


@pytest.mark.parametrize(
    "due_ms",
    [[NOON_MS - 5_000 + number for number in range(1_000)], [NOON_MS], [NOON_MS, NOON_MS - 1], [NOON_MS - 1_000, 0]],
    ids=["all at different times", "all at the same time", "at two adjacent times", "some since 1970"],
)
def test_a_sweep_drains_all_due_documents_in_one_call_and_runs_each_once(opened: Open, due_ms: list[int]) -> None:
    number = 1_000
    assert number > 2 * BATCH_SIZE, "it needs more than two pages"

    async def work(office: PostOffice) -> None:
        await put(office.store, number, due_ms=due_ms)
        await SAGA.sweep(office)
        assert await weighed(office.store) == number
        assert set(runs(office).values()) == {1}
        assert await leases(office.store) == ()
        office.steps.clear()
        await SAGA.sweep(office)
        assert office.steps == []

    in_office(opened, work)


def test_the_longest_overdue_documents_are_processed_first(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        await put(office.store, 2 * BATCH_SIZE, due_ms=[NOON_MS - 1, NOON_MS - 2])
        await SAGA.sweep(office)
        order = [int(shipment) % 2 for step, shipment in office.steps if step == "weigh"]
        assert order[: BATCH_SIZE - MAX_CONCURRENT] == [1] * (BATCH_SIZE - MAX_CONCURRENT)

    in_office(opened, work)


def test_a_document_is_due_in_its_own_millisecond_and_not_before(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        await put(office.store, 3, due_ms=[NOON_MS - 1, NOON_MS, NOON_MS + 1])
        await SAGA.sweep(office)
        assert sorted(runs(office)) == ["0000", "0001"]
        office.at += timedelta(milliseconds=1)
        await SAGA.sweep(office)
        assert sorted(runs(office)) == ["0000", "0001", "0002"]

    in_office(opened, work)


def test_a_limited_number_of_documents_is_processed_at_once(opened: Open) -> None:
    running, most = 0, 0

    async def count(_office: PostOffice, shipment: Shipment, _now: datetime) -> Shipment:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return replace(shipment, weight_g=running)

    async def work(office: PostOffice) -> None:
        await put(office.store, 100)
        await replace(SAGA, steps={**SAGA.steps, "weigh": count}).sweep(office)
        assert most == MAX_CONCURRENT

    in_office(opened, work)


# ── leases ──


def test_two_processes_share_a_sweep_and_no_document_is_run_twice(opened: Open) -> None:
    async def work() -> None:
        async with two_processes(opened) as (one, another):
            await put(one.store, 1_500, due_ms=[NOON_MS - number for number in range(700)])
            await asyncio.gather(SLOW_SAGA.sweep(one), SLOW_SAGA.sweep(another))
            assert await weighed(one.store) == 1_500
            assert set(runs(one, another).values()) == {1}
            assert min(len(one.steps), len(another.steps)) > 0, "both took part"
            assert await leases(one.store) == ()

    asyncio.run(work())


def test_two_processes_share_documents_that_are_due_in_the_same_millisecond(opened: Open) -> None:
    async def work() -> None:
        async with two_processes(opened) as (one, another):
            await put(one.store, 1_500)
            await asyncio.gather(SLOW_SAGA.sweep(one), SLOW_SAGA.sweep(another))
            assert await weighed(one.store) == 1_500
            assert set(runs(one, another).values()) == {1}
            assert min(len(one.steps), len(another.steps)) > 0, "both took part"

    asyncio.run(work())


def test_a_process_whose_clock_is_ahead_shares_too(opened: Open) -> None:
    async def work() -> None:
        async with two_processes(opened) as (one, another):
            another.at += timedelta(seconds=90)
            await put(one.store, 1_000, due_ms=[NOON_MS + 200 * number for number in range(-500, 500)])
            await asyncio.gather(SLOW_SAGA.sweep(one), SLOW_SAGA.sweep(another))
            assert set(runs(one, another).values()) == {1}
            assert len(runs(one, another)) == 951, "what is due on the clock that is ahead, and no more"

    asyncio.run(work())


def test_a_process_runs_one_sweep_of_a_collection_at_a_time(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        await put(office.store, 300)
        await asyncio.gather(SAGA.sweep(office), SAGA.sweep(office))
        assert set(runs(office).values()) == {1}
        await put(office.store, 1)
        await SAGA.sweep(office)
        assert runs(office)["0000"] == 2, "the next sweep is not held up by the first"

    in_office(opened, work)


def test_the_range_of_a_dead_worker_is_left_alone_until_its_lease_ends(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        await put(office.store, 4, due_ms=[NOON_MS - 4_000, NOON_MS - 3_000, NOON_MS - 2_000, NOON_MS - 1_000])
        dead = RangeLease("dead worker", NOON_MS - 3_000, "0001", NOON_MS + LEASE_MS)
        await office.store.insert(SweepLeases(id="shipments", leases=(dead,)))
        await SAGA.sweep(office)
        assert sorted(runs(office)) == ["0002", "0003"]
        assert await leases(office.store) == (dead,)
        office.at += timedelta(milliseconds=LEASE_MS - 1)
        await SAGA.sweep(office)
        assert sorted(runs(office)) == ["0002", "0003"]
        office.at += timedelta(milliseconds=1)
        await SAGA.sweep(office)
        assert sorted(runs(office)) == ["0000", "0001", "0002", "0003"]
        assert await leases(office.store) == ()

    in_office(opened, work)


def test_a_sweep_that_is_cancelled_releases_its_lease(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        weighing = asyncio.Event()

        async def hang() -> None:
            weighing.set()
            await asyncio.Event().wait()

        office.meanwhile["weigh"] = hang
        await put(office.store, 1)
        sweep = asyncio.create_task(SAGA.sweep(office))
        await weighing.wait()
        assert len(await leases(office.store)) == 1
        sweep.cancel()
        await asyncio.gather(sweep, return_exceptions=True)
        assert await leases(office.store) == ()
        await SAGA.sweep(office)
        assert await weighed(office.store) == 1

    in_office(opened, work)


# ── failures ──


def test_a_document_that_fails_goes_to_the_job_queue_and_does_not_hold_up_the_others(opened: Open) -> None:
    async def fail() -> None:
        raise ZeroDivisionError("a bug")

    async def work(office: PostOffice) -> None:
        office.meanwhile["weigh"] = fail
        await put(office.store, BATCH_SIZE + 1)
        await SAGA.sweep(office)
        assert await weighed(office.store) == BATCH_SIZE
        [job] = office.jobs.jobs
        assert job == Job("post.send_shipment", (next(iter(runs(office))),), job.id)
        await SAGA.sweep(office)
        assert await weighed(office.store) == BATCH_SIZE + 1, "it is still due"

    in_office(opened, work)


def test_a_document_whose_upstream_does_not_answer_is_postponed_and_the_others_are_not(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        office.carrier.plan.extend(["down", "down"])
        await put(office.store, 20)
        await SAGA.sweep(office)
        assert await weighed(office.store) == 18
        assert office.jobs.jobs == []
        office.at += timedelta(seconds=10)
        await SAGA.sweep(office)
        assert await weighed(office.store) == 20

    in_office(opened, work)


def test_a_store_that_does_not_answer_ends_the_sweep_and_its_lease(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        async def no_answer() -> None:
            raise StoreUnavailable("away")

        office.meanwhile["weigh"] = no_answer
        await put(office.store, BATCH_SIZE)
        with pytest.raises(StoreUnavailable):
            await SAGA.sweep(office)
        steps = len(office.steps)
        assert steps <= MAX_CONCURRENT, "started documents are finished, and no others are started"
        assert await leases(office.store) == ()
        await asyncio.sleep(0.1)
        assert len(office.steps) == steps, "nothing continues in the background"
        assert office.jobs.jobs == []
        await SAGA.sweep(office)
        assert await weighed(office.store) == BATCH_SIZE

    in_office(opened, work)


def test_a_store_is_no_longer_known_once_its_sweep_has_ended(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        await put(office.store, 1)
        await SAGA.sweep(office)
        assert office.store not in due._sweeping["shipments"]

    in_office(opened, work)
