"""The saga engine: the order of steps, the number of writes, and repetition after conflicts."""

import asyncio
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from backend.jobs.saga import MAX_CONFLICTS, MAX_STEPS, Decision, saga_tasks
from backend.store import Conflict, StoreUnavailable
from tests.jobs.shipments import (
    NOON,
    SAGA,
    Booking,
    Open,
    PostOffice,
    Shipment,
    Terms,
    add_note,
    in_office,
    stored,
)

SECOND = timedelta(seconds=1)


def step_names(office: PostOffice) -> list[str]:
    return [step for step, _ in office.steps]


# ── steps and writes ──


def test_a_document_is_passed_from_step_to_step_and_written_once_per_step(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        shipment = await SAGA.start(office, Shipment(id="1"))
        office.store.calls.clear()
        done = await SAGA.run(office, shipment)
        assert done == await stored(office)
        assert (done.weight_g, done.tariff, done.price_fen, done.announced) == (500, "parcel", 1_000, True)
        assert done.booking == Booking("book:1", int(NOON.timestamp() * 1_000), 1)
        assert done.due_ms is None
        assert office.reads() == 0
        assert office.writes() == 3, "the weight with the decisions and the request; the answer; the end"

    in_office(opened, work)


def test_resuming_reads_the_document_once(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        await SAGA.start(office, Shipment(id="1"))
        office.store.calls.clear()
        await SAGA.resume(office, "1")
        assert (office.reads(), office.writes()) == (1, 3)

    in_office(opened, work)


def test_decisions_share_a_write(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        shipment = await SAGA.start(office, Shipment(id="1", weight_g=500, held=True))
        office.store.calls.clear()
        priced = await SAGA.run(office, shipment)
        assert priced is not None
        assert (priced.tariff, priced.price_fen) == ("parcel", 1_000)
        assert office.store.total() == office.writes() == 1

    in_office(opened, work)


def test_a_person_decides_and_the_steps_that_follow_continue_without_reading(opened: Open) -> None:
    release = Decision[Shipment, Terms](lambda shipment, _now, _terms: replace(shipment, held=False))

    async def work(office: PostOffice) -> None:
        held = await SAGA.run(office, await SAGA.start(office, Shipment(id="1", held=True)))
        assert held is not None
        await add_note(office)
        office.store.calls.clear()
        done = await SAGA.run(office, held, release)
        assert done == await stored(office)
        assert (done.announced, done.note) == (True, "!")
        assert (office.reads(), office.writes()) == (1, 5), "it is only read because of the conflict"

    in_office(opened, work)


def test_the_tasks_of_a_saga_do_the_steps_of_one_document_and_of_all(opened: Open) -> None:
    post, sweep_shipments = saga_tasks(SAGA, "sweep_shipments", every=timedelta(minutes=1))
    service = SAGA.task.name.partition(".")[0]
    assert (post.name, sweep_shipments.name) == (SAGA.task.name, f"{service}.sweep_shipments")
    assert (post.every, sweep_shipments.every) == (None, timedelta(minutes=1))

    async def work(office: PostOffice) -> None:
        for name in ("1", "2", "3"):
            await SAGA.start(office, Shipment(id=name))
        await post(office, "1")
        assert [(await stored(office, name)).announced for name in ("1", "2", "3")] == [True, False, False]
        await sweep_shipments(office)
        assert [(await stored(office, name)).announced for name in ("1", "2", "3")] == [True, True, True]

    in_office(opened, work)


def test_a_document_with_nothing_to_do_costs_no_operation(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        shipment = await SAGA.start(office, Shipment(id="1"))
        done = await SAGA.run(office, shipment)
        assert done is not None
        office.store.calls.clear()
        assert await SAGA.run(office, done) is done
        assert office.store.total() == 0

    in_office(opened, work)


def test_a_saga_that_was_started_before_is_not_started_again(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        await SAGA.start(office, Shipment(id="1", note="the first"))
        assert (await SAGA.start(office, Shipment(id="1", note="the second"))).note == "the first"

    in_office(opened, work)


def test_an_unknown_document_has_no_saga(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        assert await SAGA.resume(office, "unknown") is None
        assert await SAGA.update(office, "unknown", lambda shipment, _now: shipment) is None

    in_office(opened, work)


def test_a_step_may_delete_the_document(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        shipment = await SAGA.start(office, Shipment(id="1", cancelled=True))
        assert await SAGA.run(office, shipment) is None
        assert await office.store.get(Shipment, "1") is None

    in_office(opened, work)


def test_an_endless_saga_stops_after_a_bounded_number_of_steps_and_stays_due(opened: Open) -> None:
    async def add_gram(office: PostOffice, shipment: Shipment, _now: datetime) -> Shipment:
        await office.during("weigh", shipment)
        return replace(shipment, weight_g=(shipment.weight_g or 0) + 1)

    endless = replace(SAGA, next_step=lambda *_: "weigh", steps={"weigh": add_gram})

    async def work(office: PostOffice) -> None:
        shipment = await SAGA.start(office, Shipment(id="1"))
        stopped = await endless.run(office, shipment)
        assert stopped == await stored(office)
        assert stopped.weight_g == len(office.steps) == MAX_STEPS
        assert stopped.due_ms is not None

    in_office(opened, work)


@pytest.mark.parametrize("error", [ZeroDivisionError, StoreUnavailable])
def test_an_exception_of_a_step_reaches_the_caller(opened: Open, error: type[Exception]) -> None:
    async def fail() -> None:
        raise error("in a step")

    async def work(office: PostOffice) -> None:
        shipment = await SAGA.start(office, Shipment(id="1"))
        office.meanwhile["announce"] = fail
        with pytest.raises(error):
            await SAGA.run(office, shipment)
        found = await stored(office)
        assert found.booking is not None
        assert found.booking.number == 1, "the steps before it are stored"
        assert (found.failures, found.due_ms) == (0, shipment.due_ms), "the next sweep resumes it"

    in_office(opened, work)


# ── conflicts ──


def test_a_step_is_repeated_with_the_changed_document_after_a_conflict(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        office.meanwhile["weigh"] = lambda: add_note(office)
        done = await SAGA.run(office, await SAGA.start(office, Shipment(id="1")))
        assert done is not None
        assert (done.note, done.announced) == ("!", True)
        assert step_names(office) == ["weigh", "weigh", "book", "announce"]
        assert office.reads() == 1

    in_office(opened, work)


def test_a_saga_ends_if_another_process_deletes_its_document(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        async def delete() -> None:
            await office.uncounted.delete(await stored(office))

        office.meanwhile["book"] = delete
        assert await SAGA.run(office, await SAGA.start(office, Shipment(id="1"))) is None

    in_office(opened, work)


def test_after_many_conflicts_the_caller_gets_the_conflict(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        async def always_change() -> None:
            await add_note(office)
            office.meanwhile["weigh"] = always_change

        office.meanwhile["weigh"] = always_change
        with pytest.raises(Conflict):
            await SAGA.run(office, await SAGA.start(office, Shipment(id="1")))
        assert len(office.steps) == MAX_CONFLICTS + 1

    in_office(opened, work)


def test_many_processes_may_run_a_saga_at_once(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        await SAGA.start(office, Shipment(id="1"))
        await asyncio.gather(*(SAGA.resume(office, "1") for _ in range(12)))
        assert (await stored(office)).announced
        assert office.carrier.numbers == {"book:1": 1}

    in_office(opened, work)


def test_the_wait_after_a_conflict_is_random_and_grows(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    bounds: list[float] = []

    def no_wait(shortest: float, longest: float) -> float:
        assert shortest == 0
        bounds.append(longest)
        return 0

    monkeypatch.setattr("backend.jobs.saga.random.uniform", no_wait)

    async def work(office: PostOffice) -> None:
        async def change_twice() -> None:
            await add_note(office)
            office.meanwhile["weigh"] = lambda: add_note(office)

        office.meanwhile["weigh"] = change_twice
        await SAGA.run(office, await SAGA.start(office, Shipment(id="1")))
        assert bounds == pytest.approx([0.002, 0.004])

    in_office(opened, work)


def test_an_error_that_is_declared_as_retried_is_handled_like_a_conflict(opened: Open) -> None:
    class Superseded(Exception):
        pass

    async def superseded() -> None:
        raise Superseded

    retrying = replace(SAGA, retried=(Superseded,))

    async def work(office: PostOffice) -> None:
        office.meanwhile["weigh"] = superseded
        done = await retrying.run(office, await SAGA.start(office, Shipment(id="1")))
        assert done is not None
        assert done.announced

    in_office(opened, work)


def test_a_change_from_outside_the_saga_is_stored_and_scheduled(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        done = await SAGA.run(office, await SAGA.start(office, Shipment(id="1")))
        assert done is not None
        assert done.due_ms is None
        cancelled = await SAGA.update(office, "1", lambda shipment, _now: replace(shipment, cancelled=True))
        assert cancelled == await stored(office)
        assert cancelled.due_ms == int(NOON.timestamp() * 1_000)
        office.store.calls.clear()
        await SAGA.update(office, "1", lambda shipment, _now: shipment)
        assert office.writes() == 0

    in_office(opened, work)
