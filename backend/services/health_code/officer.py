"""What health officers do: report events in bulk, each taken once, each either wholly or not at all."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Annotated, Literal

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct
from msgspec.structs import replace

from backend.identity import health_officer
from backend.problems import FieldError, Problem
from backend.profile import IdNumber, parse_id_number, profile_for
from backend.service import City
from backend.services.health_code.model import (
    EventChanged,
    HealthEventReceipt,
    HealthRecord,
    NothingToWithdraw,
    refuse_impossible,
    take_reports,
    withdraw_report,
)
from backend.services.health_code.records import change_record
from backend.services.health_code.reports import Event, Report, Withdrawal, in_utc
from backend.store import Conflict, Duplicate
from backend.text import Text

PERSONS_AT_ONCE = 32


class HealthEvent(Struct, forbid_unknown_fields=True):
    """What `source` reports under its own `id` of the person with this resident ID number."""

    source: Annotated[str, Meta(min_length=1, max_length=64)]
    id: Annotated[str, Meta(min_length=1, max_length=100)]
    id_number: Annotated[str, Meta(min_length=1, max_length=32)]
    event: Event | Withdrawal


class HealthEvents(Struct, forbid_unknown_fields=True):
    """Events in the order in which they became known."""

    events: Annotated[list[HealthEvent], Meta(min_length=1, max_length=500)]


class Refusal(Struct, frozen=True):
    """Why an event was not taken: the members of a Problem."""

    type: str
    title: str
    detail: Text
    errors: tuple[FieldError, ...]


class EventResult(Struct, frozen=True):
    """What became of an event.

    It was `applied`, or `repeated` what was taken before, or is in `conflict` with that, or was `refused`.
    """

    source: str
    id: str
    outcome: Literal["applied", "repeated", "conflict", "refused"]
    problem: Refusal | None = None


class EventResults(Struct, frozen=True):
    """One result for each event, in the same order."""

    results: list[EventResult]


@post("/v1/health-events", guards=[health_officer], status_code=200)
async def report_health_events(data: JSONBody[HealthEvents], city: NamedDependency[City]) -> EventResults:
    """Report up to 500 events; the codes of the people concerned are right on the very next read.

    An event is known by its source and id: sent again it is `repeated`, and with another content a `conflict`. Each
    event is taken wholly or not at all, so a report that was cut off may be sent again as it is.
    """
    now = city.now()
    results: dict[int, EventResult] = {}
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, event in enumerate(data.events):
        places[event.id_number].append(place)
    slots = asyncio.Semaphore(PERSONS_AT_ONCE)

    async def take_all(of_one_person: Sequence[int]) -> None:
        async with slots:
            for place in of_one_person:
                results[place] = await _result(city, data.events[place], f"/events/{place}", now)

    await asyncio.gather(*map(take_all, places.values()))
    return EventResults([results[place] for place in range(len(data.events))])


async def _result(city: City, event: HealthEvent, pointer: str, now: datetime) -> EventResult:
    try:
        refuse_impossible([(f"{pointer}/event", event.event)], now)
        id_number = parse_id_number(event.id_number, city.today(), f"{pointer}/id_number")
        outcome = await _take(city, event, id_number, now)
    except Problem as problem:
        refusal = Refusal(problem.type_path(), problem.title, problem.detail, problem.errors)
        conflict = isinstance(problem, EventChanged)
        return EventResult(event.source, event.id, "conflict" if conflict else "refused", refusal)
    return EventResult(event.source, event.id, outcome)


async def _take(city: City, event: HealthEvent, id_number: IdNumber, now: datetime) -> Literal["applied", "repeated"]:
    """Take an event in three steps, each of which may be repeated: the receipt, the person's record, the mark."""
    profile = await profile_for(city.store, city.sealer, id_number)
    key = _key(city, event.source, event.id)
    said: Event | Withdrawal = in_utc(event.event)
    payload = city.sealer.digest("health-event", f"{profile.id}\n{msgspec.json.encode(said).decode()}")
    receipt = await city.store.get(HealthEventReceipt, key)
    if receipt is None:
        if isinstance(said, Withdrawal):
            await _refuse_empty_withdrawal(city, profile.id, _key(city, event.source, said.of))
        try:
            receipt = await city.store.insert(HealthEventReceipt(id=key, payload=payload, person=profile.id))
        except Duplicate:
            receipt = await city.store.get(HealthEventReceipt, key)
            assert receipt is not None, "receipts are not deleted"
    if receipt.payload != payload:
        raise EventChanged(
            Text(zh="同一编号的事件内容不同。", en="An event with this id was reported before and said something else.")
        )
    if receipt.applied:
        return "repeated"
    if isinstance(said, Withdrawal):
        withdrawn = _key(city, event.source, said.of)
        await _mark_applied(city, withdrawn)
        change = partial(_without, key=withdrawn, city=city, now=now)
    else:
        change = partial(_with, report=Report(said, key), city=city, now=now)
    await change_record(city, profile.id, now, change)
    await _mark_applied(city, key)
    return "applied"


async def _mark_applied(city: City, key: str) -> None:
    """Mark an event as applied, so that it is not applied again after it was withdrawn."""
    receipt = await city.store.get(HealthEventReceipt, key)
    if receipt is not None and not receipt.applied:
        with suppress(Conflict):  # somebody else sent the same event and marked it first
            await city.store.replace(replace(receipt, applied=True))


async def _refuse_empty_withdrawal(city: City, person: str, key: str) -> None:
    record = await city.store.get(HealthRecord, person)
    if record is None or all(report.key != key for report in record.reports):
        raise NothingToWithdraw(
            Text(
                zh="没有可以撤回的事件。", en="The source has reported no such event of this person that still stands."
            )
        )


def _with(record: HealthRecord, report: Report, city: City, now: datetime) -> HealthRecord:
    if any(known.key == report.key for known in record.reports):
        return record
    return take_reports(record, [report], city.rulebook, now)


def _without(record: HealthRecord, key: str, city: City, now: datetime) -> HealthRecord:
    if all(report.key != key for report in record.reports):
        return record
    return withdraw_report(record, key, city.rulebook, now)


def _key(city: City, source: str, event_id: str) -> str:
    """Name an event for ourselves, so that what a source writes into its ids is kept nowhere."""
    return city.sealer.digest("health-event", f"{source}\n{event_id}")
