"""Who is enrolled in pay later, and whether and up to which amount a person may pay later now."""

from datetime import datetime, timedelta
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from backend.city.id_number import IdentityDocument, parse_id_number
from backend.city.person import birth_date, birthday, find_person, known_person
from backend.city.service import City
from backend.city.upstream import UpstreamTimeout
from backend.paylater.effects import PayLater
from backend.paylater.family import owing
from backend.rulebook import Verdict
from backend.services.medical_credit.facts import CreditFacts, Term, TermAsked, VisitKind
from backend.services.medical_credit.model.enrolment import (
    ADULT_YEARS,
    LIMIT,
    SENIOR_YEARS,
    STANDING,
    TERMS,
    Enrolment,
    Standing,
    Terms,
    overdue_parts,
    standing_facts,
)
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.problems import UnknownPatient
from backend.services.medical_credit.model.visit import Visit, purpose_of
from backend.services.medical_credit.ports import CreditRegistry
from backend.store.update import update_document


class Assessment(Struct, frozen=True):
    """Whether a person may pay later now: the verdict of the rules and the available credit."""

    standing: Standing
    verdict: Verdict
    available_fen: int


class Eligibility(Struct, frozen=True):
    """Whether a person may pay later for a visit now, and up to which amount; it discloses neither reason nor score."""

    eligible: bool
    available_fen: int


def terms_of(city: City, at: datetime) -> Terms:
    """Return a function that returns the figures of the agreement in force at an instant."""

    def term(name: Term) -> int:
        return cast("int", city.rulebook.evaluate(TERMS, TermAsked(name), at).result)

    return term


def limit_verdict(city: City, enrolment: Enrolment, purpose: str, now: datetime) -> Verdict:
    """Return the verdict on a person's limit."""
    return city.rulebook.evaluate(LIMIT[purpose], enrolment.facts, now)


def _limit_fen(city: City, enrolment: Enrolment, purpose: str, now: datetime) -> int:
    return limit_verdict(city, enrolment, purpose, now).result


pay_later = PayLater(account=Enrolment, limit_fen=_limit_fen, terms=terms_of)
"""The steps of a bill, with the limits and terms of medical credit."""


async def find_person_id(city: City, document: IdentityDocument) -> str | None:
    """Return the id of the Person with this identity document, as somebody typed it, or None.

    Raises InvalidIdNumber.
    """
    id_number = parse_id_number(document.number, city.today(), kind=document.kind)
    person = await find_person(city.store, city.encryption, id_number)
    return None if person is None else person.id


async def find_enrolment(city: City, document: IdentityDocument) -> Enrolment:
    """Return the enrolment of the person with this identity document.

    Raises UnknownPatient if the person or the enrolment is missing.
    """
    person = await find_person_id(city, document)
    enrolment = await city.store.get(Enrolment, person) if person is not None else None
    if enrolment is None or enrolment.closed_at is not None:
        raise UnknownPatient(
            zh="该患者未开通先看病后付费。", en="No person with this ID number is enrolled in pay later."
        )
    return enrolment


async def fetch_credit_facts(city: City, person: str) -> CreditFacts:
    """Fetch a person's credit facts from the city's registries. Raises UpstreamTimeout or BirthDateMissing."""
    profile, zone = await known_person(city.store, person), city.rulebook.time_zone
    number, born_on = city.encryption.decrypt(profile.id_number), birth_date(profile)
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
    refreshed = await update_document(
        city.store,
        lambda: city.store.get(Enrolment, enrolment.id),
        lambda found: replace(found, facts=facts, facts_at=now),
    )
    assert refreshed is not None, "enrolments are closed and never deleted"
    return refreshed


async def assess(city: City, enrolment: Enrolment, kind: VisitKind | None, now: datetime) -> Assessment:
    """Return whether a person may pay later now, for a kind of visit or in general."""
    purpose = purpose_of(kind or "outpatient")
    available_fen = pay_later.credit_line(city, enrolment, purpose, now).available_fen(now)
    unpaid = await owing(city, Visit, enrolment.id) if enrolment.has_debt() else []
    facts = standing_facts(enrolment, kind, available_fen, overdue_parts(unpaid))
    verdict = city.rulebook.evaluate(STANDING, facts, now)
    city.decision_counts[verdict.module, verdict.rule, verdict.result] += 1
    return Assessment(verdict.result, verdict, available_fen)


async def check_eligibility(city: City, hospital: Hospital, document: IdentityDocument, kind: VisitKind) -> Eligibility:
    """Answer a hospital's eligibility request: whether a person may pay later now, and up to which amount.

    A person who is unknown, not enrolled or not eligible gets the same answer. Raises InvalidIdNumber.
    """
    assert hospital.enabled, "requests of disabled hospitals are refused earlier"
    now = city.now()
    try:
        enrolment = await refresh_enrolment(city, await find_enrolment(city, document), now)
    except UnknownPatient:
        return Eligibility(eligible=False, available_fen=0)
    assessment = await assess(city, enrolment, kind, now)
    eligible = assessment.standing in ("good", "exception")
    return Eligibility(eligible, assessment.available_fen if eligible else 0)
