"""Audits of paid claims: registries are queried, and a claim is judged again by the rules of the day it was made."""

import hashlib
from datetime import datetime

import msgspec

from backend.benefits.claim import Audit, C, Claim
from backend.benefits.clawbacks import record_audit
from backend.benefits.service import AnyBenefits
from backend.city.service import City

DRAW_RANGE = 1_000


async def audit_claim(benefits: AnyBenefits, city: City, claim: C, now: datetime) -> C:
    """Audit a claim if the rules select it. Raises UpstreamTimeout or UpstreamRejected if a registry does not answer.

    A claim that is not drawn is never audited.
    """
    result = Audit(now, drawn=False)
    if is_selected(benefits, city, claim, now):
        result = await _run_audit(benefits, city, claim, now)
    return record_audit(claim, result, now, benefits.terms(city, now))


def is_selected(benefits: AnyBenefits, city: City, claim: Claim, now: datetime) -> bool:
    """Return True if the rules select a claim by its draw: a keyed hash that is repeatable and cannot be predicted."""
    draw = int(hashlib.sha256(city.encryption.digest("audit", claim.id).encode()).hexdigest(), 16) % DRAW_RANGE
    return city.rulebook.evaluate(benefits.audit_module, benefits.audit_facts(claim, draw), now).result == "audit"


async def _run_audit(benefits: AnyBenefits, city: City, claim: Claim, now: datetime) -> Audit:
    facts = await benefits.verified_facts(city, claim)
    judged = benefits.offers(city).judge(claim.benefit, facts, claim.claimed_at)
    entitled_fen = judged.amount_fen if judged is not None and judged.is_entitled else 0
    before, after = msgspec.structs.asdict(benefits.facts(claim)), msgspec.structs.asdict(facts)
    differing = tuple(name for name in before if before[name] != after[name])
    return Audit(now, drawn=True, entitled_fen=entitled_fen, differing_facts=differing)
