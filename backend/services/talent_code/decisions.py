"""The classes and claims that were decided, with their facts."""

from collections.abc import AsyncIterator
from datetime import datetime

from backend.city.decisions import StoredDecision
from backend.city.service import City
from backend.services.talent_code.declared import facts_of_claim
from backend.services.talent_code.model.benefit import offers_of
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.grants import CLASS_MODULE
from backend.services.talent_code.model.talent import Talent, talent_facts


async def class_decisions(city: City, since: datetime) -> AsyncIterator[StoredDecision]:
    """Yield each class that was granted since an instant; its facts are derived from the evidence confirmed by now."""
    async for talent in city.store.scan(Talent):
        for grant in talent.grants:
            if grant.granted_at >= since:
                yield StoredDecision(
                    module=CLASS_MODULE,
                    id=f"{talent.id}@{grant.granted_at.isoformat()}",
                    at=grant.granted_at,
                    result=grant.talent_class,
                    rule=grant.rule,
                    rulebook=grant.rulebook,
                    facts=talent_facts(talent, grant.granted_at, city.rulebook.time_zone),
                )


async def claim_decisions(city: City, since: datetime) -> AsyncIterator[StoredDecision]:
    """Yield each claim since an instant with the facts that it keeps.

    The facts are None if the benefit is gone, or asks other questions now.
    """
    offers = offers_of(city.rulebook)
    async for claim in city.store.scan(Claim):
        if claim.claimed_at >= since:
            yield StoredDecision(
                module=offers.module(claim.benefit),
                id=claim.id,
                at=claim.claimed_at,
                result=claim.figure,
                rule=claim.rule,
                rulebook=claim.rulebook,
                facts=facts_of_claim(offers, claim),
            )
