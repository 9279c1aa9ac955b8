"""What an audit compares: the facts of a claim, and those that the registries know."""

import asyncio

from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import UpstreamTimeout, with_timeout
from backend.services.talent_code.eligibility import id_number_of, tax_year
from backend.services.talent_code.evidence import check_evidence
from backend.services.talent_code.facts import TALENT_CLASSES, AuditFacts, BenefitFacts, Post, TalentClassOrNone
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.evidence import Evidence
from backend.services.talent_code.model.grants import CLASS_MODULE
from backend.services.talent_code.model.talent import Talent, benefit_facts, facts_from_qualifications
from backend.services.talent_code.ports import PropertyRegister, Tax

AUDIT_MODULE = "talent_code.audit"


def audit_facts(claim: Claim, draw: int) -> AuditFacts:
    """Return a claim as the rules see it that select claims for audits."""
    return AuditFacts(
        amount_fen=claim.amount_fen, talent_class=claim.facts.talent_class, stated=bool(claim.stated), draw=draw
    )


async def verified_facts(city: City, claim: Claim) -> BenefitFacts:
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
        year = claim.claimed_at.astimezone(city.rulebook.time_zone).year - 1
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
    facts = facts_from_qualifications(talent, qualifications, grant.granted_at, city.rulebook.time_zone)
    verdict = city.rulebook.evaluate(CLASS_MODULE, facts, grant.granted_at)
    lower = min(TALENT_CLASSES.index(verdict.result), TALENT_CLASSES.index(claim.facts.talent_class))
    return TALENT_CLASSES[lower], confirmed


def _plausible(figure: int) -> int:
    if figure < 0:
        raise UpstreamTimeout("a registry answered with an impossible number")
    return figure
