"""A person's enrolment in pay later, family payers, and the facts of a decision on standing."""

from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice
from typing import ClassVar, Literal

from backend.i18n import Text
from backend.paylater.account import Account
from backend.paylater.family import FamilyConsent
from backend.services.medical_credit.facts import Breach, CreditFacts, Overdue, StandingFacts, Term, VisitKind
from backend.services.medical_credit.model.visit import Visit

LIMIT = {"outpatient": "medical_credit.limit", "inpatient": "medical_credit.inpatient_limit"}
STANDING = "medical_credit.standing"
TERMS = "medical_credit.terms"

AGREEMENT = "2026-01"
"""The version of the agreement that people consent to."""

ADULT_YEARS, SENIOR_YEARS = 18, 65

Terms = Callable[[Term], int]
"""Returns a figure of the agreement in force."""

Standing = Literal["good", "exception", "exhausted", "suspended", "ineligible"]


class Enrolment(Account, kw_only=True):
    """A person's account for paying hospitals later; `facts` were read from the registries at `facts_at`."""

    collection: ClassVar[str] = "medical_credit_enrolments"
    not_enrolled: ClassVar[Text] = Text(
        zh="您尚未开通先看病后付费，请先开通。", en="You are not enrolled in pay later; please enrol first."
    )
    outstanding: ClassVar[Text] = Text(
        zh="您有未结清的账单或未结束的就诊，结清后可以关闭。",
        en="You have an unpaid bill or a visit in progress; settle it first.",
    )

    facts: CreditFacts
    facts_at: datetime


class FamilyPayer(FamilyConsent, kw_only=True):
    """A family payer's consent to pay the bills of a patient."""

    collection: ClassVar[str] = "family_consents"


def standing_facts(
    enrolment: Enrolment, kind: VisitKind | None, available_fen: int, unpaid: Iterable[Visit]
) -> StandingFacts:
    """Return the facts that decide whether a person may pay later, with at most a hundred parts of unpaid bills."""
    owing = (Overdue(part.due_at, part.amount_fen) for visit in unpaid for part in visit.unpaid())
    return StandingFacts(
        adult_at=enrolment.facts.adult_at,
        visit=kind or "none",
        free_fen=available_fen,
        city_score=enrolment.facts.city_score,
        arrears_fen=enrolment.facts.arrears_fen,
        owing=tuple(islice(owing, 100)),
        breaches=tuple(Breach(one.at) for one in enrolment.consecutive_breaches()),
    )
