"""A person's agreement to pay later, and what is decided about it."""

import hashlib
from collections.abc import Iterable
from datetime import date, datetime, time
from typing import ClassVar, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from backend.services.medical_credit.facts import Breach, CreditFacts, Overdue, StandingFacts, VisitKind
from backend.services.medical_credit.model.visit import Visit
from backend.store import Document, Index

LIMIT = {"outpatient": "medical_credit.limit", "inpatient": "medical_credit.inpatient_limit"}
STANDING = "medical_credit.standing"
TERMS = "medical_credit.terms"

AGREEMENT = "2026-01"
"""The edition of the agreement that people consent to."""

ADULT_YEARS, SENIOR_YEARS = 18, 65
MAX_BREACHES = 50

Purpose = Literal["outpatient", "inpatient"]
Relation = Literal["spouse", "child", "parent"]
Standing = Literal["good", "exception", "exhausted", "suspended", "ineligible"]


class NotedBreach(Struct, frozen=True, gc=False):
    """At `at` the bill of a visit was not paid although it was debited as often as agreed."""

    visit: str
    at: datetime


class Enrolment(Document, kw_only=True):
    """That a person has agreed to pay later; its `id` is that of their Profile.

    `agreement` is the edition they consented to at `consented_at`. `facts` are what the registries said at `facts_at`;
    `kept_at` is when a bill was last paid in time.
    """

    collection: ClassVar[str] = "medical_credit_enrolments"

    agreement: str
    consented_at: datetime
    automatic_debit: bool
    facts: CreditFacts
    facts_at: datetime
    closed_at: datetime | None = None
    breaches: tuple[NotedBreach, ...] = ()
    kept_at: datetime | None = None


class FamilyConsent(Document, kw_only=True):
    """That a family member pays for a patient: the patient asks, and the payer agrees; either may end it.

    Its `id` follows from the two. `live` says that it is asked for or agreed, and not ended.
    """

    collection: ClassVar[str] = "family_consents"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("patient", "live")), Index(("payer", "live")))

    patient: str
    payer: str
    relation: Relation
    asked_at: datetime
    agreed_at: datetime | None = None
    live: bool = True


def family_consent_id(patient: str, payer: str) -> str:
    """Give the id of the consent between a patient and a payer."""
    return hashlib.sha256(f"family\n{patient}\n{payer}".encode()).hexdigest()[:32]


def purpose_of(kind: VisitKind) -> Purpose:
    """Tell which limit a visit counts against: the stays in hospital have their own [S]."""
    return "inpatient" if kind == "inpatient" else "outpatient"


def account_id(person: str, purpose: Purpose) -> str:
    """Give the id of a person's credit account."""
    return f"{person}:{purpose}"


def birthday(born_on: date, years: int, zone: ZoneInfo) -> datetime:
    """Give the midnight at which somebody completes so many years; who was born on 29 February does so on 1 March."""
    try:
        day = born_on.replace(year=born_on.year + years)
    except ValueError:
        day = date(born_on.year + years, 3, 1)
    return datetime.combine(day, time.min, zone)


def overdue_parts(visits: Iterable[Visit]) -> tuple[Overdue, ...]:
    """Give what is owed for these visits, and by when it was to be paid."""
    return tuple(Overdue(part.due_at, part.amount_fen) for visit in visits for part in visit.unpaid())[:100]


def standing_facts(
    enrolment: Enrolment, kind: VisitKind | None, free_fen: int, owing: tuple[Overdue, ...]
) -> StandingFacts:
    """Put together what decides whether a person may pay later."""
    since = enrolment.kept_at
    return StandingFacts(
        adult_at=enrolment.facts.adult_at,
        visit=kind or "none",
        free_fen=free_fen,
        city_score=enrolment.facts.city_score,
        arrears_fen=enrolment.facts.arrears_fen,
        owing=owing,
        breaches=tuple(Breach(one.at) for one in enrolment.breaches if since is None or one.at > since),
    )
