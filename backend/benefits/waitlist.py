"""The waiting list of a benefit whose budget was used up: everyone it now covers is paid, earliest first."""

from datetime import datetime
from functools import partial

from msgspec.structs import replace

from backend.benefits.budgets import current_budget_id, get_or_create_budget
from backend.benefits.claim import C
from backend.benefits.reservations import prepare_reservation
from backend.benefits.saga import ClaimSaga
from backend.benefits.service import P
from backend.city.service import City
from backend.store import Order
from backend.store.paging import find_pages


async def serve_waitlist(saga: ClaimSaga[C, P], city: City, benefit: str) -> None:
    """Pay all waiting claims to a benefit that its budget covers now.

    A claim that is too large for the rest of the budget does not hold up smaller ones behind it.
    """
    benefits, budget = saga.benefits, current_budget_id(city, benefit)
    ended = benefits.offers(city).terms(benefit, city.now()) is None
    is_first = True
    async for page in find_pages(city.store, benefits.claim, {"waitlist": benefit}, Order("claimed_ms")):
        if page and is_first and not ended:
            await _serve_reserved(saga, city, budget)
        is_first = False
        current = await get_or_create_budget(benefits, city, budget)
        for claim in page:
            if ended or current.covers(claim.amount_fen):
                await saga.decide(city, claim, partial(_serve, budget=None if ended else budget))
                current = await get_or_create_budget(benefits, city, budget)
            elif current.free_fen == 0 or current.quota_is_full:
                return


async def _serve_reserved(saga: ClaimSaga[C, P], city: City, budget: str) -> None:
    """Serve claims anywhere in the list whose money was reserved by a slow process after they joined the list."""
    entries = (await get_or_create_budget(saga.benefits, city, budget)).entries
    reserved = {entry.claim for entry in entries if entry.kind == "reserve"}
    for claim in (await city.store.get_many(saga.kind, sorted(reserved))).values():
        if claim.state == "waiting" and claim.budget == budget:
            await saga.decide(city, claim, partial(_serve, budget=budget))


def _serve(claim: C, now: datetime, budget: str | None) -> C:
    """Reserve a claim's money in a budget, after releasing what last year's budget may still hold for it."""
    if claim.state != "waiting":
        return claim
    if budget is None or claim.budget not in (None, budget):
        return replace(claim, state="claimed", waitlist=None)
    return prepare_reservation(claim, budget, now)


async def serve_all_waitlists(saga: ClaimSaga[C, P], city: City) -> None:
    """Serve the waiting list of every benefit."""
    for benefit in saga.benefits.offers(city).names():
        await serve_waitlist(saga, city, benefit)
