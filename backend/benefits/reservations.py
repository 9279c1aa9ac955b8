"""Register a claim with its claimant, then reserve its money or put it on the waiting list."""

from contextlib import suppress
from datetime import datetime

from msgspec.structs import replace

from backend.benefits.accounts import with_account
from backend.benefits.budget import BudgetExhausted, StaleEntry, budget_id
from backend.benefits.budgets import apply_to_budget
from backend.benefits.claim import TICK, C, PastClaim, cancel_remaining, notify, prepare_entry, record_entry
from backend.benefits.notifications import send_notification
from backend.benefits.problems import AlreadyClaimed
from backend.benefits.service import AnyBenefits, Benefits, P
from backend.city.service import City
from backend.store import Order
from backend.store.grouped_reads import read_together
from backend.store.update import update_document


async def register(benefits: Benefits[C, P], city: City, claim: C, now: datetime, claimant: P | None = None) -> C:
    """Add a claim to its claimant's past claims, and reserve its money.

    `claimant` is the claimant as read before, if the caller has it. A reservation that was stored with the draft is
    applied in the same step, whatever the waiting list is now: it may have been applied before. Raises AlreadyClaimed
    if another claim excludes this one, which is then deleted.
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
        with_account(city, claim, registered),
        state="claimed",
        entitlement_lost=claim.entitlement_lost or benefits.entitlement_lost(registered, claim),
    )
    if claim.entry is None:
        reserving = await reserve(benefits, city, claimed, now)
        return await _tell(benefits, city, reserving, now) if reserving.state == "waiting" else reserving
    if claim.budget != budget_id(claim.benefit, city.today().year):
        return _void(claimed, now)
    return await post_entry(benefits, city, claimed, now)


def _with_claim(benefits: Benefits[C, P], city: City, claimant: P, claim: C) -> P:
    if any(past.claim == claim.id for past in claimant.past_claims):
        return claimant
    benefits.offers(city).check_restrictions(claimant, claim.benefit, claim.claimed_at)
    return replace(claimant, past_claims=(*claimant.past_claims, PastClaim(claim.id, claim.benefit, claim.claimed_at)))


async def unblock(benefits: Benefits[C, P], city: City, claim: C, _now: datetime) -> C:
    """Remove a failed or withdrawn claim from its claimant's past claims, so that it no longer restricts others."""

    def without(claimant: P) -> P:
        left = tuple(past for past in claimant.past_claims if past.claim != claim.id)
        return claimant if len(left) == len(claimant.past_claims) else replace(claimant, past_claims=left)

    await update_document(city.store, lambda: city.store.get(benefits.claimant, claim.subject), without)
    return replace(claim, unblocked=True)


async def withdraw_deleted(benefits: Benefits[C, P], city: City, claim: C) -> None:
    """Take back what was registered and reserved for a draft that another process found excluded, and deleted."""
    if claim.entry is not None and claim.budget is not None:
        void = _void(claim, city.now()).entry
        assert void is not None, "it was just prepared"
        with suppress(StaleEntry):  # the budget has closed: nothing was reserved
            await apply_to_budget(benefits, city, claim.budget, void)
    await unblock(benefits, city, claim, city.now())


def _void(claim: C, now: datetime) -> C:
    """Prepare the entry that takes back what was reserved: a late entry must never reserve in last year's budget."""
    return prepare_entry(replace(claim, entry=None), "void", 0, now)


async def reserve(benefits: AnyBenefits, city: City, claim: C, now: datetime) -> C:
    """Prepare the reservation in this year's budget; a claim made after one that still waits joins the list."""
    budget = budget_id(claim.benefit, city.today().year)
    if claim.budget not in (None, budget):
        return _void(claim, now)
    if benefits.offers(city).terms(claim.benefit, now) is None:
        return cancel_remaining(claim, now, "cancelled")  # the benefit is no longer available
    first = await read_together(
        city.store, (benefits.claim, claim.benefit), lambda: first_waiting(benefits, city, claim.benefit)
    )
    if first is not None and first.claimed_ms <= claim.claimed_ms:
        return join_waitlist(claim, now)
    return prepare_reservation(claim, budget, now)


async def first_waiting(benefits: Benefits[C, P], city: City, benefit: str) -> C | None:
    """Return the first claim on the waiting list of a benefit, or None."""
    page = await city.store.find(benefits.claim, {"waitlist": benefit}, order=Order("claimed_ms"), limit=1)
    return next(iter(page.documents), None)


async def post_entry(benefits: AnyBenefits, city: City, claim: C, now: datetime) -> C:
    """Apply the entry in progress to its budget, record the result, and send the notification of it."""
    entry, budget = claim.entry, claim.budget
    assert entry is not None, "there is an entry to apply"
    assert budget is not None, "an entry belongs to a budget"
    try:
        await apply_to_budget(benefits, city, budget, entry)
    except BudgetExhausted:
        return await _tell(benefits, city, join_waitlist(claim, now), now)
    except StaleEntry as stale:
        later = max(now, stale.closed_until + TICK)  # it was never applied, or the budget would know it
        return replace(claim, entry=replace(entry, decided_at=later), decided_at=later)
    if entry.kind not in ("reserve", "pay"):  # it freed money or quota for waiting claims
        await benefits.serve_waitlist.enqueue(city.jobs, claim.benefit)
    return await _tell(benefits, city, record_entry(claim, entry), now)


async def _tell(benefits: AnyBenefits, city: City, claim: C, now: datetime) -> C:
    """Send a notification, if one is unsent: what it tells is in the budget already."""
    if all(notification.sent for notification in claim.notifications):
        return claim
    return await send_notification(benefits, city, claim, now)


def prepare_reservation(claim: C, budget: str, now: datetime) -> C:
    """Prepare the entry that reserves a claim's money in a budget."""
    claimed = replace(claim, budget=budget, state="claimed", waitlist=None)
    return prepare_entry(claimed, "reserve", claim.amount_fen, now, quota_delta=1)


def join_waitlist(claim: C, now: datetime) -> C:
    """Put a claim on the waiting list; the subject is notified once."""
    waiting = replace(claim, entry=None, state="waiting", waitlist=claim.benefit)
    notified = any(notification.kind == "waiting" for notification in claim.notifications)
    return waiting if notified else notify(waiting, "waiting", claim.amount_fen, now)
