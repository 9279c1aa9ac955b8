"""Calls of upstreams in sagas: a request is stored before it is sent, and looked up if it is not answered."""

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from backend.jobs.saga import MAX_BACKOFF, backoff
from tests.jobs.shipments import (
    BOOK,
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
            await office.uncounted.replace(replace(found, booking=replace(found.booking, number=7)))

        office.meanwhile["book"] = complete
        done = await SAGA.run(office, await SAGA.start(office, Shipment(id="1")))
        assert done is not None
        assert done.booking is not None
        assert (done.booking.number, done.announced) == (7, True)
        assert office.carrier.calls.count("book") == 1

    in_office(opened, work)


def test_a_request_without_an_answer_is_looked_up_later_and_is_not_a_failure(opened: Open) -> None:
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
        office.store.calls.clear()
        done = await SAGA.run(office, held, BOOK)
        assert done is not None
        assert done.announced
        assert (office.reads(), office.writes()) == (0, 3)

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


def test_two_people_who_make_the_same_request_at_once_send_it_once(opened: Open) -> None:
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


def test_a_saga_is_postponed_with_doubling_waits_of_up_to_an_hour_while_its_upstream_does_not_answer(
    opened: Open,
) -> None:
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


def test_a_failure_does_not_postpone_a_document_that_another_process_has_advanced(opened: Open) -> None:
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
