"""Granting and ending talent classes.

A class follows from the catalogue alone; no official can set one. It is granted for a fixed time under the rules in
force on the day of the grant, and stays valid for that time even if the catalogue changes. It is withdrawn early only
if the evidence that is still confirmed would not have justified it under the rules of its own day.
"""

from datetime import datetime, timedelta

from msgspec.structs import replace

from backend.jobs.saga import backoff
from backend.rulebook import Rulebook, Verdict
from backend.services.talent_code.facts import TALENT_CLASSES
from backend.services.talent_code.model.evidence import Evidence, EvidenceState
from backend.services.talent_code.model.talent import (
    MAX_GRANTS,
    Grant,
    GrantEnd,
    Talent,
    TalentTerms,
    notify,
    talent_facts,
)
from backend.services.talent_code.rule_modules import CLASS_MODULE
from backend.store.time import to_ms

EXTENSION_WINDOW = timedelta(days=1)
"""A class whose review still waits for a registry is extended this long before its end."""


def class_verdict(
    talent: Talent, at: datetime, rulebook: Rulebook, states: tuple[EvidenceState, ...] = ("confirmed",)
) -> Verdict:
    """Return what the catalogue of an instant gives a person for their evidence in these states."""
    return rulebook.evaluate(CLASS_MODULE, talent_facts(talent, at, rulebook.time_zone, states), at)


def reassess(talent: Talent, now: datetime, terms: TalentTerms) -> Talent:
    """Update a person's class by the catalogue: grant, upgrade, renew or withdraw it, or let it lapse."""
    talent = _lapse(_extend(talent, now, terms), now)
    current = talent.grant(now)
    if current is not None and not _is_supported(talent, current, terms.rulebook):
        talent = _change(talent, current, ended_at=now, end="withdrawn")
        talent = replace(notify(talent, "withdrawn", now, current.talent_class), withdrawn_at=now)
        current = None
    verdict = class_verdict(talent, now, terms.rulebook)
    rank = TALENT_CLASSES.index(verdict.result)
    held = TALENT_CLASSES.index(current.talent_class) if current is not None else 0
    if rank > held:
        change = "upgraded"
    elif rank == held and _awaited_evidence(talent, now, terms) == []:
        change = "renewed"
    else:
        return talent
    if current is not None:
        talent = _change(talent, current, ended_at=now, end=change)
    until = now + timedelta(days=terms("grant_days"))
    made = Grant(verdict.result, verdict.rule, verdict.because, now, until, verdict.rulebook)
    talent = replace(talent, grants=(*talent.grants, made)[-MAX_GRANTS:])
    return notify(talent, change if current is not None else "granted", now, verdict.result)


def review_starts_at(grant: Grant, terms: TalentTerms) -> datetime:
    """Return when the review of a class starts, before its end."""
    return max(grant.granted_at, grant.until - timedelta(days=terms("review_days")))


def needs_recheck(talent: Talent, now: datetime, terms: TalentTerms) -> bool:
    """Return True if evidence must be checked again before the class can be renewed."""
    return any(not one.recheck for one in _awaited_evidence(talent, now, terms) or ())


def _awaited_evidence(talent: Talent, now: datetime, terms: TalentTerms) -> list[Evidence] | None:
    """Return the confirmed evidence that no registry has confirmed since the review started; None if it has not."""
    current = talent.grant(now)
    if current is None or now < (started_at := review_starts_at(current, terms)):
        return None
    confirmed = [one for one in talent.evidence if one.state == "confirmed"]
    return [one for one in confirmed if one.answered_at is None or one.answered_at < started_at]


def _is_supported(talent: Talent, grant: Grant, rulebook: Rulebook) -> bool:
    """Return True if the confirmed evidence justifies the class under the rules in force when it was granted."""
    verdict = class_verdict(talent, grant.granted_at, rulebook)
    return TALENT_CLASSES.index(verdict.result) >= TALENT_CLASSES.index(grant.talent_class)


def _extend(talent: Talent, now: datetime, terms: TalentTerms) -> Talent:
    """Extend a class that would end while registries have not answered: the delay is not the person's fault."""
    current = talent.grant(now)
    if current is None or now < current.until - EXTENSION_WINDOW or not any(one.recheck for one in talent.evidence):
        return talent
    return _change(talent, current, until=current.until + timedelta(days=terms("review_days")))


def _lapse(talent: Talent, now: datetime) -> Talent:
    last = talent.grants[-1] if talent.grants else None
    if last is None or last.ended_at is not None or now < last.until:
        return talent
    lapsed = _change(talent, last, ended_at=last.until, end="lapsed")
    return notify(lapsed, "lapsed", now, last.talent_class)


def _change(talent: Talent, grant: Grant, **fields: datetime | GrantEnd) -> Talent:
    changed = replace(grant, **fields)
    return replace(talent, grants=tuple(changed if one is grant else one for one in talent.grants))


def reschedule(talent: Talent, now: datetime, terms: TalentTerms) -> Talent:
    """Set `due_ms`, the instant at which a sweep must process the talent again."""
    moments = [one.check_at for one in talent.evidence if one.needs_check()]
    grant = talent.grant(now)
    if grant is not None:
        changes = (review_starts_at(grant, terms), grant.until - EXTENSION_WINDOW, grant.until)
        moments.append(min(at for at in changes if now < at))
    elif talent.grants and talent.grants[-1].ended_at is None:
        moments.append(now)
    if (
        talent.withdrawn_at is not None
        or talent.former_cards
        or any(not notification.sent for notification in talent.notifications)
    ):
        moments.append(now + backoff(talent.failures))
    due_ms = to_ms(min(moments)) if moments else None
    return talent if due_ms == talent.due_ms else replace(talent, due_ms=due_ms)
