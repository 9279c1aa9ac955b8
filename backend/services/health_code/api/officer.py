"""Let health officers report events in bulk; each is applied once, completely or not at all."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Raw, Struct

from backend.city.id_number import parse_id_number
from backend.city.service import City
from backend.city.typed_text import compact
from backend.i18n import Text
from backend.problems import FieldError, InvalidRequest, Problem
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
from backend.web.errors import field_error

health_officer = role_guard("health_officer")

MAX_CONCURRENT_PERSONS = 32


_decoder = msgspec.json.Decoder(HealthEvent)


class _Named(Struct):
    """The names of an event, whatever else is wrong with it."""

    source: Any = ""
    id: Any = ""


_names_decoder = msgspec.json.Decoder(_Named)


@post("/v1/health-events", guards=[health_officer], status_code=200, schemas=(HealthEvent,))
async def report_health_events(data: JSONBody[HealthEventBatch], city: NamedDependency[City]) -> EventResults:
    """Report up to 500 events; the codes of the people concerned are up to date on the next read.

    An event is identified by its source and id: sent again it is `repeated`, and with another content a `conflict`.
    Each event is applied completely or not at all, so a request that was interrupted may be sent again unchanged. An
    ill-formed event is `refused`, and the others are applied.
    """
    now = city.now()
    results: dict[int, EventResult] = {}
    by_number: defaultdict[str, list[tuple[int, HealthEvent]]] = defaultdict(list)
    for index, raw in enumerate(data.events):
        event = _read(raw, f"/events/{index}")
        if isinstance(event, HealthEvent):
            by_number[compact(event.id_number)].append((index, event))
        else:
            results[index] = event
    slots = asyncio.Semaphore(MAX_CONCURRENT_PERSONS)

    async def accept_all(events: Sequence[tuple[int, HealthEvent]]) -> None:
        async with slots:
            for index, event in events:
                results[index] = await _result(city, event, f"/events/{index}", now)

    await asyncio.gather(*map(accept_all, by_number.values()))
    return EventResults([results[index] for index in range(len(data.events))])


def _read(raw: Raw, pointer: str) -> HealthEvent | EventResult:
    """Return an event, or why it cannot be read."""
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        found = field_error(str(error))
    problem = InvalidRequest(
        Text(zh="事件的格式有误，请更正后重新报告。", en="The event is ill-formed; correct it and report it again."),
        errors=(FieldError(f"{pointer}{found.pointer}", found.detail),),
    )
    try:
        named = _names_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        named = _Named()
    source, event_id = (name if isinstance(name, str) else "" for name in (named.source, named.id))
    return EventResult(source, event_id, "refused", _rejection(problem))


async def _result(city: City, event: HealthEvent, pointer: str, now: datetime) -> EventResult:
    try:
        check_plausible([(f"{pointer}/event", event.event)], now)
        id_number = parse_id_number(event.id_number, city.today(), f"{pointer}/id_number", event.document_kind)
        outcome = await accept_event(city, event.source, event.id, event.event, id_number)
    except Problem as problem:
        conflict = isinstance(problem, EventIdReused)
        return EventResult(event.source, event.id, "conflict" if conflict else "refused", _rejection(problem))
    return EventResult(event.source, event.id, outcome)


def _rejection(problem: Problem) -> EventRejection:
    return EventRejection(problem.type_path(), problem.title, problem.detail, problem.errors)
