"""Who is enrolled in pay later, and whether and up to which amount a person may pay later now."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from backend.city.id_number import IdentityDocument, parse_id_number
from backend.city.person import birth_date, birthday, find_person, known_person
from backend.city.service import City
from backend.city.upstream import UpstreamTimeout
from backend.paylater.effects import PayLater
from backend.paylater.family import owing
from backend.rulebook import Verdict
from backend.services.medical_credit.facts import Breach, CreditFacts, Overdue, StandingFacts, TermAsked, VisitKind
from backend.services.medical_credit.model.enrolment import Enrolment, Terms
from backend.services.medical_credit.model.visit import Visit, purpose_of
from backend.services.medical_credit.ports import CreditRegistry
from backend.services.medical_credit.rule_modules import LIMIT, STANDING, TERMS, Standing
from backend.store.update import create_or_update

ADULT_YEARS, SENIOR_YEARS = 18, 65
MAX_OWING = 100


class Assessment(Struct, frozen=True):
    """Whether a person may pay later now: the verdict of the rules and the available credit."""

    standing: Standing
    verdict: Verdict
    available_fen: int

    @property
    def allows_visit(self) -> bool:
        """Return whether the person may pay later for the visit, even over the limit."""
        return self.standing in ("good", "exception")


def terms_of(city: City, at: datetime) -> Terms:
    """Return a function that returns the figures of the agreement in force at an instant."""
    return lambda name: city.rulebook.evaluate(TERMS, TermAsked(name), at).result


def limit_verdict(city: City, enrolment: Enrolment, purpose: str, now: datetime) -> Verdict:
    """Return the verdict on a person's limit."""
    return city.rulebook.evaluate(LIMIT[purpose], enrolment.facts, now)


pay_later = PayLater(
    account=Enrolment,
    limit_fen=lambda city, enrolment, purpose, now: limit_verdict(city, enrolment, purpose, now).result,
    terms=terms_of,
)
"""The steps of a bill, with the limits and terms of medical credit."""


async def find_person_id(city: City, document: IdentityDocument) -> str | None:
    """Return the id of the Person with this identity document, as somebody typed it, or None.

    Raises InvalidIdNumber.
    """
    id_number = parse_id_number(document.number, city.today(), kind=document.kind)
    person = await find_person(city.store, city.encryption, id_number)
    return None if person is None else person.id


async def fetch_credit_facts(city: City, person: str) -> CreditFacts:
    """Fetch a person's credit facts from the city's registries. Raises UpstreamTimeout or BirthDateMissing."""
    profile, zone = await known_person(city.store, person), city.rulebook.time_zone
    number, born_on = city.encryption.read(profile, "id_number"), birth_date(profile)
    return await city.port(CreditRegistry).facts(
        number, birthday(born_on, ADULT_YEARS, zone), birthday(born_on, SENIOR_YEARS, zone)
    )


async def refresh_enrolment(city: City, enrolment: Enrolment, now: datetime) -> Enrolment:
    """Return the enrolment with current facts; if the registries do not answer, the stored facts are used."""
    if now - enrolment.facts_at < timedelta(days=terms_of(city, now)("facts_days")):
        return enrolment
    try:
        facts = await fetch_credit_facts(city, enrolment.id)
    except UpstreamTimeout:
        return enrolment
    return await create_or_update(city.store, enrolment, lambda found: replace(found, facts=facts, facts_at=now))


async def assess(city: City, enrolment: Enrolment, kind: VisitKind | None, now: datetime) -> Assessment:
    """Return whether a person may pay later now, for a kind of visit or in general."""
    facts = await standing_facts(city, enrolment, kind, now)
    verdict = city.rulebook.evaluate(STANDING, facts, now)
    city.decision_counts[verdict.module, verdict.rule, verdict.result] += 1
    return Assessment(verdict.result, verdict, facts.free_fen)


async def standing_facts(city: City, enrolment: Enrolment, kind: VisitKind | None, now: datetime) -> StandingFacts:
    """Return the facts that decide whether a person may pay later now, for a kind of visit or in general."""
    purpose = purpose_of(kind or "outpatient")
    unpaid = await owing(city, Visit, enrolment.id) if enrolment.has_debt() else []
    return standing_of(
        enrolment, kind or "none", pay_later.credit_line(city, enrolment, purpose, now).available_fen(now), unpaid
    )


def standing_of(
    enrolment: Enrolment, kind: VisitKind | Literal["none"], free_fen: int, unpaid: Sequence[Visit]
) -> StandingFacts:
    """Return the facts of a person with this available credit and these unpaid visits."""
    return StandingFacts(
        adult_at=enrolment.facts.adult_at,
        visit=kind,
        free_fen=free_fen,
        city_score=enrolment.facts.city_score,
        arrears_fen=enrolment.facts.arrears_fen,
        owing=tuple(Overdue(part.due_at, part.amount_fen) for visit in unpaid for part in visit.unpaid())[:MAX_OWING],
        breaches=tuple(Breach(one.at) for one in enrolment.consecutive_breaches()),
    )


async def present_limit_facts(city: City, person: str) -> CreditFacts | None:
    """Return the stored facts that decide a person's limits, or None if they are not enrolled."""
    enrolment = await city.store.get(Enrolment, person)
    return enrolment and enrolment.facts


async def present_standing_facts(city: City, person: str) -> StandingFacts | None:
    """Return the facts that decide a person's standing now, or None if they are not enrolled."""
    enrolment = await city.store.get(Enrolment, person)
    return None if enrolment is None else await standing_facts(city, enrolment, None, city.now())
