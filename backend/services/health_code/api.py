"""What citizens do with their health code: show it, see why it has its colour, declare their health, check in."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar, cast
from zoneinfo import ZoneInfo

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from backend.city.service import City
from backend.codes.image import draw_png, draw_svg
from backend.codes.image_worker import ImageWorkerBusy, image_worker
from backend.i18n import Text
from backend.rulebook import Verdict
from backend.rulebook.language.temporal import midnight
from backend.security.identity import CitizenRequest, citizen, citizen_id
from backend.services.health_code.code import SIGNS, Colour, Shape, make_claims
from backend.services.health_code.facts import Contact, Entry, HealthFacts, Stay, SymptomKind
from backend.services.health_code.model import (
    COLOUR,
    FRAME,
    EventInFuture,
    HealthRecord,
    NotInIsolation,
    catch_up,
    coloured_since,
    latest_pcr,
    next_colour,
    refuse_impossible,
    take_reports,
    tells,
)
from backend.services.health_code.records import change_record, open_record
from backend.services.health_code.reports import (
    CheckedIn,
    ContactReported,
    EntryReported,
    HealthDeclared,
    Report,
    StayReported,
)
from backend.store import Conflict
from backend.store.time import in_utc, to_the_millisecond
from backend.web.uncached import NO_STORE, UNCACHED_HEADERS, Uncached

T = TypeVar("T")


class PcrTest(Struct, frozen=True, gc=False):
    """The PCR test that was sampled last, and its age in whole hours since then."""

    result: Literal["positive", "negative", "awaiting"]
    sampled_at: datetime
    reported_at: datetime | None
    hours: int


class Decoration(Struct, frozen=True, gc=False):
    """What is shown beside the colour and decides nothing: a gold frame for vaccination, and the latest PCR test."""

    frame: Literal["none", "gold"]
    latest_pcr: PcrTest | None


class HealthCode(Struct, frozen=True, gc=False):
    """A person's code as of now.

    `because` says why it has its colour, `remedy` what turns it green again. The colour has been so `since`, and
    becomes `changes_to` at `changes_at` if nothing is reported. `payload` is what the QR image holds; it counts until
    `expires_at`.
    """

    colour: Colour
    word: Text
    shape: Shape
    rule: str
    because: Text
    remedy: Text | None
    since: datetime
    changes_at: datetime | None
    changes_to: Colour | None
    decoration: Decoration
    payload: str
    issued_at: datetime
    expires_at: datetime
    rulebook: str


class PastColour(Struct, frozen=True):
    """From `at` on the code had this colour, by this rule."""

    at: datetime
    colour: Colour
    word: Text
    rule: str
    because: Text
    rulebook: str


class History(Struct, frozen=True):
    """The colours of a person's code, newest first, at most 200."""

    colours: list[PastColour]


class NewDeclaration(Struct, forbid_unknown_fields=True):
    """What a person declares of their health: the symptoms they have now, or an empty list; where they have been."""

    symptoms: Annotated[list[SymptomKind], Meta(max_length=7)]
    contacts: Annotated[list[Contact], Meta(max_length=20)] = []
    stays: Annotated[list[Stay], Meta(max_length=20)] = []
    entries: Annotated[list[Entry], Meta(max_length=20)] = []


@get("/v1/me/health-code", guards=[citizen], response_headers=NO_STORE, priority="essential")
async def show_health_code(request: CitizenRequest) -> Uncached[HealthCode]:
    """Show the caller's code: the colour as of now, why, what to do, when it changes, and a fresh QR payload."""
    city: City = request.app.state.city  # asked for as a dependency, it would cost this hottest of routes a tenth more
    now = city.now()
    record, verdict = await _current(city, citizen_id(request), now)
    return Uncached(_health_code(city, record, verdict, now))


@get("/v1/me/health-code/history", guards=[citizen], response_headers=NO_STORE, priority="decoration")
async def show_history(request: CitizenRequest, city: NamedDependency[City]) -> Uncached[History]:
    """Show the colours that the caller's code has had, each from the second at which it began."""
    record, _ = await _current(city, citizen_id(request), city.now())
    colours = [
        PastColour(
            flip.at, cast("Colour", flip.colour), SIGNS[flip.colour].word, flip.rule, flip.because, flip.rulebook
        )
        for flip in reversed(record.history)
    ]
    return Uncached(History(colours))


@get(
    "/v1/me/health-code/image.svg",
    guards=[citizen],
    response_headers=NO_STORE,
    media_type="image/svg+xml",
    priority="decoration",
    problems=(ImageWorkerBusy,),
)
async def show_svg(request: CitizenRequest, city: NamedDependency[City]) -> Response[str]:
    """Draw a fresh code as SVG, for an app that cannot draw QR codes."""
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
    """Draw a fresh code as PNG, for an app that cannot draw QR codes."""
    return Response(await _draw(request, city, draw_png), media_type="image/png", headers=UNCACHED_HEADERS)


