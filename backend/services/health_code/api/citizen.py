"""Let citizens show their health code, see the reasons for its colour, declare their health and check in."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, TypeVar, cast
from zoneinfo import ZoneInfo

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from backend.city.service import City
from backend.codes.image import draw_png, draw_svg
from backend.codes.image_worker import ImageWorkerBusy, image_worker
from backend.codes.signed_code import issue_code
from backend.i18n import Text
from backend.rulebook import Verdict
from backend.rulebook.language.temporal import midnight
from backend.security.identity import CitizenRequest, citizen, citizen_id
from backend.services.health_code.api.schemas import (
    ColourHistory,
    Decoration,
    HealthCode,
    HealthDeclarationRequest,
    PastColour,
    PcrTest,
)
from backend.services.health_code.code import STYLES, make_claims
from backend.services.health_code.facts import HealthFacts
from backend.services.health_code.model import (
    EventInFuture,
    HealthRecord,
    NotInIsolation,
    apply_reports,
    check_plausible,
    colour_since,
    latest_pcr,
    next_colour,
    same_decision,
    update_history,
)
from backend.services.health_code.records import get_or_create_record, update_record
from backend.services.health_code.reports import (
    CheckedIn,
    ContactReported,
    EntryReported,
    HealthDeclared,
    Report,
    StayReported,
)
from backend.services.health_code.rule_modules import COLOUR, FRAME, Colour
from backend.store.time import in_utc, to_the_millisecond
from backend.web.uncached import NO_STORE, UNCACHED_HEADERS, Uncached

T = TypeVar("T")


@get("/v1/me/health-code", guards=[citizen], response_headers=NO_STORE, priority="essential")
async def show_health_code(request: CitizenRequest) -> Uncached[HealthCode]:
    """Show the caller's code: the colour as of now, the reason, what to do, when it changes, and a new QR payload."""
    city: City = request.app.state.city  # dependency injection would make this route, the busiest, 10 % slower
    now = city.now()
    record, verdict = await _current(city, citizen_id(request), now)
    return Uncached(_health_code(city, record, verdict, now))


@get("/v1/me/health-code/history", guards=[citizen], response_headers=NO_STORE, priority="decoration")
async def show_history(request: CitizenRequest, city: NamedDependency[City]) -> Uncached[ColourHistory]:
    """Show the past colours of the caller's code, each with the time at which it began."""
    record, _ = await _current(city, citizen_id(request), city.now())
    colours = [
        PastColour(
            at=change.at,
            colour=cast("Colour", change.colour),
            label=STYLES[change.colour].label,
            rule=change.rule,
            because=change.because,
            rulebook=change.rulebook,
        )
        for change in reversed(record.history)
    ]
    return Uncached(ColourHistory(colours))


@get(
    "/v1/me/health-code/image.svg",
    guards=[citizen],
    response_headers=NO_STORE,
    media_type="image/svg+xml",
    priority="decoration",
    problems=(ImageWorkerBusy,),
)
async def show_svg(request: CitizenRequest, city: NamedDependency[City]) -> Response[str]:
    """Draw a new code as SVG, for an app that cannot draw QR codes."""
    return Response(await _draw(request, city, draw_svg), media_type="image/svg+xml", headers=UNCACHED_HEADERS)


@get(
    "/v1/me/health-code/image.png",
    guards=[citizen],
    response_headers=NO_STORE,
    media_type="image/png",
    priority="decoration",
    problems=(ImageWorkerBusy,),
)
async def show_png(request: CitizenRequest, city: NamedDependency[City]) -> Response[bytes]:
    """Draw a new code as PNG, for an app that cannot draw QR codes."""
    return Response(await _draw(request, city, draw_png), media_type="image/png", headers=UNCACHED_HEADERS)


@post("/v1/me/health-declarations", guards=[citizen], response_headers=NO_STORE, problems=(EventInFuture,))
async def declare_health(
    data: JSONBody[HealthDeclarationRequest], request: CitizenRequest, city: NamedDependency[City]
) -> Uncached[HealthCode]:
    """Declare the caller's health and where they have been; return the resulting code.

    A declaration adds to the record. It does not withdraw anything that was declared or reported before.
    """
    now = city.now()
    declared = _declared(data, to_the_millisecond(now))
    check_plausible(declared, now)
    reports = [Report(in_utc(event)) for _, event in declared]
    record = await update_record(
        city, citizen_id(request), now, lambda record: apply_reports(record, reports, city.rulebook, now)
    )
    return Uncached(_health_code(city, record, city.rulebook.evaluate(COLOUR, record.facts, now), now), 201)


