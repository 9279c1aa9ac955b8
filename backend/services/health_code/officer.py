"""What health officers do: report events in bulk, each taken once, each either wholly or not at all."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from backend.city.person import parse_id_number
from backend.city.service import City
from backend.i18n import Text
from backend.problems import FieldError, Problem
from backend.security.identity import role_guard
from backend.services.health_code.events import take_event
from backend.services.health_code.model import EventChanged, refuse_impossible
from backend.services.health_code.reports import Event, Withdrawal

PERSONS_AT_ONCE = 32

health_officer = role_guard("health_officer")


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
        outcome = await take_event(city, event.source, event.id, event.event, id_number)
    except Problem as problem:
        refusal = Refusal(problem.type_path(), problem.title, problem.detail, problem.errors)
        conflict = isinstance(problem, EventChanged)
        return EventResult(event.source, event.id, "conflict" if conflict else "refused", refusal)
    return EventResult(event.source, event.id, outcome)
