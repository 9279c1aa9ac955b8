"""Audits of paid claims, and what follows from them: claw-backs, reductions and appeals.

The registries are queried, and a claim is judged again by the rules of the day it was made.
"""

import hashlib
from datetime import datetime, timedelta

from msgspec.structs import replace

from backend.benefits.claim import Appeal, Audit, C, Claim, ClaimInstalment, Clawback, notify, prepare_entry
from backend.benefits.problems import NothingToAppeal
from backend.benefits.service import AnyBenefits
from backend.benefits.terms import Terms
from backend.city.service import City
from backend.i18n import Text

DRAW_RANGE = 1_000


async def audit_claim(benefits: AnyBenefits, city: City, claim: C, now: datetime) -> C:
    """Audit a claim if the rules select it. Raises UpstreamTimeout or UpstreamRejected if a registry does not answer.

    A claim that is not selected now is never audited later.
    """
    result = Audit(now, drawn=False)
    if is_selected(benefits, city, claim, now):
        stated, facts = benefits.facts(claim), await benefits.verified_facts(city, claim)
        judged = benefits.offers(city).judge(claim.benefit, facts, claim.claimed_at)
        entitled_fen = judged.amount_fen if judged is not None and judged.is_entitled else 0
        differing = tuple(name for name in stated.__struct_fields__ if getattr(facts, name) != getattr(stated, name))
        result = Audit(now, drawn=True, entitled_fen=entitled_fen, differing_facts=differing)
    return record_audit(claim, result, now, benefits.terms(city, now))


def is_selected(benefits: AnyBenefits, city: City, claim: Claim, now: datetime) -> bool:
    """Return True if the rules select a claim by its number: a keyed hash, repeatable and not predictable."""
    draw = int(hashlib.sha256(city.encryption.digest("audit", claim.id).encode()).hexdigest(), 16) % DRAW_RANGE
    return city.rulebook.evaluate(benefits.audit_module, benefits.audit_facts(claim, draw), now).result == "audit"


def record_audit(claim: C, audit: Audit, now: datetime, term: Terms) -> C:
    """Record the result of an audit and claim back what was paid in excess.

    Open instalments in excess are withheld, and reduced once no appeal can be won.
    """
    claim = replace(claim, audit=audit, failures=0)
    if not audit.differing_facts or audit.entitled_fen >= claim.sum_fen("open", "paid"):
        return claim
    overpaid_fen = max(0, claim.paid_fen - audit.entitled_fen)
    appeal_until = now + timedelta(days=term("appeal_days"))
    clawback = Clawback(overpaid_fen, now, appeal_until, appeal_until + timedelta(days=term("repay_days")))
    claim = replace(claim, clawback=clawback)
    if overpaid_fen:
        return notify(claim, "clawed_back", overpaid_fen, now)
    return notify(claim, "reduction_announced", claim.excess_fen, now)


def reduce_open_instalments(claim: C, now: datetime, _term: Terms) -> C:
    """Reduce the open instalments to the audited amount, the last one first, and release the rest to the budget."""
    assert claim.audit is not None, "the audit gives the amount"
    allowed_fen = max(0, claim.audit.entitled_fen - claim.paid_fen)
    instalments: list[ClaimInstalment] = []
    for instalment in claim.instalments:
        amount_fen = instalment.amount_fen
        if instalment.state == "open":
            amount_fen = min(amount_fen, allowed_fen)
            allowed_fen -= amount_fen
        if amount_fen:
            instalments.append(replace(instalment, amount_fen=amount_fen))
    reduced = replace(claim, instalments=tuple(instalments))
    reduction_fen = claim.sum_fen("open") - reduced.sum_fen("open")
    return notify(prepare_entry(reduced, "release", reduction_fen, now), "reduced", reduction_fen, now)


# ── appeals ──


def file_appeal(claim: C, now: datetime, *, text: str) -> C:
    """Appeal against a claw-back or a reduction of open instalments. Raises NothingToAppeal."""
    clawback = claim.clawback
    if clawback is not None and clawback.appeal is not None and clawback.appeal.text == text:
        return claim
    if clawback is None or clawback.appeal is not None or now >= clawback.appeal_until or clawback.may_have_collected:
        raise NothingToAppeal(
            zh="没有可申诉的事项，或已过申诉期。", en="There is nothing to appeal, or the time for an appeal is over."
        )
    return replace(claim, clawback=replace(clawback, appeal=Appeal(text, now)))


def decide_appeal(claim: C, now: datetime, *, decision_upheld: bool, reason: Text) -> C:
    """Decide an appeal: the decision of the audit is upheld, or dropped. Raises NothingToAppeal."""
    clawback = claim.clawback
    appeal = clawback.appeal if clawback is not None else None
    if appeal is not None and (appeal.decision_upheld, appeal.reason) == (decision_upheld, reason):
        return claim
    if clawback is None or appeal is None or appeal.decided_at is not None:
        raise NothingToAppeal(
            zh="该申领没有待处理的申诉，或申诉已有不同的决定。",
            en="This claim has no appeal, or its appeal was already decided differently.",
        )
    decided = replace(appeal, decided_at=now, decision_upheld=decision_upheld, reason=reason)
    collect_at = max(clawback.collect_at, now + (clawback.collect_at - clawback.appeal_until))
    dropped_at = None if decision_upheld else now
    changed = replace(clawback, appeal=decided, collect_at=collect_at, dropped_at=dropped_at)
    if clawback.amount_fen > 0:
        kind = "appeal_rejected" if decision_upheld else "appeal_granted"
    else:
        kind = "reduction_confirmed" if decision_upheld else "reduction_cancelled"
    return notify(replace(claim, clawback=changed), kind, clawback.amount_fen, now)
