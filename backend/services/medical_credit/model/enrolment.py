"""A person's agreement to pay later, family consents, and the facts of a decision on standing."""

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
"""The version of the agreement that people consent to."""

ADULT_YEARS, SENIOR_YEARS = 18, 65
MAX_BREACHES = 50

Purpose = Literal["outpatient", "inpatient"]
Relation = Literal["spouse", "child", "parent"]
Standing = Literal["good", "exception", "exhausted", "suspended", "ineligible"]


class RecordedBreach(Struct, frozen=True, gc=False):
    """A breach: at `at`, the bill of a visit was still unpaid after the agreed number of debits."""

    visit: str
    at: datetime


class Enrolment(Document, kw_only=True):
    """A person's enrolment in pay later; its `id` is that of their Profile.

    `agreement` is the version they consented to at `consented_at`. `facts` were read from the registries at `facts_at`.
    `paid_on_time_at` is when a bill was last paid on time after a breach.
    """

    collection: ClassVar[str] = "medical_credit_enrolments"

    agreement: str
    consented_at: datetime
    automatic_debit: bool
    facts: CreditFacts
    facts_at: datetime
    closed_at: datetime | None = None
    breaches: tuple[RecordedBreach, ...] = ()
    paid_on_time_at: datetime | None = None


class FamilyConsent(Document, kw_only=True):
    """A family payer's consent to pay for a patient: the patient requests it, the payer agrees, either can end it.

    The `id` is derived from both persons. `live` is False once the consent has ended.
    """

    collection: ClassVar[str] = "family_consents"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("patient", "live")), Index(("payer", "live")))

    patient: str
    payer: str
    relation: Relation
    requested_at: datetime
    agreed_at: datetime | None = None
    live: bool = True


def family_consent_id(patient: str, payer: str) -> str:
    """Return the id of the consent between a patient and a payer."""
    return hashlib.sha256(f"family\n{patient}\n{payer}".encode()).hexdigest()[:32]


def purpose_of(kind: VisitKind) -> Purpose:
    """Return the limit that a visit uses: inpatient stays have their own [S]."""
    return "inpatient" if kind == "inpatient" else "outpatient"


def account_id(person: str, purpose: Purpose) -> str:
    """Return the id of a person's credit account."""
    return f"{person}:{purpose}"


def birthday(born_on: date, years: int, zone: ZoneInfo) -> datetime:
    """Return midnight of a birthday; for a person born on 29 February it is 1 March in other years."""
    try:
        day = born_on.replace(year=born_on.year + years)
    except ValueError:
        day = date(born_on.year + years, 3, 1)
    return datetime.combine(day, time.min, zone)


def overdue_parts(visits: Iterable[Visit]) -> tuple[Overdue, ...]:
    """Return the unpaid parts of the bills of these visits, at most a hundred, with their due dates."""
    return tuple(Overdue(part.due_at, part.amount_fen) for visit in visits for part in visit.unpaid())[:100]


def standing_facts(
    enrolment: Enrolment, kind: VisitKind | None, available_fen: int, owing: tuple[Overdue, ...]
) -> StandingFacts:
    """Build the facts that decide whether a person may pay later."""
    since = enrolment.paid_on_time_at
    return StandingFacts(
        adult_at=enrolment.facts.adult_at,
        visit=kind or "none",
        free_fen=available_fen,
        city_score=enrolment.facts.city_score,
        arrears_fen=enrolment.facts.arrears_fen,
        owing=owing,
        breaches=tuple(Breach(one.at) for one in enrolment.breaches if since is None or one.at > since),
    )
