"""The waiting list of a benefit whose budget was used up: everyone it now covers is paid, earliest first."""

from datetime import datetime

from msgspec.structs import replace

from backend.city.service import City
from backend.services.talent_code.budgets import current_budget_id, get_or_create_budget
from backend.services.talent_code.model.benefit import benefit_names, terms_lookup
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.steps import reserve
from backend.services.talent_code.saga import advance_claim, update_claim
from backend.store import Order

PAGE = 200


async def serve_waitlist(city: City, benefit: str) -> None:
    """Pay all waiting claims to a benefit that its budget covers now.

    A claim that is too large for the rest of the budget does not hold up smaller ones behind it.
    """
    budget = current_budget_id(city, benefit)
    ended = terms_lookup(city.rulebook)(benefit, city.now()) is None
    cursor: str | None = None
    while True:
        page = await city.store.find(Claim, {"waitlist": benefit}, order=Order("claimed_ms"), cursor=cursor, limit=PAGE)
        if page.documents and cursor is None and not ended:
            await _serve_reserved(city, budget)
        current = await get_or_create_budget(city, budget)
        for claim in page.documents:
            if ended or current.covers(claim.amount_fen):
                await _serve(city, claim, None if ended else budget)
                current = await get_or_create_budget(city, budget)
            elif current.free_fen == 0 or current.quota_is_full:
                return
        cursor = page.cursor
        if cursor is None:
            return


async def _serve_reserved(city: City, budget: str) -> None:
    """Serve claims anywhere in the list whose money was reserved by a slow process after they joined the list."""
    entries = (await get_or_create_budget(city, budget)).entries
    reserved = {entry.claim for entry in entries if entry.kind == "reserve"}
    for claim in (await city.store.get_many(Claim, sorted(reserved))).values():
        if claim.state == "waiting" and claim.budget == budget:
            await _serve(city, claim, budget)


async def _serve(city: City, claim: Claim, budget: str | None) -> None:
    """Reserve a claim's money in a budget, after releasing what last year's budget may still hold for it."""

    def serve(claim: Claim, now: datetime) -> Claim:
        if claim.state != "waiting":
            return claim
        if budget is None or claim.budget not in (None, budget):
            return replace(claim, state="claimed", waitlist=None)
        return reserve(claim, budget, now)

    await update_claim(city, claim.id, serve)
    await advance_claim(city, claim.id)


async def serve_all_waitlists(city: City) -> None:
    """Serve the waiting list of every benefit."""
    for benefit in benefit_names(city.rulebook):
        await serve_waitlist(city, benefit)
