"""The sagas of the talent code: reviews of talents, and claims, whose whole process is in `backend.benefits.saga`."""

from datetime import datetime

from msgspec.structs import replace

from backend.benefits.claims import lose_entitlement
from backend.benefits.saga import claim_saga
from backend.benefits.service import Benefits
from backend.city.bank_cards import payee_name
from backend.city.service import City
from backend.city.upstream import UpstreamRejected, UpstreamTimeout
from backend.i18n import Text
from backend.jobs.saga import Decision, Saga
from backend.jobs.tasks import TaskReference
from backend.services.talent_code.audits import audit_facts, verified_facts
from backend.services.talent_code.facts import BenefitTerms
from backend.services.talent_code.model.claim import Budget, Claim
from backend.services.talent_code.model.grants import reassess, reschedule
from backend.services.talent_code.model.talent import Talent, TalentTerms, request_recheck
from backend.services.talent_code.registries import insured_months
from backend.services.talent_code.review import (
    check_due_evidence,
    next_review_step,
    notify_talent,
    release_former_cards,
)
from backend.services.talent_code.rule_modules import AUDIT_MODULE

advance_claim = TaskReference("talent_code.advance_claim")
serve_waitlist = TaskReference("talent_code.serve_waitlist")
review_talent = TaskReference("talent_code.review_talent")

benefits = Benefits(
    claim=Claim,
    claimant=Talent,
    budget=Budget,
    offer=BenefitTerms,
    shown_in=Text(zh="人才码", en="your talent code"),
    terms=lambda city, now: TalentTerms(city.rulebook, now),
    payee=lambda city, claim: payee_name(city, claim.subject),
    facts=lambda claim: claim.facts,
    progress=lambda city, claim: insured_months(city, claim.subject),
    entitlement_lost=lambda talent, claim: talent.lost_class_since(claim.claimed_at),
    audit_module=AUDIT_MODULE,
    audit_facts=audit_facts,
    verified_facts=verified_facts,
    advance_claim=advance_claim,
    serve_waitlist=serve_waitlist,
)

claims = claim_saga(benefits)


async def _stop_claims(city: City, talent: Talent, _now: datetime) -> Talent:
    """Cancel the open instalments of claims by a class that was withdrawn, where their terms say so."""
    await lose_entitlement(claims, city, talent)
    return replace(talent, withdrawn_at=None, failures=0)


reviews = Saga(
    kind=Talent,
    next_step=next_review_step,
    schedule=reschedule,
    terms=lambda city, now: TalentTerms(city.rulebook, now),
    task=review_talent,
    unavailable=(UpstreamTimeout, UpstreamRejected),
    steps={
        "request_recheck": Decision(request_recheck),
        "check_evidence": check_due_evidence,
        "reassess": Decision(reassess),
        "stop_claims": _stop_claims,
        "release_cards": release_former_cards,
        "notify": notify_talent,
    },
)
"""Check due evidence, update the class, release replaced bank cards, and notify the person."""
