"""The line of those for whom the budget did not suffice: whoever it suffices for is paid, the earliest first."""

from datetime import datetime

from msgspec.structs import replace

from backend.city.service import City
from backend.services.talent_code.advancing import advance, change_claim, reserving
from backend.services.talent_code.budgets import current_budget, open_budget
from backend.services.talent_code.model.benefit import benefit_names, terms_in
from backend.services.talent_code.model.claim import Claim
from backend.store import Order

PAGE = 200


async def serve_line(city: City, benefit: str) -> None:
    """Pay all who wait for a benefit and for whom its budget suffices now.

    A claim that is too large for what is left does not hold up smaller ones after it, so that no budget lies idle.
    """
    budget = current_budget(city, benefit)
    ended = terms_in(city.rulebook)(benefit, city.now()) is None
    cursor: str | None = None
    while True:
        page = await city.store.find(Claim, {"line": benefit}, order=Order("claimed_ms"), cursor=cursor, limit=PAGE)
        if page.documents and cursor is None and not ended:
            await _serve_reserved(city, budget)
        left = await open_budget(city, budget)
        for claim in page.documents:
            if ended or left.leaves(claim.amount_fen):
                await _serve(city, claim, None if ended else budget)
                left = await open_budget(city, budget)
            elif left.free_fen == 0 or left.is_full:
                return
        cursor = page.cursor
        if cursor is None:
            return


async def _serve_reserved(city: City, budget: str) -> None:
    """Serve those, wherever they stand, for whom money was reserved by somebody who was slow and taken for cut off."""
    entries = (await open_budget(city, budget)).entries
    reserved = {entry.claim for entry in entries if entry.kind == "reserve"}
    for claim in (await city.store.get_many(Claim, sorted(reserved))).values():
        if claim.state == "waiting" and claim.budget == budget:
            await _serve(city, claim, budget)


async def _serve(city: City, claim: Claim, budget: str | None) -> None:
    """Have a claim's money reserved in a budget; where last year's may still hold some of it, that comes first."""

    def serve(claim: Claim, now: datetime) -> Claim:
        if claim.state != "waiting":
            return claim
        if budget is None or claim.budget not in (None, budget):
            return replace(claim, state="claimed", line=None)
        return reserving(claim, budget, now)

    await change_claim(city, claim.id, serve)
    await advance(city, claim.id)


async def serve_all_lines(city: City) -> None:
    """Serve the line of every benefit."""
    for benefit in benefit_names(city.rulebook):
        await serve_line(city, benefit)
