"""Granting and ending talent classes.

A class follows from the catalogue alone; no official can set one. It is granted for a fixed time under the rules in
force on the day of the grant, and stays valid for that time even if the catalogue changes. It is withdrawn early only
if the evidence that is still confirmed would not have justified it under the rules of its own day.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from backend.jobs.saga import backoff
from backend.rulebook import Rulebook, Verdict
from backend.services.talent_code.facts import TALENT_CLASSES
from backend.services.talent_code.model.evidence import Evidence
from backend.services.talent_code.model.talent import (
    MAX_GRANTS,
    Grant,
    GrantEnd,
    Talent,
    TalentTerms,
    notify,
    talent_facts,
)
from backend.store.time import to_ms

CLASS_MODULE = "talent_code.class"

EXTENSION_WINDOW = timedelta(days=1)
"""A class whose review still waits for a registry is extended this long before its end."""


def reassess(talent: Talent, rulebook: Rulebook, now: datetime, term: TalentTerms, zone: ZoneInfo) -> Talent:
    """Update a person's class by the catalogue: grant, upgrade, renew or withdraw it, or let it lapse."""
    talent = _lapse(_extend(talent, now, term("review_days")), now)
    current = talent.grant(now)
    if current is not None and not _is_supported(talent, current, rulebook, zone):
        talent = _end(talent, current, "withdrawn", now)
        talent = replace(notify(talent, "withdrawn", now, current.talent_class), withdrawn_at=now)
        current = None
    verdict = rulebook.evaluate(CLASS_MODULE, talent_facts(talent, now, zone), now)
    rank = TALENT_CLASSES.index(verdict.result)
    held = TALENT_CLASSES.index(current.talent_class) if current is not None else 0
    until = now + timedelta(days=term("grant_days"))
    if rank > held:
        if current is not None:
            talent = _end(talent, current, "upgraded", now)
        talent = _grant(talent, verdict, until)
        return notify(talent, "granted" if held == 0 else "upgraded", now, verdict.result)
    if current is not None and rank == held and _is_renewable(talent, current, now, term("review_days")):
        talent = _grant(_end(talent, current, "renewed", now), verdict, until)
        return notify(talent, "renewed", now, verdict.result)
    return talent


def review_starts_at(grant: Grant, review_days: int) -> datetime:
    """Return when the review of a class starts, before its end."""
    return max(grant.granted_at, grant.until - timedelta(days=review_days))


def needs_recheck(talent: Talent, now: datetime, review_days: int) -> bool:
    """Return True if evidence must be checked again before the class can be renewed."""
    current = talent.grant(now)
    if current is None or now < review_starts_at(current, review_days):
        return False
    confirmed = [one for one in talent.evidence if one.state == "confirmed" and not one.recheck]
    return any(_is_stale(one, current, review_days) for one in confirmed)


def _is_stale(one: Evidence, current: Grant, review_days: int) -> bool:
    return one.answered_at is None or one.answered_at < review_starts_at(current, review_days)


def _is_renewable(talent: Talent, current: Grant, now: datetime, review_days: int) -> bool:
    """Return True if the review has started and every registry has answered again since."""
    if now < review_starts_at(current, review_days):
        return False
    return not any(one.state == "confirmed" and _is_stale(one, current, review_days) for one in talent.evidence)


def _is_supported(talent: Talent, grant: Grant, rulebook: Rulebook, zone: ZoneInfo) -> bool:
    """Return True if the confirmed evidence justifies the class under the rules in force when it was granted."""
    facts = talent_facts(talent, grant.granted_at, zone)
    verdict = rulebook.evaluate(CLASS_MODULE, facts, grant.granted_at)
    return TALENT_CLASSES.index(verdict.result) >= TALENT_CLASSES.index(grant.talent_class)


def _extend(talent: Talent, now: datetime, review_days: int) -> Talent:
    """Extend a class that would end while registries have not answered: the delay is not the person's fault."""
    current = talent.grant(now)
    if current is None or now < current.until - EXTENSION_WINDOW or not any(one.recheck for one in talent.evidence):
        return talent
    longer = replace(current, until=current.until + timedelta(days=review_days))
    return replace(talent, grants=tuple(longer if one is current else one for one in talent.grants))


def _lapse(talent: Talent, now: datetime) -> Talent:
    last = talent.grants[-1] if talent.grants else None
    if last is None or last.ended_at is not None or now < last.until:
        return talent
    return notify(_end(talent, last, "lapsed", last.until), "lapsed", now, last.talent_class)


def _end(talent: Talent, grant: Grant, end: GrantEnd, at: datetime) -> Talent:
    ended = replace(grant, ended_at=at, end=end)
    return replace(talent, grants=tuple(ended if one is grant else one for one in talent.grants))


def _grant(talent: Talent, verdict: Verdict, until: datetime) -> Talent:
    made = Grant(verdict.result, verdict.rule, verdict.because, verdict.at, until, verdict.rulebook)
    return replace(talent, grants=(*talent.grants, made)[-MAX_GRANTS:])


def reschedule(talent: Talent, now: datetime, review_days: int) -> Talent:
    """Set `due_ms`, the instant at which a sweep must process the talent again."""
    moments = [one.check_at for one in talent.evidence if one.needs_check()]
    grant = talent.grant(now)
    if grant is not None:
        review = review_starts_at(grant, review_days)
        moments.append(min(at for at in (review, grant.until - EXTENSION_WINDOW, grant.until) if now < at))
    elif talent.grants and talent.grants[-1].ended_at is None:
        moments.append(now)
    if talent.withdrawn_at is not None or any(not notification.sent for notification in talent.notifications):
        moments.append(now + backoff(talent.failures))
    due_ms = to_ms(min(moments)) if moments else None
    return talent if due_ms == talent.due_ms else replace(talent, due_ms=due_ms)
