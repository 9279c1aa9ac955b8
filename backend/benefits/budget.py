"""The budget of a benefit for one year: money is reserved for a claim, then paid or released, and never overspent.

All claims to a benefit share one budget document, so it holds sums, not claims. `entries` are those that their claims
may not have recorded yet; they make a repeated entry a no-op. An entry that its claim has recorded may be pruned.
A process that still holds a pruned entry prepared it no later than `closed_until`, so it is refused. Each entry is
therefore applied once, however late or often it arrives, and the document stays small. Amounts are in fen.
"""

from collections.abc import Container
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from backend.store import Document

MAX_ENTRIES = 256
"""With more than these, the entries that their claims have recorded are pruned."""

MIN_RETENTION = timedelta(seconds=2)
"""No entry is pruned sooner, so that entries prepared at the same time are rarely refused.

It is short, because a budget that gets a thousand claims a second keeps two entries of each for as long, and compares
each further entry with all of them. An entry that is refused is prepared again, and loses nothing.
"""

EntryKind = Literal["reserve", "void", "pay", "release", "return"]


class Entry(Struct, frozen=True, gc=False):
    """A movement of a claim's money, prepared at `decided_at`; its `id` starts with the id of the claim.

    `reserve` takes the amount from the free budget, `pay` from what is reserved; `release` returns what was reserved,
    `return` what was paid. `void` has the id of a `reserve`: it undoes it, or prevents it unless it is prepared again
    later; so does a `release` with the id of a `pay` that its claim did not record. `quota_delta` is the number of
    places of the quota taken, negative if they are given back.
    """

    id: str
    kind: EntryKind
    amount_fen: int
    decided_at: datetime
    quota_delta: int = 0

    @property
    def claim(self) -> str:
        """Return the id of the claim."""
        return self.id.rpartition("/")[0]


class BudgetExhausted(Exception):
    """The free budget or the quota is too small for this entry."""


class StaleEntry(Exception):
    """The entry is not newer than `closed_until`: it was applied before, or must be prepared again."""

    def __init__(self, closed_until: datetime) -> None:
        super().__init__(f"entries up to {closed_until.isoformat()} are closed")
        self.closed_until = closed_until


class Budget(Document, kw_only=True):
    """The limit of a benefit in a calendar year and what has been spent; `id` is `benefit:year`.

    `paid_fen` is the total ever paid, `returned_fen` the part of it that came back.
    """

    limit_fen: int
    quota: int | None = None
    reserved_fen: int = 0
    paid_fen: int = 0
    returned_fen: int = 0
    quota_used: int = 0
    entries: tuple[Entry, ...] = ()
    closed_until: datetime | None = None

    @property
    def free_fen(self) -> int:
        """Return what may still be reserved; never negative, even if the limit was lowered below what is spent."""
        return max(0, self.limit_fen - self.reserved_fen - self.paid_fen + self.returned_fen)

    @property
    def quota_is_full(self) -> bool:
        """Return True if no place of the quota is left."""
        return self.quota is not None and self.quota_used >= self.quota

    def covers(self, amount_fen: int) -> bool:
        """Return True if one more claim of this amount could be paid."""
        return amount_fen <= self.free_fen and not self.quota_is_full


B = TypeVar("B", bound=Budget)


def budget_id(benefit: str, year: int) -> str:
    """Return the id of a benefit's budget for a calendar year."""
    return f"{benefit}:{year}"


def apply_entry(budget: B, entry: Entry) -> B:
    """Apply an entry once. Raises BudgetExhausted or StaleEntry."""
    assert entry.amount_fen >= 0, "an entry's kind gives its direction"
    known = next((one for one in budget.entries if one.id == entry.id), None)
    if known is not None:
        return _reapply(budget, known, entry)
    if budget.closed_until is not None and entry.decided_at <= budget.closed_until:
        raise StaleEntry(budget.closed_until)
    return _move(budget, entry)


def _reapply(budget: B, known: Entry, entry: Entry) -> B:
    """Apply an entry whose id is known: the later of the two decisions wins, in whichever order they arrive.

    The later one is stored even if it changes no sum, so that pruning closes the budget to it as well.
    """
    others = tuple(one for one in budget.entries if one is not known)
    if known.kind == entry.kind:
        assert known.amount_fen == entry.amount_fen, "an id is used for one movement"
        return budget if known.decided_at >= entry.decided_at else replace(budget, entries=(*others, entry))
    assert {known.kind, entry.kind} in ({"reserve", "void"}, {"pay", "release"}), "an id is used for one movement"
    if entry.decided_at <= known.decided_at:
        raise StaleEntry(known.decided_at)
    reserved_fen = {"reserve": known.amount_fen, "void": 0}.get(known.kind, -known.amount_fen)
    undone = replace(
        budget,
        reserved_fen=budget.reserved_fen - reserved_fen,
        paid_fen=budget.paid_fen - (known.amount_fen if known.kind == "pay" else 0),
        quota_used=budget.quota_used - known.quota_delta,
        entries=others,
    )
    return _move(undone, entry)


def _move(budget: B, entry: Entry) -> B:
    """Move money. Raises BudgetExhausted."""
    fen = entry.amount_fen
    match entry.kind:
        case "void":
            moved = budget
        case "reserve":
            if not budget.covers(fen):
                raise BudgetExhausted
            moved = replace(budget, reserved_fen=budget.reserved_fen + fen)
        case "pay":
            moved = replace(budget, reserved_fen=budget.reserved_fen - fen, paid_fen=budget.paid_fen + fen)
        case "release":
            moved = replace(budget, reserved_fen=budget.reserved_fen - fen)
        case "return":
            moved = replace(budget, returned_fen=budget.returned_fen + fen)
    assert moved.reserved_fen >= 0, "no more is paid or released than was reserved"
    assert moved.returned_fen <= moved.paid_fen, "no more comes back than was paid"
    return replace(moved, quota_used=budget.quota_used + entry.quota_delta, entries=(*budget.entries, entry))


def prunable_entries(budget: Budget, now: datetime) -> list[Entry]:
    """Return the entries that may be pruned once their claims have recorded them; empty while there are few."""
    if len(budget.entries) <= MAX_ENTRIES:
        return []
    return [entry for entry in budget.entries if now - entry.decided_at > MIN_RETENTION]


def prune_entries(budget: B, recorded: Container[str]) -> B:
    """Remove the entries with these ids, which their claims have recorded; they can never be applied again."""
    gone = [entry for entry in budget.entries if entry.id in recorded]
    if not gone:
        return budget
    until = max(entry.decided_at for entry in gone)
    return replace(
        budget,
        entries=tuple(entry for entry in budget.entries if entry.id not in recorded),
        closed_until=max(until, budget.closed_until or until),
    )
