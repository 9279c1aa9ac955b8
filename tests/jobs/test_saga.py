"""The engine of sagas: what is written when, what a conflict repeats, and what waits for an upstream."""

import asyncio
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from backend.jobs.saga import MAX_BACKOFF, MAX_CONFLICTS, MAX_STEPS, backoff
from backend.store import Conflict, StoreUnavailable
from tests.jobs.shipments import (
    BOOK,
    NOON,
    SAGA,
    Booking,
    Open,
    PostOffice,
    Shipment,
    Terms,
    in_office,
)

SECOND = timedelta(seconds=1)


async def stored(office: PostOffice, shipment_id: str = "1") -> Shipment:
    found = await office.store.store.get(Shipment, shipment_id)
    assert found is not None
    return found


async def add_note(office: PostOffice) -> None:
    """Change the shipment as another process does."""
    found = await stored(office)
    await office.store.store.replace(replace(found, note=found.note + "!"))


def step_names(office: PostOffice) -> list[str]:
    return [step for step, _ in office.steps]


# ── steps and writes ──


def test_a_document_is_passed_from_step_to_step_and_written_once_per_step(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        shipment = await SAGA.start(office, Shipment(id="1"))
        office.store.counts.clear()
        done = await SAGA.run(office, shipment)
        assert done == await stored(office)
        assert (done.weight_g, done.tariff, done.price_fen, done.announced) == (500, "parcel", 1_000, True)
        assert done.booking == Booking("book:1", int(NOON.timestamp() * 1_000), 1)
        assert done.due_ms is None
        assert office.store.reads(Shipment) == 0
        assert office.store.writes(Shipment) == 3, "the weight with the decisions and the request; the answer; the end"

    in_office(opened, work)


def test_resuming_reads_the_document_once(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        await SAGA.start(office, Shipment(id="1"))
        office.store.counts.clear()
        await SAGA.resume(office, "1")
        assert (office.store.reads(Shipment), office.store.writes(Shipment)) == (1, 3)

    in_office(opened, work)


def test_decisions_share_a_write(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        shipment = await SAGA.start(office, Shipment(id="1", weight_g=500, held=True))
        office.store.counts.clear()
        priced = await SAGA.run(office, shipment)
        assert priced is not None
        assert (priced.tariff, priced.price_fen) == ("parcel", 1_000)
        assert office.store.total() == office.store.writes(Shipment) == 1

    in_office(opened, work)


def test_a_document_with_nothing_to_do_costs_no_operation(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        shipment = await SAGA.start(office, Shipment(id="1"))
        done = await SAGA.run(office, shipment)
        assert done is not None
        office.store.counts.clear()
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


def test_a_saga_that_does_not_end_stops_after_a_bounded_number_of_steps_and_stays_due(opened: Open) -> None:
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
def test_what_a_step_raises_reaches_the_caller(opened: Open, error: type[Exception]) -> None:
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
        assert (found.failures, found.due_ms) == (0, shipment.due_ms), "and the next sweep resumes it"

    in_office(opened, work)


# ── requests ──


def test_a_request_is_stored_before_it_is_sent(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        seen: list[Booking | None] = []

        async def look() -> None:
            seen.append((await stored(office)).booking)

        office.meanwhile["book"] = look
        await SAGA.run(office, await SAGA.start(office, Shipment(id="1")))
        assert seen == [Booking("book:1", int(NOON.timestamp() * 1_000))]

    in_office(opened, work)


def test_an_answer_is_not_lost_when_the_document_changes_while_it_is_awaited(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        office.meanwhile["book"] = lambda: add_note(office)
        done = await SAGA.run(office, await SAGA.start(office, Shipment(id="1")))
        assert done == await stored(office)
        assert done.booking is not None
        assert (done.booking.number, done.note, done.announced) == (1, "!", True)
        assert office.carrier.calls.count("book") == 2, "it was sent again with the changed document"
        assert office.carrier.numbers == {"book:1": 1}, "under the same key"

    in_office(opened, work)


def test_a_request_that_another_process_has_completed_is_not_sent_again(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        async def complete() -> None:
            found = await stored(office)
            assert found.booking is not None
            await office.store.store.replace(replace(found, booking=replace(found.booking, number=7)))

        office.meanwhile["book"] = complete
        done = await SAGA.run(office, await SAGA.start(office, Shipment(id="1")))
        assert done is not None
        assert done.booking is not None
        assert (done.booking.number, done.announced) == (7, True)
        assert office.carrier.calls.count("book") == 1

    in_office(opened, work)


def test_a_request_without_an_answer_is_looked_up_later_and_is_no_failure(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        office.carrier.plan.extend(["works", "answer lost"])
        waiting = await SAGA.run(office, await SAGA.start(office, Shipment(id="1")))
        assert waiting == await stored(office)
        assert waiting.booking is not None
        assert (waiting.booking.number, waiting.failures) == (None, 0)
        assert waiting.due_ms == int(NOON.timestamp() * 1_000) + 60_000
        assert await SAGA.resume(office, "1") == waiting, "it is not asked before that"
        office.at += timedelta(minutes=1)
        done = await SAGA.resume(office, "1")
        assert done is not None
        assert done.announced
        assert office.carrier.calls == ["weigh", "book", "look_up"]

    in_office(opened, work)


def test_a_request_that_never_arrived_is_sent_again_under_its_key(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        office.carrier.plan.extend(["works", "down"])
        await SAGA.run(office, await SAGA.start(office, Shipment(id="1")))
        office.at += timedelta(minutes=1)
        done = await SAGA.resume(office, "1")
        assert done is not None
        assert done.announced
        assert office.carrier.calls == ["weigh", "book", "look_up", "book"]
        assert office.carrier.numbers == {"book:1": 1}

    in_office(opened, work)


def test_a_person_makes_a_request_and_the_steps_that_follow_are_done(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        held = await SAGA.run(office, await SAGA.start(office, Shipment(id="1", held=True)))
        assert held is not None
        assert (held.booking, held.due_ms) == (None, None)
        office.store.counts.clear()
        done = await SAGA.run(office, held, BOOK)
        assert done is not None
        assert done.announced
        assert (office.store.reads(Shipment), office.store.writes(Shipment)) == (0, 3)

    in_office(opened, work)


def test_a_request_that_a_person_made_before_is_not_sent_twice(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        held = await SAGA.run(office, await SAGA.start(office, Shipment(id="1", held=True)))
        assert held is not None
        office.carrier.plan.append("answer lost")
        waiting = await SAGA.run(office, held, BOOK)
        assert waiting is not None
        assert await SAGA.run(office, waiting, BOOK) == waiting
        assert office.carrier.calls == ["weigh", "book"]

    in_office(opened, work)


def test_two_people_who_make_the_same_request_at_once_make_it_once(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        held = await SAGA.run(office, await SAGA.start(office, Shipment(id="1", held=True)))
        assert held is not None
        office.carrier.plan.append("answer lost")
        await SAGA.run(office, held, BOOK)
        later = await SAGA.run(office, held, BOOK)
        assert later == await stored(office), "the second finds the stored request after a conflict"
        assert office.carrier.calls == ["weigh", "book"]

    in_office(opened, work)


def test_a_request_may_be_refused_with_the_exception_of_its_preparation(opened: Open) -> None:
    class TooLate(Exception):
        pass

    def refuse(_shipment: Shipment, _now: datetime, _terms: Terms) -> Shipment:
        raise TooLate

    async def work(office: PostOffice) -> None:
        shipment = await SAGA.start(office, Shipment(id="1", held=True))
        with pytest.raises(TooLate):
            await SAGA.run(office, shipment, replace(BOOK, prepare=refuse))
        assert await stored(office) == shipment

    in_office(opened, work)


# ── upstreams that do not answer ──


def test_an_upstream_that_does_not_answer_postpones_with_doubling_waits_of_up_to_an_hour(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        waits: list[timedelta] = []
        await SAGA.start(office, Shipment(id="1"))
        for failures in range(1, 13):
            office.carrier.plan.append("down")
            postponed = await SAGA.resume(office, "1")
            assert postponed == await stored(office)
            assert postponed.failures == failures
            assert postponed.due_ms is not None
            waits.append(
                timedelta(milliseconds=postponed.due_ms) - (office.at - datetime.fromtimestamp(0, NOON.tzinfo))
            )
            office.at += waits[-1]
        assert waits[:4] == [10 * SECOND, 20 * SECOND, 40 * SECOND, 80 * SECOND]
        assert waits[-4:] == [2_560 * SECOND, MAX_BACKOFF, MAX_BACKOFF, MAX_BACKOFF]
        done = await SAGA.resume(office, "1")
        assert done is not None
        assert (done.announced, done.failures, done.due_ms) == (True, 0, None)

    in_office(opened, work)


def test_a_failure_does_not_postpone_what_another_process_has_done_meanwhile(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        async def overtake() -> None:
            await SAGA.resume(office, "1")
            office.carrier.plan.append("down")

        office.meanwhile["weigh"] = overtake
        done = await SAGA.run(office, await SAGA.start(office, Shipment(id="1")))
        assert done == await stored(office)
        assert (done.announced, done.failures, done.due_ms) == (True, 0, None)

    in_office(opened, work)


def test_a_wait_never_exceeds_an_hour_and_never_shrinks() -> None:
    waits = [backoff(failures) for failures in range(2_000)]
    assert waits == sorted(waits)
    assert waits[-1] == timedelta(hours=1)


# ── conflicts ──


def test_a_step_is_repeated_with_the_changed_document_after_a_conflict(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        office.meanwhile["weigh"] = lambda: add_note(office)
        done = await SAGA.run(office, await SAGA.start(office, Shipment(id="1")))
        assert done is not None
        assert (done.note, done.announced) == ("!", True)
        assert step_names(office) == ["weigh", "weigh", "book", "announce"]
        assert office.store.reads(Shipment) == 1

    in_office(opened, work)


def test_a_document_that_another_process_deletes_meanwhile_is_done(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        async def delete() -> None:
            await office.store.store.delete(await stored(office))

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


def test_a_change_by_somebody_else_is_stored_and_scheduled(opened: Open) -> None:
    async def work(office: PostOffice) -> None:
        done = await SAGA.run(office, await SAGA.start(office, Shipment(id="1")))
        assert done is not None
        assert done.due_ms is None
        cancelled = await SAGA.update(office, "1", lambda shipment, _now: replace(shipment, cancelled=True))
        assert cancelled == await stored(office)
        assert cancelled.due_ms == int(NOON.timestamp() * 1_000)
        office.store.counts.clear()
        await SAGA.update(office, "1", lambda shipment, _now: shipment)
        assert office.store.writes(Shipment) == 0

    in_office(opened, work)
