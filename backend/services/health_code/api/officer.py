"""Let health officers report events in bulk; each is applied once, completely or not at all."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Raw, Struct

from backend.city.id_number import IdentityDocument, parse_id_number
from backend.city.service import City
from backend.i18n import Text
from backend.problems import FieldError, InvalidRequest, Problem
from backend.security.identity import CitizenRequest, role_guard
from backend.services.health_code.api.schemas import (
    EventRejection,
    EventResult,
    EventResults,
    HealthEvent,
    HealthEventBatch,
)
from backend.services.health_code.model import EventIdReused, check_plausible
from backend.services.health_code.quotas import count_events
from backend.services.health_code.saga import ReportedEvent, Reporter, accept_event
from backend.services.health_code.sources import (
    ReportingSource,
    SourceNotAssigned,
    check_reportable,
    sources_of,
)
from backend.web.errors import field_error

health_officer = role_guard("health_officer")

MAX_CONCURRENT_PERSONS = 32


_decoder = msgspec.json.Decoder(HealthEvent)


class _Named(Struct):
    """The names of an event, whatever else is wrong with it."""

    source: Any = ""
    id: Any = ""


_names_decoder = msgspec.json.Decoder(_Named)


@post(
    "/v1/health-events",
    guards=[health_officer],
    status_code=200,
    schemas=(HealthEvent,),
)
async def report_health_events(
    data: JSONBody[HealthEventBatch], request: CitizenRequest, city: NamedDependency[City]
) -> EventResults:
    """Report up to 500 events; the codes of the people concerned are up to date on the next read.

    An event is identified by its source and id: sent again it is `repeated`, and with another content a `conflict`.
    Each event is applied completely or not at all, so a request that was interrupted may be sent again unchanged. An
    ill-formed event is `refused`, and the others are applied.

    The account must report for the `source` of each event. An event that needs a second person is `proposed`.
    """
    caller, now = request.user, city.now()
    results: dict[int, EventResult] = {}
    events: list[tuple[int, HealthEvent]] = []
    for index, raw in enumerate(data.events):
        event = _read(raw, f"/events/{index}")
        if isinstance(event, HealthEvent):
            events.append((index, event))
        else:
            results[index] = event
    sources = await sources_of(city, caller, {event.source for _, event in events})
    accepted: list[tuple[int, HealthEvent, IdentityDocument]] = []
    for index, event in events:
        try:
            accepted.append((index, event, _check(city, sources, event, f"/events/{index}", now)))
        except Problem as problem:
            results[index] = _refused(event, problem)
    within_bounds = await count_events(city, sources, [event for _, event, _ in accepted])
    by_number: defaultdict[str, list[tuple[int, HealthEvent, IdentityDocument]]] = defaultdict(list)
    for one in accepted:
        by_number[str(one[2])].append(one)
    slots = asyncio.Semaphore(MAX_CONCURRENT_PERSONS)

    async def accept_all(reported: Sequence[tuple[int, HealthEvent, IdentityDocument]]) -> None:
        async with slots:
            for index, event, document in reported:
                within = within_bounds[event.source, event.id]
                results[index] = await _result(city, Reporter(caller, sources[event.source], within), event, document)

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


def _check(
    city: City, sources: Mapping[str, ReportingSource], event: HealthEvent, pointer: str, now: datetime
) -> IdentityDocument:
    """Return the identity document of an event that its source may report and that is possible. Raises Problem."""
    source = sources.get(event.source)
    if source is None:
        raise SourceNotAssigned(
            zh="您的账号不能以该来源报告，请联系管理员。",
            en="Your account does not report for this source; ask an operator.",
        )
    check_reportable(source, event.event, event.case_id, pointer)
    check_plausible([(f"{pointer}/event", event.event)], now)
    return parse_id_number(event.id_number, city.today(), f"{pointer}/id_number", event.document_kind)


async def _result(city: City, reporter: Reporter, event: HealthEvent, document: IdentityDocument) -> EventResult:
    try:
        outcome = await accept_event(city, reporter, ReportedEvent(event.id, event.event, document, event.case_id))
    except Problem as problem:
        return _refused(event, problem)
    return EventResult(event.source, event.id, outcome)


def _refused(event: HealthEvent, problem: Problem) -> EventResult:
    conflict = isinstance(problem, EventIdReused)
    return EventResult(event.source, event.id, "conflict" if conflict else "refused", _rejection(problem))


def _rejection(problem: Problem) -> EventRejection:
    return EventRejection(problem.type_path(), problem.title, problem.detail, problem.errors)
