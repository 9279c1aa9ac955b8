"""The waiting list of a benefit whose budget was used up: everyone it now covers is paid, earliest first."""

from datetime import datetime
from functools import partial

from msgspec.structs import replace

from backend.benefits.budget import Budget
from backend.benefits.budgets import get_current_budget
from backend.benefits.claim import C, cancel_instalments
from backend.benefits.problems import NotOnWaitlist
from backend.benefits.reservations import first_waiting, prepare_reservation
from backend.benefits.saga import ClaimSaga
from backend.benefits.service import P
from backend.city.service import City
from backend.store import Order
from backend.store.paging import find_all


async def serve_waitlist(saga: ClaimSaga[C, P], city: City, benefit: str) -> None:
    """Pay all waiting claims to a benefit that its budget covers now.

    A claim that is too large for the rest of the budget does not hold up smaller ones behind it. Once the budget does
    not cover the smallest one, no more of the list is read.
    """
    benefits = saga.benefits
    ended = benefits.offers(city).terms(benefit, city.now()) is None
    budget = await get_current_budget(benefits, city, benefit)
    if await first_waiting(benefits, city, benefit) is None:
        return
    if not ended:
        await _serve_reserved(saga, city, budget)
    covers_one = ended or await _covers_one(saga, city, benefit, budget)
    if not covers_one:
        return
    async for claim in find_all(city.store, benefits.claim, {"waitlist": benefit}, Order("claimed_ms")):
        if ended or budget.covers(claim.amount_fen):
            await saga.decide(city, claim, partial(_serve, budget=None if ended else budget.id))
            budget = await get_current_budget(benefits, city, benefit)
            covers_one = ended  # the smallest claim may have been this one, or the rest may not cover it any more
        elif not covers_one:
            covers_one = await _covers_one(saga, city, benefit, budget)
            if not covers_one:
                return


async def _covers_one(saga: ClaimSaga[C, P], city: City, benefit: str, budget: Budget) -> bool:
    """Return whether the budget covers the smallest claim on the waiting list."""
    smallest = Order("amount_fen")
    page = await city.store.find(saga.benefits.claim, {"waitlist": benefit}, order=smallest, limit=1)
    return any(budget.covers(claim.amount_fen) for claim in page.documents)


async def _serve_reserved(saga: ClaimSaga[C, P], city: City, budget: Budget) -> None:
    """Serve claims anywhere in the list whose money was reserved by a slow process after they joined the list."""
    reserved = {entry.claim for entry in budget.entries if entry.kind == "reserve"}
    for claim in (await city.store.get_many(saga.kind, sorted(reserved))).values():
        if claim.state == "waiting" and claim.budget == budget.id:
            await saga.decide(city, claim, partial(_serve, budget=budget.id))


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


def leave_waitlist(claim: C, now: datetime) -> C:
    """Withdraw a claim from the waiting list, at its subject's request. Raises NotOnWaitlist."""
    if claim.state == "withdrawn":
        return claim
    if claim.state != "waiting":
        raise NotOnWaitlist(zh="该申领不在排队中，不能撤回。", en="This claim is not on the waiting list.")
    return cancel_instalments(claim, "withdrawn", now)
