"""Budgets in the store: entries of many claims are applied with one write, and recorded ones are pruned."""

from msgspec.structs import replace

from backend.benefits.budget import Budget, Entry, apply_entry, budget_id, prunable_entries, prune_entries
from backend.benefits.claim import has_recorded
from backend.benefits.service import AnyBenefits
from backend.city.service import City
from backend.store.grouped_updates import update_grouped
from backend.store.update import insert_or_get

PRUNE_BATCH_SIZE = 200


async def apply_to_budget(benefits: AnyBenefits, city: City, budget: str, entry: Entry) -> None:
    """Apply an entry durably and once. Raises BudgetExhausted, StaleEntry, or Conflict after too many attempts."""
    await update_grouped(
        city.store,
        benefits.budget,
        budget,
        load=lambda: get_or_create_budget(benefits, city, budget),
        change=lambda found: apply_entry(found, entry),
        before_write=lambda changed: _prune(benefits, city, changed),
    )


async def _prune(benefits: AnyBenefits, city: City, budget: Budget) -> Budget:
    """Drop entries that their claims have already recorded, if there are many."""
    old = prunable_entries(budget, city.now())[:PRUNE_BATCH_SIZE]
    if not old:
        return budget
    claims = await city.store.get_many(benefits.claim, list({entry.claim for entry in old}))
    recorded = {one.id for one in old if one.claim in claims and has_recorded(claims[one.claim], one)}
    return prune_entries(budget, recorded)


async def get_or_create_budget(benefits: AnyBenefits, city: City, budget: str) -> Budget:
    """Return a budget, created if missing, with the limit and quota of the terms in force now.

    Budgets of other years keep their last ones.
    """
    benefit, _, year = budget.rpartition(":")
    terms = benefits.offers(city).terms(benefit, city.now())
    found = await city.store.get(benefits.budget, budget)
    known = found or benefits.budget(id=budget, limit_fen=0)
    if terms is not None and terms.budget_fen is not None and int(year) == city.today().year:
        known = replace(known, limit_fen=terms.budget_fen, quota=terms.quota)
    return known if found is not None else await insert_or_get(city.store, known)


async def get_current_budget(benefits: AnyBenefits, city: City, benefit: str) -> Budget:
    """Return the budget that pays for claims granted now."""
    return await get_or_create_budget(benefits, city, budget_id(benefit, city.today().year))
