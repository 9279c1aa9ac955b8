"""Registration of claims with their claimant: it decides between concurrent claims that exclude one another."""

from datetime import datetime

from msgspec.structs import replace

from backend.benefits.claim import C
from backend.benefits.claimant import PastClaim
from backend.benefits.offers import claim_restriction
from backend.benefits.problems import AlreadyClaimed
from backend.benefits.reservations import reserve
from backend.benefits.service import Benefits, P
from backend.city.service import City
from backend.store.update import update_document


async def register(benefits: Benefits[C, P], city: City, claim: C, now: datetime, claimant: P | None = None) -> C:
    """Add a claim to its claimant's past claims, and reserve its money.

    `claimant` is the claimant as read before, if the caller has it. Raises AlreadyClaimed if another claim excludes
    this one, which is then deleted.
    """
    try:
        registered = await update_document(
            city.store,
            lambda: city.store.get(benefits.claimant, claim.subject),
            lambda found: _with_claim(benefits, city, found, claim),
            in_hand=claimant,
        )
    except AlreadyClaimed:
        await city.store.delete(claim)
        raise
    assert registered is not None, "a claimant is never deleted"
    claimed = replace(
        claim,
        state="claimed",
        account=registered.account,
        entitlement_lost=claim.entitlement_lost or benefits.entitlement_lost(registered, claim),
    )
    return await reserve(benefits, city, claimed, now)


def _with_claim(benefits: Benefits[C, P], city: City, claimant: P, claim: C) -> P:
    if any(past.claim == claim.id for past in claimant.past_claims):
        return claimant
    offers = benefits.offers(city)
    restriction = claim_restriction(claimant, claim.benefit, offers.terms, claim.claimed_at)
    if restriction is not None:
        raise AlreadyClaimed(offers.restriction_reason(restriction), ends_at=restriction.ends_at)
    return replace(claimant, past_claims=(*claimant.past_claims, PastClaim(claim.id, claim.benefit, claim.claimed_at)))


async def unblock(benefits: Benefits[C, P], city: City, claim: C, _now: datetime) -> C:
    """Remove a failed or withdrawn claim from its claimant's past claims: it restricts others no longer."""

    def without(claimant: P) -> P:
        left = tuple(past for past in claimant.past_claims if past.claim != claim.id)
        return claimant if len(left) == len(claimant.past_claims) else replace(claimant, past_claims=left)

    await update_document(city.store, lambda: city.store.get(benefits.claimant, claim.subject), without)
    return replace(claim, unblocked=True)


async def check_progress(benefits: Benefits[C, P], city: City, claim: C, now: datetime) -> C:
    """Query the progress of a claim; instalments that are due by it are paid next."""
    return replace(claim, progress=await benefits.progress(city, claim), progress_checked_at=now, failures=0)
