"""What an audit compares: the facts of a claim, and those that the registries know."""

import asyncio
from datetime import datetime

from msgspec import ValidationError
from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import UpstreamTimeout
from backend.services.talent_code.declared import convert_facts, facts_of_benefit
from backend.services.talent_code.facts import TALENT_CLASSES, AuditFacts, BenefitFacts, Post, TalentClassOrNone
from backend.services.talent_code.model.benefit import offers_of
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.evidence import Evidence
from backend.services.talent_code.model.grants import class_verdict
from backend.services.talent_code.model.talent import Talent, benefit_facts
from backend.services.talent_code.registries import check_evidence, homes, invoiced_fen, tax_year


def audit_facts(claim: Claim, draw: int) -> AuditFacts:
    """Return a claim as the rules see it that select claims for audits."""
    return AuditFacts(
        amount_fen=claim.amount_fen, talent_class=claim.facts.talent_class, stated=bool(claim.stated), draw=draw
    )


async def verified_facts(city: City, claim: Claim) -> BenefitFacts:
    """Return the true facts at the time of the claim. Raises UpstreamTimeout or UpstreamRejected.

    The person's answers to the benefit's own questions stay as they are. If the benefit asks other questions now, an
    audit cannot repeat the decision, and finds no difference.
    """
    try:
        answered = convert_facts(claim.facts, facts_of_benefit(offers_of(city.rulebook), claim.benefit), claim.declared)
    except (KeyError, ValidationError):
        return claim.facts
    talent = await city.store.get(Talent, claim.subject)
    assert talent is not None, "a claim is a talent's"
    confirmed = replace(talent, evidence=await _still_confirmed(city, talent, claim.claimed_at))
    talent_class = _class_of_the_time(city, confirmed, claim)
    known = benefit_facts(confirmed, {}, claim.claimed_at)
    true = replace(answered, talent_class=talent_class, degree=known.degree, graduated_at=known.graduated_at)
    if talent_class == "none":
        true = replace(true, class_since=None)
    if "homes" in claim.stated:
        true = replace(true, homes=await homes(city, talent.id))
    if "spent_fen" in claim.stated:
        proved_fen = await invoiced_fen(city, talent.id, claim.benefit)
        true = replace(true, spent_fen=min(claim.facts.spent_fen, proved_fen))
    if claim.facts.income_fen or claim.facts.tax_fen:
        year = claim.claimed_at.astimezone(city.rulebook.time_zone).year - 1
        taxed = await tax_year(city, talent.id, year)
        true = replace(true, income_fen=taxed.income_fen, tax_fen=taxed.tax_fen)
    return true


async def _still_confirmed(city: City, talent: Talent, at: datetime) -> tuple[Evidence, ...]:
    """Return the evidence that was confirmed at an instant and that the registries still confirm."""
    relevant = [one for one in talent.evidence if one.confirmed_at is not None and one.confirmed_at <= at]
    checked = [one for one in relevant if not isinstance(one.qualification, Post)]  # a post may have ended since
    outcomes = await asyncio.gather(*(check_evidence(city, talent.id, one) for one in checked))
    if "pending" in outcomes:
        raise UpstreamTimeout("a registry has not decided yet")
    false = {one.id for one, outcome in zip(checked, outcomes, strict=True) if outcome == "refuted"}
    return tuple(replace(one, state="confirmed") for one in relevant if one.id not in false)


def _class_of_the_time(city: City, talent: Talent, claim: Claim) -> TalentClassOrNone:
    """Return the true class at the time of the claim.

    It is never higher than the class that was granted then: the claim was made with that one.
    """
    at = claim.claimed_at
    grant = talent.grant(at) or next((one for one in talent.grants if one.granted_at <= at < one.until), None)
    if grant is None:
        return "none"
    verdict = class_verdict(talent, grant.granted_at, city.rulebook)
    return min(verdict.result, claim.facts.talent_class, key=TALENT_CLASSES.index)
