"""Reviews of talents: registries are queried about declared qualifications, and classes are updated."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import Notifications, UpstreamTimeout
from backend.services.talent_code.eligibility import (
    get_or_create_talent,
    refresh_figures,
    talent_terms,
    time_zone_of,
    update_talent,
    with_timeout,
)
from backend.services.talent_code.evidence import check_evidence
from backend.services.talent_code.model.evidence import Evidence
from backend.services.talent_code.model.grants import needs_recheck, reassess, reschedule
from backend.services.talent_code.model.notifications import talent_message
from backend.services.talent_code.model.talent import Talent, record_finding, record_no_answer, request_recheck
from backend.services.talent_code.saga import advance_claim, claims_of


async def review_talent(city: City, person: str) -> Talent | None:
    """Check due evidence, update the class and send notifications; return the talent, or None if there is none.

    Registries that do not answer are queried again later. If the class is withdrawn, the open instalments of the
    person's claims are cancelled at once where their terms say so. Raises Conflict after too many concurrent changes.
    """
    before = await city.store.get(Talent, person)
    if before is None:
        return None
    talent, now = before, city.now()
    if needs_recheck(talent, now, talent_terms(city, now)("review_days")):
        talent = await update_talent(city, person, request_recheck)
    due = [one for one in talent.evidence if one.needs_check() and one.check_at <= now]
    if due:
        await asyncio.gather(refresh_figures(city, talent), _check_evidence(city, person, due))
    talent = await update_class(city, person)
    if _newly_withdrawn(before, talent):
        await _advance_claims(city, person)
    await _notify(city, talent)
    return await update_talent(city, person, partial(_reschedule, city))


def _reschedule(city: City, talent: Talent, now: datetime) -> Talent:
    """Set the next review, even if this one changed nothing else."""
    return reschedule(talent, now, talent_terms(city, now)("review_days"))


async def refresh_talent(city: City, person: str) -> Talent:
    """Return a person as a talent with current figures, as far as registries answer, and the class that follows."""
    await refresh_figures(city, await get_or_create_talent(city, person))
    return await update_class(city, person)


async def update_class(city: City, person: str) -> Talent:
    """Update a person's class by the rules in force now."""

    def change(talent: Talent, now: datetime) -> Talent:
        return reassess(talent, city.rulebook, now, talent_terms(city, now), time_zone_of(city))

    return await update_talent(city, person, change)


def _newly_withdrawn(before: Talent, talent: Talent) -> bool:
    return sum(grant.end == "withdrawn" for grant in talent.grants) > sum(
        grant.end == "withdrawn" for grant in before.grants
    )


async def _advance_claims(city: City, person: str) -> None:
    for claim in await claims_of(city, person):
        if claim.state != "draft":  # the process that is making a draft decides about it
            await advance_claim(city, claim.id)


async def _check_evidence(city: City, person: str, due: Sequence[Evidence]) -> None:
    """Query the registries about several qualifications at once, and record their findings."""
    outcomes = await asyncio.gather(*(check_evidence(city, person, one) for one in due))

    def record(talent: Talent, now: datetime) -> Talent:
        for one, outcome in zip(due, outcomes, strict=True):
            if outcome == "pending":
                talent = record_no_answer(talent, one.id, now, talent_terms(city, now)("registry_days"))
            else:
                talent = record_finding(talent, one.id, confirmed=outcome == "confirmed", now=now)
        return talent

    await update_talent(city, person, record)


async def _notify(city: City, talent: Talent) -> None:
    """Send the pending notifications, oldest first; if interrupted, one is sent twice rather than never."""
    registry_days = talent_terms(city, city.now())("registry_days")
    for notification in [one for one in talent.notifications if not one.sent]:
        try:
            await with_timeout(
                city.port(Notifications).notify(talent.id, talent_message(notification, talent, registry_days))
            )
        except UpstreamTimeout:
            await update_talent(city, talent.id, lambda talent, _now: replace(talent, failures=talent.failures + 1))
            return

        def mark_sent(talent: Talent, _now: datetime, sent: object = notification) -> Talent:
            notifications = tuple(replace(one, sent=True) if one == sent else one for one in talent.notifications)
            return replace(talent, notifications=notifications, failures=0)

        await update_talent(city, talent.id, mark_sent)