@post("/v1/me/isolation-check-ins", guards=[citizen], response_headers=NO_STORE, problems=(NotInIsolation,))
async def check_in(request: CitizenRequest, city: NamedDependency[City]) -> Uncached[HealthCode]:
    """Check in from isolation for today; return the resulting code.

    Checking in again on the same day has no effect.
    """
    now = city.now()
    day = midnight(city.today(), ZoneInfo(city.settings.time_zone))
    report = Report(CheckedIn(to_the_millisecond(now), day))

    def add(record: HealthRecord) -> HealthRecord:
        running = [isolation for isolation in record.facts.isolations if isolation.released_at is None]
        if not running:
            raise NotInIsolation(
                Text(zh="您目前没有隔离观察安排，无需健康打卡。", en="You are not in isolation; no check-in is due.")
            )
        if all(day in isolation.check_ins for isolation in running):
            return record
        return apply_reports(record, [report], city.rulebook, now)

    record = await update_record(city, citizen_id(request), now, add)
    return Uncached(_health_code(city, record, city.rulebook.evaluate(COLOUR, record.facts, now), now), 201)


async def _current(city: City, person: str, now: datetime) -> tuple[HealthRecord, Verdict]:
    """Return a person's record with its history up to now, and the current verdict."""
    record = await city.store.get(HealthRecord, person)
    if record is None:
        record = await get_or_create_record(city, person, now)
    verdict = city.rulebook.evaluate(COLOUR, record.facts, now)
    if not same_decision(record.history[-1], verdict):
        record = await update_record(city, person, now, lambda record: update_history(record, city.rulebook, now))
        verdict = city.rulebook.evaluate(COLOUR, record.facts, now)
    return record, verdict


def _health_code(city: City, record: HealthRecord, verdict: Verdict, now: datetime) -> HealthCode:
    city.decision_counts[verdict.module, verdict.rule, verdict.result] += 1
    style = STYLES[verdict.result]
    upcoming = next_colour(record.facts, verdict, city.rulebook)
    claims = make_claims(record.code_id, verdict.result, now, city.settings.code_seconds)
    return HealthCode(
        colour=cast("Colour", verdict.result),
        label=style.label,
        shape=style.shape,
        rule=verdict.rule,
        because=verdict.because,
        remedy=verdict.remedy,
        since=colour_since(record.history),
        changes_at=upcoming and upcoming[0],
        changes_to=cast("Colour | None", upcoming and upcoming[1]),
        decoration=_decoration(city, record.facts, now),
        payload=issue_code(city.keys, claims),
        issued_at=claims.issued_at,
        expires_at=claims.expires_at,
        rulebook=verdict.rulebook,
    )


def _decoration(city: City, facts: HealthFacts, now: datetime) -> Decoration:
    frame = city.rulebook.evaluate(FRAME, facts, now).result
    test = latest_pcr(facts)
    latest = test and PcrTest(
        test.result, test.sampled_at, test.reported_at, int((now - test.sampled_at).total_seconds() // 3600)
    )
    return Decoration(cast("Literal['none', 'gold']", frame), latest)


def _declared(data: HealthDeclarationRequest, now: datetime) -> list[tuple[str, Any]]:
    """Return the events of a declaration, each with its JSON pointer in the body."""
    declared: list[tuple[str, Any]] = [("", HealthDeclared(now, tuple(dict.fromkeys(data.symptoms))))]
    for number, contact in enumerate(data.contacts):
        declared.append((f"/contacts/{number}", ContactReported(contact.level, contact.at)))
    for number, stay in enumerate(data.stays):
        declared.append((f"/stays/{number}", StayReported(stay.risk, stay.entered_at, stay.left_at)))
    for number, entry in enumerate(data.entries):
        declared.append((f"/entries/{number}", EntryReported(entry.country, entry.entered_at)))
    return declared


async def _draw(request: CitizenRequest, city: City, draw: Callable[..., T]) -> T:
    """Draw a new code of the caller. Only a green code may have a gold frame."""
    now = city.now()
    record, verdict = await _current(city, citizen_id(request), now)
    payload = issue_code(city.keys, make_claims(record.code_id, verdict.result, now, city.settings.code_seconds))
    gold = verdict.result == "green" and city.rulebook.evaluate(FRAME, record.facts, now).result == "gold"
    return await image_worker.draw(lambda: draw(payload, STYLES[verdict.result], gold=gold))
