"""Auditing a paid claim: registries are asked what is true, and the claim is judged anew by the law of its own day."""

import asyncio
import hashlib
from datetime import datetime

import msgspec
from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import UpstreamTimeout
from backend.services.talent_code.evidence import look_into
from backend.services.talent_code.facts import STANDINGS, AuditFacts, BenefitFacts, Post, Standing
from backend.services.talent_code.model.benefit import judge
from backend.services.talent_code.model.claim import Audit, Claim
from backend.services.talent_code.model.steps import audited, rested
from backend.services.talent_code.model.talent import CLASS, Evidence, Talent, benefit_facts, facts_of
from backend.services.talent_code.people import id_number_of, in_time, tax_year, terms_of, zone_of
from backend.services.talent_code.ports import PropertyRegister, Tax

AUDIT = "talent_code.audit"
DRAWS = 1_000


async def audit(city: City, claim: Claim, now: datetime) -> Claim:
    """Audit a claim if the rules draw it, and note what was found. Raises Silent or Refused if nobody can tell yet."""
    found = Audit(now, drawn=False)
    if is_drawn(city, claim, now):
        found = await _find_out(city, claim, now)
    return await city.store.replace(rested(audited(claim, found, now, terms_of(city, now)), now, terms_of(city, now)))


def is_drawn(city: City, claim: Claim, now: datetime) -> bool:
    """Draw claims by a keyed hash: nobody outside can tell which are drawn, and each draw is the same when repeated."""
    draw = int(hashlib.sha256(city.encryption.digest("audit", claim.id).encode()).hexdigest(), 16) % DRAWS
    facts = AuditFacts(
        amount_fen=claim.amount_fen,
        talent_class=claim.facts.talent_class,
        stated=bool(claim.stated),
        draw=draw,
    )
    return city.rulebook.evaluate(AUDIT, facts, now).result == "audit"


async def _find_out(city: City, claim: Claim, now: datetime) -> Audit:
    facts = await _true_facts(city, claim)
    judged = judge(city.rulebook, claim.benefit, facts, claim.claimed_at)
    entitled_fen = judged.amount_fen if judged is not None and judged.is_given else 0
    before, after = msgspec.structs.asdict(claim.facts), msgspec.structs.asdict(facts)
    return Audit(
        now, drawn=True, entitled_fen=entitled_fen, differing=tuple(n for n in before if before[n] != after[n])
    )


async def _true_facts(city: City, claim: Claim) -> BenefitFacts:
    """Give the facts as they should have been when the claim was made. Raises Silent or Refused."""
    talent = await city.store.get(Talent, claim.subject)
    assert talent is not None, "a claim is a talent's"
    number = await id_number_of(city, claim.subject)
    standing, confirmed = await _confirmed_class(city, talent, claim)
    known = benefit_facts(replace(talent, evidence=confirmed), {}, claim.claimed_at)
    true = replace(claim.facts, talent_class=standing, degree=known.degree, graduated_at=known.graduated_at)
    if standing == "none":
        true = replace(true, class_since=None)
    if "homes" in claim.stated:
        homes = await in_time(city.port(PropertyRegister).homes(number))
        true = replace(true, homes=_possible(homes))
    if "spent_fen" in claim.stated:
        invoiced_fen = await in_time(city.port(Tax).invoiced_fen(number, claim.benefit))
        true = replace(true, spent_fen=min(claim.facts.spent_fen, _possible(invoiced_fen)))
    if claim.facts.income_fen or claim.facts.tax_fen:
        year = claim.claimed_at.astimezone(zone_of(city)).year - 1
        taxed = await tax_year(city, number, year)
        true = replace(true, income_fen=taxed.income_fen, tax_fen=taxed.tax_fen)
    return true


async def _confirmed_class(city: City, talent: Talent, claim: Claim) -> tuple[Standing, tuple[Evidence, ...]]:
    """Give the class that the person should have had, by the evidence of that time that is still confirmed, and that.

    A class never turns out higher than it was: the claim was made with the one that was granted.
    """
    counted = [one for one in talent.evidence if one.confirmed_at is not None and one.confirmed_at <= claim.claimed_at]
    asked = [one for one in counted if not isinstance(one.said, Post)]  # a post may have ended since, and was true then
    outcomes = await asyncio.gather(*(look_into(city, talent.id, one) for one in asked))
    if "pending" in outcomes:
        raise UpstreamTimeout("a registry does not tell yet")
    false = {one.id for one, outcome in zip(asked, outcomes, strict=True) if outcome == "refuted"}
    confirmed = tuple(replace(one, state="confirmed") for one in counted if one.id not in false)
    grant = talent.grant(claim.claimed_at) or next(
        (one for one in talent.grants if one.granted_at <= claim.claimed_at < one.until), None
    )
    if grant is None:
        return "none", confirmed
    facts = facts_of(talent, (one.said for one in confirmed), grant.granted_at, zone_of(city))
    verdict = city.rulebook.evaluate(CLASS, facts, grant.granted_at)
    lower = min(STANDINGS.index(verdict.result), STANDINGS.index(claim.facts.talent_class))
    return STANDINGS[lower], confirmed


def _possible(figure: int) -> int:
    if figure < 0:
        raise UpstreamTimeout("a registry answered what cannot be")
    return figure
