"""Let health officers report events in bulk; each is applied once, completely or not at all."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from backend.city.id_number import parse_id_number
from backend.city.service import City
from backend.city.typed_text import compact
from backend.problems import Problem
from backend.security.identity import role_guard
from backend.services.health_code.api.schemas import (
    EventRejection,
    EventResult,
    EventResults,
    HealthEvent,
    HealthEventBatch,
)
from backend.services.health_code.model import EventIdReused, check_plausible
from backend.services.health_code.saga import accept_event

health_officer = role_guard("health_officer")

MAX_CONCURRENT_PERSONS = 32


@post("/v1/health-events", guards=[health_officer], status_code=200)
async def report_health_events(data: JSONBody[HealthEventBatch], city: NamedDependency[City]) -> EventResults:
    """Report up to 500 events; the codes of the people concerned are up to date on the next read.

    An event is identified by its source and id: sent again it is `repeated`, and with another content a `conflict`.
    Each event is applied completely or not at all, so a request that was interrupted may be sent again unchanged.
    """
    now = city.now()
    results: dict[int, EventResult] = {}
    by_number: defaultdict[str, list[int]] = defaultdict(list)
    for index, event in enumerate(data.events):
        by_number[compact(event.id_number)].append(index)
    slots = asyncio.Semaphore(MAX_CONCURRENT_PERSONS)

    async def accept_all(indexes: Sequence[int]) -> None:
        async with slots:
            for index in indexes:
                results[index] = await _result(city, data.events[index], f"/events/{index}", now)

    await asyncio.gather(*map(accept_all, by_number.values()))
    return EventResults([results[index] for index in range(len(data.events))])


async def _result(city: City, event: HealthEvent, pointer: str, now: datetime) -> EventResult:
    try:
        check_plausible([(f"{pointer}/event", event.event)], now)
        id_number = parse_id_number(event.id_number, city.today(), f"{pointer}/id_number", event.document_kind)
        outcome = await accept_event(city, event.source, event.id, event.event, id_number)
    except Problem as problem:
        rejection = EventRejection(problem.type_path(), problem.title, problem.detail, problem.errors)
        conflict = isinstance(problem, EventIdReused)
        return EventResult(event.source, event.id, "conflict" if conflict else "refused", rejection)
    return EventResult(event.source, event.id, outcome)
