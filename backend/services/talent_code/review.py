"""Reviews of talents: registries are queried about declared qualifications, and classes are updated."""

import asyncio
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import Notifications, with_timeout
from backend.rulebook import Rulebook
from backend.services.talent_code.eligibility import (
    get_or_create_talent,
    talent_terms,
    update_talent,
    with_current_figures,
)
from backend.services.talent_code.evidence import check_evidence
from backend.services.talent_code.model.evidence import Evidence
from backend.services.talent_code.model.grants import needs_recheck, reassess
from backend.services.talent_code.model.notifications import talent_message
from backend.services.talent_code.model.talent import Talent, TalentTerms, record_finding, record_no_answer


class ReviewStep(StrEnum):
    """The steps of a review."""

    REQUEST_RECHECK = "recheck"
    CHECK_EVIDENCE = "check"
    REASSESS = "reassess"
    STOP_CLAIMS = "stop_claims"
    NOTIFY = "notify"


class ReviewTerms(Struct, frozen=True):
    """What the decisions of a review depend on: the rules, the city's time zone, and the talent code's own terms."""

    rulebook: Rulebook
    zone: ZoneInfo
    term: TalentTerms


def review_terms(city: City, at: datetime) -> ReviewTerms:
    """Return what the decisions of a review depend on at an instant."""
    return ReviewTerms(city.rulebook, city.rulebook.time_zone, talent_terms(city, at))


def next_review_step(talent: Talent, now: datetime, terms: ReviewTerms) -> ReviewStep | None:
    """Return the step that is due for a talent, or None."""
    if needs_recheck(talent, now, terms.term("review_days")):
        return ReviewStep.REQUEST_RECHECK
    if _due_evidence(talent, now):
        return ReviewStep.CHECK_EVIDENCE
    if update_class(talent, now, terms) is not talent:
        return ReviewStep.REASSESS
    if talent.withdrawn_at is not None:
        return ReviewStep.STOP_CLAIMS
    return ReviewStep.NOTIFY if any(not one.sent for one in talent.notifications) else None


def update_class(talent: Talent, now: datetime, terms: ReviewTerms) -> Talent:
    """Update a person's class by the rules in force; return the same object if it does not change."""
    return reassess(talent, terms.rulebook, now, terms.term, terms.zone)


def _due_evidence(talent: Talent, now: datetime) -> list[Evidence]:
    return [one for one in talent.evidence if one.needs_check() and one.check_at <= now]


async def check_due_evidence(city: City, talent: Talent, now: datetime) -> Talent:
    """Query the registries about all due evidence at once, and record their findings."""
    due = _due_evidence(talent, now)
    findings = asyncio.gather(*(check_evidence(city, talent.id, one) for one in due))
    talent, outcomes = await asyncio.gather(with_current_figures(city, talent), findings)
    for one, outcome in zip(due, outcomes, strict=True):
        if outcome == "pending":
            talent = record_no_answer(talent, one.id, now, talent_terms(city, now)("registry_days"))
        else:
            talent = record_finding(talent, one.id, confirmed=outcome == "confirmed", now=now)
    return talent


async def notify_talent(city: City, talent: Talent, now: datetime) -> Talent:
    """Send the oldest notification; if interrupted, it is sent twice rather than never."""
    notification = next(one for one in talent.notifications if not one.sent)
    text = talent_message(notification, talent, talent_terms(city, now)("registry_days"))
    await with_timeout(city.port(Notifications).notify(talent.id, text))
    notifications = tuple(replace(one, sent=True) if one is notification else one for one in talent.notifications)
    return replace(talent, notifications=notifications, failures=0)


async def update_talent_class(city: City, person: str) -> Talent:
    """Update a person's class by the rules in force now, and return the talent."""
    return await update_talent(city, person, lambda found, now: update_class(found, now, review_terms(city, now)))


async def refresh_talent(city: City, person: str) -> Talent:
    """Refresh a talent's figures, as far as registries answer, and their class; return the talent."""
    talent = await get_or_create_talent(city, person)
    current = await with_current_figures(city, talent)

    def change(found: Talent, now: datetime) -> Talent:
        known = found if current is talent else replace(found, figures=current.figures)
        return update_class(known, now, review_terms(city, now))

    return await update_talent(city, person, change, in_hand=talent)
