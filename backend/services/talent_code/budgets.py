"""Making entries in budgets: in one process all that wait for the same budget are made with one write."""

import asyncio
import random
from datetime import datetime
from typing import Literal
from weakref import WeakKeyDictionary

from msgspec.structs import replace

from backend.city.service import City
from backend.services.talent_code.facts import BenefitTerms
from backend.services.talent_code.model.benefit import terms_in
from backend.services.talent_code.model.budget import (
    Budget,
    Entry,
    NoBudget,
    Overtaken,
    budget_id,
    drop,
    droppable,
    make_entry,
)
from backend.services.talent_code.model.claim import Claim, has_noted
from backend.store import Conflict, Duplicate, Store

MAX_ATTEMPTS = 200
"""Of several processes one always wins, so that many at once are all served."""

DROPPED_AT_ONCE = 200

Outcome = Literal["made", "no_budget"] | datetime
"""What came of an entry; an instant says that it was overtaken by what is closed until then."""


class _Asked:
    """An entry that waits to be made."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.outcome: Outcome | None = None


class _Desk:
    """Where a process makes its entries in one budget, one batch after the other."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting: list[_Asked] = []


_desks: WeakKeyDictionary[Store, dict[str, _Desk]] = WeakKeyDictionary()


async def enter(city: City, budget: str, entry: Entry) -> None:
    """Make an entry, durably and once. Raises NoBudget, Overtaken, or Conflict if others kept changing the budget."""
    desk = _desks.setdefault(city.store, {}).setdefault(budget, _Desk())
    asked = _Asked(entry)
    desk.waiting.append(asked)
    try:
        async with desk.lock:
            if asked.outcome is None:
                await _make(city, budget, list(desk.waiting))
    finally:
        desk.waiting.remove(asked)
    outcome = asked.outcome
    assert outcome is not None, "it was made, by this task or by the one before it"
    if outcome == "no_budget":
        raise NoBudget
    if isinstance(outcome, datetime):
        raise Overtaken(outcome)


async def _make(city: City, budget: str, batch: list[_Asked]) -> None:
    """Make a batch of entries with one write."""
    for attempt in range(MAX_ATTEMPTS):
        found = await open_budget(city, budget)
        changed, outcomes = _with_entries(found, batch)
        if changed.entries is not found.entries:
            changed = await _without_noted(city, changed)
            try:
                await city.store.replace(changed)
            except Conflict:
                await asyncio.sleep(random.uniform(0, 0.001 * min(attempt, 10)))  # noqa: S311  spreads the writers
                continue
        for asked, outcome in zip(batch, outcomes, strict=True):
            asked.outcome = outcome
        return
    raise Conflict(Budget.collection, budget, 0)


def _with_entries(budget: Budget, batch: list[_Asked]) -> tuple[Budget, list[Outcome]]:
    outcomes: list[Outcome] = []
    for asked in batch:
        try:
            budget = make_entry(budget, asked.entry)
            outcomes.append("made")
        except NoBudget:
            outcomes.append("no_budget")
        except Overtaken as overtaken:
            outcomes.append(overtaken.closed_until)
    return budget, outcomes


async def _without_noted(city: City, budget: Budget) -> Budget:
    """Drop what claims have noted, where there are many entries."""
    old = droppable(budget, city.now())[:DROPPED_AT_ONCE]
    if not old:
        return budget
    claims = await city.store.get_many(Claim, list({entry.claim for entry in old}))
    return drop(budget, {one.id for one in old if one.claim in claims and has_noted(claims[one.claim], one)})


async def open_budget(city: City, budget: str) -> Budget:
    """Give a budget, with limit and quota as the terms have them now; it is opened where there is none yet."""
    benefit, _, year = budget.rpartition(":")
    terms = terms_in(city.rulebook)(benefit, city.now())
    found = await city.store.get(Budget, budget)
    if found is None:
        try:
            return await city.store.insert(_bounded(Budget(id=budget, limit_fen=0), terms, int(year), city))
        except Duplicate:
            return await open_budget(city, budget)
    return _bounded(found, terms, int(year), city)


def _bounded(budget: Budget, terms: BenefitTerms | None, year: int, city: City) -> Budget:
    """Bound a budget as the terms of now do; those of another year stay as they were last."""
    if terms is None or terms.budget_fen is None or year != city.today().year:
        return budget
    if (budget.limit_fen, budget.quota) == (terms.budget_fen, terms.quota):
        return budget
    return replace(budget, limit_fen=terms.budget_fen, quota=terms.quota)


def current_budget(city: City, benefit: str) -> str:
    """Give the id of the budget from which a claim is paid that is granted now."""
    return budget_id(benefit, city.today().year)