@post("/v1/me/health-declarations", guards=[citizen], response_headers=NO_STORE, problems=(EventInFuture,))
async def declare_health(
    data: JSONBody[NewDeclaration], request: CitizenRequest, city: NamedDependency[City]
) -> Uncached[HealthCode]:
    """Declare the caller's health and where they have been; gives the code that follows from it.

    A declaration adds to what is known. It takes nothing back that was declared or reported before.
    """
    now = city.now()
    said = _declared(data, to_the_millisecond(now))
    refuse_impossible(said, now)
    reports = [Report(in_utc(report)) for _, report in said]
    record = await change_record(
        city, citizen_id(request), now, lambda record: take_reports(record, reports, city.rulebook, now)
    )
    return Uncached(_health_code(city, record, city.rulebook.evaluate(COLOUR, record.facts, now), now), 201)


@post("/v1/me/isolation-check-ins", guards=[citizen], response_headers=NO_STORE, problems=(NotInIsolation,))
async def check_in(request: CitizenRequest, city: NamedDependency[City]) -> Uncached[HealthCode]:
    """Check in from isolation for today; gives the code that follows from it.

    Checking in again on the same day changes nothing.
    """
    now = city.now()
    zone = ZoneInfo(city.settings.time_zone)
    day = midnight(city.today(), zone)
    report = Report(CheckedIn(to_the_millisecond(now), day))

    def add(record: HealthRecord) -> HealthRecord:
        running = [isolation for isolation in record.facts.isolations if isolation.released_at is None]
        if not running:
            raise NotInIsolation(
                Text(zh="您目前没有隔离安排，无需打卡。", en="You are not in isolation; no check-in is due.")
            )
        if all(day in isolation.check_ins for isolation in running):
            return record
        return take_reports(record, [report], city.rulebook, now)

    record = await change_record(city, citizen_id(request), now, add)
    return Uncached(_health_code(city, record, city.rulebook.evaluate(COLOUR, record.facts, now), now), 201)


async def _current(city: City, person: str, now: datetime) -> tuple[HealthRecord, Verdict]:
    """Give a person's record with its history up to now, and what the rules say of it."""
    record = await city.store.get(HealthRecord, person)
    if record is None:
        record = await open_record(city, person, now)
    verdict = city.rulebook.evaluate(COLOUR, record.facts, now)
    if not tells(record.history[-1], verdict):
        record = catch_up(record, city.rulebook, now)
        with suppress(Conflict):  # whoever else changed the record brought its history up as well
            record = await city.store.replace(record)
    return record, verdict


def _health_code(city: City, record: HealthRecord, verdict: Verdict, now: datetime) -> HealthCode:
    city.decision_counts[verdict.module, verdict.rule, verdict.result] += 1
    sign = SIGNS[verdict.result]
    turn = next_colour(record.facts, verdict, city.rulebook)
    claims, issued, expires = make_claims(record.code_id, verdict.result, now, city.settings.code_seconds)
    return HealthCode(
        colour=cast("Colour", verdict.result),
        word=sign.word,
        shape=sign.shape,
        rule=verdict.rule,
        because=verdict.because,
        remedy=verdict.remedy,
        since=coloured_since(record.history),
        changes_at=turn and turn[0],
        changes_to=cast("Colour | None", turn and turn[1]),
        decoration=_decoration(city, record.facts, now),
        payload=city.keys.sign_code(claims),
        issued_at=datetime.fromtimestamp(issued, UTC),
        expires_at=datetime.fromtimestamp(expires, UTC),
        rulebook=verdict.rulebook,
    )


def _decoration(city: City, facts: HealthFacts, now: datetime) -> Decoration:
    frame = city.rulebook.evaluate(FRAME, facts, now).result
    test = latest_pcr(facts)
    shown = test and PcrTest(
        test.result, test.sampled_at, test.reported_at, int((now - test.sampled_at).total_seconds() // 3600)
    )
    return Decoration(cast("Literal['none', 'gold']", frame), shown)


def _declared(data: NewDeclaration, now: datetime) -> list[tuple[str, Any]]:
    """Give what a declaration says, each with the JSON pointer at which it stands."""
    said: list[tuple[str, Any]] = [("", HealthDeclared(now, tuple(dict.fromkeys(data.symptoms))))]
    for number, contact in enumerate(data.contacts):
        said.append((f"/contacts/{number}", ContactReported(contact.level, contact.at)))
    for number, stay in enumerate(data.stays):
        said.append((f"/stays/{number}", StayReported(stay.risk, stay.entered_at, stay.left_at)))
    for number, entry in enumerate(data.entries):
        said.append((f"/entries/{number}", EntryReported(entry.country, entry.entered_at)))
    return said


async def _draw(request: CitizenRequest, city: City, draw: Callable[..., T]) -> T:
    """Draw a fresh code of the caller. Only a green one has its gold frame drawn."""
    now = city.now()
    record, verdict = await _current(city, citizen_id(request), now)
    claims, _, _ = make_claims(record.code_id, verdict.result, now, city.settings.code_seconds)
    payload = city.keys.sign_code(claims)
    gold = verdict.result == "green" and city.rulebook.evaluate(FRAME, record.facts, now).result == "gold"
    return await image_worker.draw(lambda: draw(payload, SIGNS[verdict.result], gold=gold))
