"""Reviews of talents: registries are queried about declared qualifications, and classes are updated."""

import asyncio
from datetime import datetime
from enum import StrEnum

from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import Notifications, with_timeout
from backend.services.talent_code.eligibility import (
    get_or_create_talent,
    talent_terms,
    update_talent,
    with_current_figures,
)
from backend.services.talent_code.model.evidence import Evidence
from backend.services.talent_code.model.grants import needs_recheck, reassess
from backend.services.talent_code.model.notifications import talent_message
from backend.services.talent_code.model.talent import Talent, TalentTerms, record_answer
from backend.services.talent_code.registries import check_evidence


class ReviewStep(StrEnum):
    """The steps of a review."""

    REQUEST_RECHECK = "recheck"
    CHECK_EVIDENCE = "check"
    REASSESS = "reassess"
    STOP_CLAIMS = "stop_claims"
    NOTIFY = "notify"


def next_review_step(talent: Talent, now: datetime, terms: TalentTerms) -> ReviewStep | None:
    """Return the step that is due for a talent, or None."""
    if needs_recheck(talent, now, terms):
        return ReviewStep.REQUEST_RECHECK
    if _due_evidence(talent, now):
        return ReviewStep.CHECK_EVIDENCE
    if reassess(talent, now, terms) is not talent:
        return ReviewStep.REASSESS
    if talent.withdrawn_at is not None:
        return ReviewStep.STOP_CLAIMS
    return ReviewStep.NOTIFY if any(not one.sent for one in talent.notifications) else None


def _due_evidence(talent: Talent, now: datetime) -> list[Evidence]:
    return [one for one in talent.evidence if one.needs_check() and one.check_at <= now]


async def check_due_evidence(city: City, talent: Talent, now: datetime) -> Talent:
    """Query the registries about all due evidence at once, and record their answers."""
    due = _due_evidence(talent, now)
    findings = asyncio.gather(*(check_evidence(city, talent.id, one) for one in due))
    talent, outcomes = await asyncio.gather(with_current_figures(city, talent), findings)
    for one, outcome in zip(due, outcomes, strict=True):
        talent = record_answer(talent, one, outcome, now, talent_terms(city, now)("registry_days"))
    return talent


async def notify_talent(city: City, talent: Talent, now: datetime) -> Talent:
    """Send the oldest notification; if interrupted, it is sent twice rather than never."""
    notification = next(one for one in talent.notifications if not one.sent)
    text = talent_message(notification, talent, talent_terms(city, now)("registry_days"))
    await with_timeout(city.port(Notifications).notify(talent.id, text))
    notifications = tuple(replace(one, sent=True) if one is notification else one for one in talent.notifications)
    return replace(talent, notifications=notifications, failures=0)


async def refresh_talent(city: City, person: str) -> Talent:
    """Refresh a talent's figures, as far as registries answer, and their class; return the talent."""
    talent = await get_or_create_talent(city, person)
    current = await with_current_figures(city, talent)

    def change(found: Talent, now: datetime, terms: TalentTerms) -> Talent:
        known = found if current is talent else replace(found, figures=current.figures)
        return reassess(known, now, terms)

    return await update_talent(city, person, change, in_hand=talent)
