"""Entries in budgets: one process applies all pending entries of a budget with one write."""

import asyncio
import random
from datetime import datetime
from typing import Literal
from weakref import WeakKeyDictionary

from msgspec.structs import replace

from backend.city.service import City
from backend.services.talent_code.facts import BenefitTerms
from backend.services.talent_code.model.benefit import terms_lookup
from backend.services.talent_code.model.budget import (
    Budget,
    BudgetExhausted,
    Entry,
    StaleEntry,
    apply_entry,
    budget_id,
    prunable_entries,
    prune_entries,
)
from backend.services.talent_code.model.claim import Claim, has_recorded
from backend.store import Conflict, Duplicate, Store

MAX_ATTEMPTS = 200
"""One of several competing processes always wins, so many of them are all served."""

PRUNE_BATCH_SIZE = 200

EntryOutcome = Literal["applied", "budget_exhausted"] | datetime
"""The outcome of an entry; an instant means that it is stale, because the budget is closed until then."""


class _PendingEntry:
    """An entry that waits to be applied."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.outcome: EntryOutcome | None = None


class _EntryQueue:
    """The pending entries of one budget in this process, applied one batch after the other."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting: list[_PendingEntry] = []


_entry_queues: WeakKeyDictionary[Store, dict[str, _EntryQueue]] = WeakKeyDictionary()


async def post_entry(city: City, budget: str, entry: Entry) -> None:
    """Apply an entry durably and once. Raises BudgetExhausted, StaleEntry, or Conflict after too many attempts."""
    queue = _entry_queues.setdefault(city.store, {}).setdefault(budget, _EntryQueue())
    pending = _PendingEntry(entry)
    queue.waiting.append(pending)
    try:
        async with queue.lock:
            if pending.outcome is None:
                await _write_batch(city, budget, list(queue.waiting))
    finally:
        queue.waiting.remove(pending)
    outcome = pending.outcome
    assert outcome is not None, "it was applied, by this task or by the one before it"
    if outcome == "budget_exhausted":
        raise BudgetExhausted
    if isinstance(outcome, datetime):
        raise StaleEntry(outcome)


async def _write_batch(city: City, budget: str, batch: list[_PendingEntry]) -> None:
    """Apply a batch of entries with one write."""
    for attempt in range(MAX_ATTEMPTS):
        found = await get_or_create_budget(city, budget)
        changed, outcomes = _apply_batch(found, batch)
        if changed.entries is not found.entries:
            changed = await _prune(city, changed)
            try:
                await city.store.replace(changed)
            except Conflict:
                await asyncio.sleep(random.uniform(0, 0.001 * min(attempt, 10)))  # noqa: S311  spreads the writers
                continue
        for pending, outcome in zip(batch, outcomes, strict=True):
            pending.outcome = outcome
        return
    raise Conflict(Budget.collection, budget, 0)


def _apply_batch(budget: Budget, batch: list[_PendingEntry]) -> tuple[Budget, list[EntryOutcome]]:
    outcomes: list[EntryOutcome] = []
    for pending in batch:
        try:
            budget = apply_entry(budget, pending.entry)
            outcomes.append("applied")
        except BudgetExhausted:
            outcomes.append("budget_exhausted")
        except StaleEntry as stale:
            outcomes.append(stale.closed_until)
    return budget, outcomes


async def _prune(city: City, budget: Budget) -> Budget:
    """Drop entries that their claims have already recorded, if there are many."""
    old = prunable_entries(budget, city.now())[:PRUNE_BATCH_SIZE]
    if not old:
        return budget
    claims = await city.store.get_many(Claim, list({entry.claim for entry in old}))
    recorded = {one.id for one in old if one.claim in claims and has_recorded(claims[one.claim], one)}
    return prune_entries(budget, recorded)


async def get_or_create_budget(city: City, budget: str) -> Budget:
    """Return a budget, created if missing, with the limit and quota of the terms in force now."""
    benefit, _, year = budget.rpartition(":")
    terms = terms_lookup(city.rulebook)(benefit, city.now())
    found = await city.store.get(Budget, budget)
    if found is None:
        try:
            return await city.store.insert(_with_limits(Budget(id=budget, limit_fen=0), terms, int(year), city))
        except Duplicate:
            return await get_or_create_budget(city, budget)
    return _with_limits(found, terms, int(year), city)


def _with_limits(budget: Budget, terms: BenefitTerms | None, year: int, city: City) -> Budget:
    """Set limit and quota to those of the terms in force now; budgets of other years keep their last ones."""
    if terms is None or terms.budget_fen is None or year != city.today().year:
        return budget
    if (budget.limit_fen, budget.quota) == (terms.budget_fen, terms.quota):
        return budget
    return replace(budget, limit_fen=terms.budget_fen, quota=terms.quota)


def current_budget_id(city: City, benefit: str) -> str:
    """Return the id of the budget that pays for claims granted now."""
    return budget_id(benefit, city.today().year)
