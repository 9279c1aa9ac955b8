"""Audits of paid claims: registries are queried, and a claim is judged again by the rules of the day it was made."""

import asyncio
import hashlib
from datetime import datetime

import msgspec
from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import UpstreamTimeout
from backend.services.talent_code.eligibility import id_number_of, talent_terms, tax_year, time_zone_of, with_timeout
from backend.services.talent_code.evidence import check_evidence
from backend.services.talent_code.facts import TALENT_CLASSES, AuditFacts, BenefitFacts, Post, TalentClassOrNone
from backend.services.talent_code.model.benefit import judge
from backend.services.talent_code.model.claim import Audit, Claim
from backend.services.talent_code.model.evidence import Evidence
from backend.services.talent_code.model.grants import CLASS_MODULE
from backend.services.talent_code.model.steps import record_audit, reschedule
from backend.services.talent_code.model.talent import Talent, benefit_facts, facts_from_qualifications
from backend.services.talent_code.ports import PropertyRegister, Tax

AUDIT_MODULE = "talent_code.audit"
DRAW_RANGE = 1_000


async def audit_claim(city: City, claim: Claim, now: datetime) -> Claim:
    """Audit a claim if the rules select it, and store the result.

    Raises UpstreamTimeout or UpstreamRejected if a registry does not answer yet.
    """
    result = Audit(now, drawn=False)
    if is_selected(city, claim, now):
        result = await _run_audit(city, claim, now)
    term = talent_terms(city, now)
    return await city.store.replace(reschedule(record_audit(claim, result, now, term), now, term))


def is_selected(city: City, claim: Claim, now: datetime) -> bool:
    """Return True if the rules select a claim by its draw: a keyed hash that is repeatable and cannot be predicted."""
    draw = int(hashlib.sha256(city.encryption.digest("audit", claim.id).encode()).hexdigest(), 16) % DRAW_RANGE
    facts = AuditFacts(
        amount_fen=claim.amount_fen,
        talent_class=claim.facts.talent_class,
        stated=bool(claim.stated),
        draw=draw,
    )
    return city.rulebook.evaluate(AUDIT_MODULE, facts, now).result == "audit"


async def _run_audit(city: City, claim: Claim, now: datetime) -> Audit:
    facts = await _verified_facts(city, claim)
    judged = judge(city.rulebook, claim.benefit, facts, claim.claimed_at)
    entitled_fen = judged.amount_fen if judged is not None and judged.is_entitled else 0
    before, after = msgspec.structs.asdict(claim.facts), msgspec.structs.asdict(facts)
    differing = tuple(name for name in before if before[name] != after[name])
    return Audit(now, drawn=True, entitled_fen=entitled_fen, differing_facts=differing)


async def _verified_facts(city: City, claim: Claim) -> BenefitFacts:
    """Return the true facts at the time of the claim. Raises UpstreamTimeout or UpstreamRejected."""
    talent = await city.store.get(Talent, claim.subject)
    assert talent is not None, "a claim is a talent's"
    number = await id_number_of(city, claim.subject)
    talent_class, confirmed = await _confirmed_class(city, talent, claim)
    known = benefit_facts(replace(talent, evidence=confirmed), {}, claim.claimed_at)
    true = replace(claim.facts, talent_class=talent_class, degree=known.degree, graduated_at=known.graduated_at)
    if talent_class == "none":
        true = replace(true, class_since=None)
    if "homes" in claim.stated:
        homes = await with_timeout(city.port(PropertyRegister).homes(number))
        true = replace(true, homes=_plausible(homes))
    if "spent_fen" in claim.stated:
        invoiced_fen = await with_timeout(city.port(Tax).invoiced_fen(number, claim.benefit))
        true = replace(true, spent_fen=min(claim.facts.spent_fen, _plausible(invoiced_fen)))
    if claim.facts.income_fen or claim.facts.tax_fen:
        year = claim.claimed_at.astimezone(time_zone_of(city)).year - 1
        taxed = await tax_year(city, number, year)
        true = replace(true, income_fen=taxed.income_fen, tax_fen=taxed.tax_fen)
    return true


async def _confirmed_class(city: City, talent: Talent, claim: Claim) -> tuple[TalentClassOrNone, tuple[Evidence, ...]]:
    """Return the true class at the time of the claim, and the evidence of that time that is still confirmed.

    It is never higher than the class that was granted then: the claim was made with that one.
    """
    relevant = [one for one in talent.evidence if one.confirmed_at is not None and one.confirmed_at <= claim.claimed_at]
    checked = [one for one in relevant if not isinstance(one.qualification, Post)]  # a post may have ended since
    outcomes = await asyncio.gather(*(check_evidence(city, talent.id, one) for one in checked))
    if "pending" in outcomes:
        raise UpstreamTimeout("a registry has not decided yet")
    false = {one.id for one, outcome in zip(checked, outcomes, strict=True) if outcome == "refuted"}
    confirmed = tuple(replace(one, state="confirmed") for one in relevant if one.id not in false)
    grant = talent.grant(claim.claimed_at) or next(
        (one for one in talent.grants if one.granted_at <= claim.claimed_at < one.until), None
    )
    if grant is None:
        return "none", confirmed
    qualifications = (one.qualification for one in confirmed)
    facts = facts_from_qualifications(talent, qualifications, grant.granted_at, time_zone_of(city))
    verdict = city.rulebook.evaluate(CLASS_MODULE, facts, grant.granted_at)
    lower = min(TALENT_CLASSES.index(verdict.result), TALENT_CLASSES.index(claim.facts.talent_class))
    return TALENT_CLASSES[lower], confirmed


def _plausible(figure: int) -> int:
    if figure < 0:
        raise UpstreamTimeout("a registry answered with an impossible number")
    return figure
