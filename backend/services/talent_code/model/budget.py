"""The budget of a benefit for one year: money is reserved for a claim, then paid or released, and never overspent.

All claims to a benefit meet in one document, so it holds sums and not claims. Its `entries` are those whose claims may
not have noted yet that they were made; by them an entry that comes twice changes nothing. An entry that its claim has
noted may be dropped: whoever still carries it has decided on it no later than `closed_until`, and is turned away. So
each entry counts once, however late, often or interrupted it comes, and the document stays small. Amounts are in fen.
"""

from collections.abc import Container
from datetime import datetime, timedelta
from typing import ClassVar, Literal

from msgspec import Struct
from msgspec.structs import replace

from backend.store import Document

MAX_ENTRIES = 256
"""With more than these, the entries that their claims have noted are dropped."""

MIN_RETENTION = timedelta(seconds=5)
"""No entry is dropped sooner, so that those decided at the same time are seldom turned away."""

EntryKind = Literal["reserve", "void", "pay", "release", "return"]


class Entry(Struct, frozen=True, gc=False):
    """A movement of a claim's money, decided at `decided_at`; its `id` begins with that of the claim.

    `reserve` takes it from what is free, `pay` from what is reserved; `release` gives back what was reserved, `return`
    what was paid. `void` bears the id of a `reserve`, undoes it where it was made, and else sees that it never is
    unless that is decided anew. `places` are those of the quota that are taken, or given back where it is negative.
    """

    id: str
    kind: EntryKind
    amount_fen: int
    decided_at: datetime
    places: int = 0

    @property
    def claim(self) -> str:
        """Give the id of the claim."""
        return self.id.rpartition("/")[0]


class NoBudget(Exception):
    """The budget or the quota does not leave this much."""


class Overtaken(Exception):
    """What is older than `closed_until` and not known was made before, or is decided on anew: look at the claim."""

    def __init__(self, closed_until: datetime) -> None:
        super().__init__(f"entries up to {closed_until.isoformat()} are closed")
        self.closed_until = closed_until


class Budget(Document, kw_only=True):
    """What a benefit may cost in a calendar year, and what became of it; `id` is `benefit:year`.

    `paid_fen` is all that was ever paid, `returned_fen` what came back of it.
    """

    collection: ClassVar[str] = "budgets"

    limit_fen: int
    quota: int | None = None
    reserved_fen: int = 0
    paid_fen: int = 0
    returned_fen: int = 0
    places: int = 0
    entries: tuple[Entry, ...] = ()
    closed_until: datetime | None = None

    @property
    def free_fen(self) -> int:
        """Give what may still be reserved; never negative, even where the limit was lowered below what is spent."""
        return max(0, self.limit_fen - self.reserved_fen - self.paid_fen + self.returned_fen)

    @property
    def is_full(self) -> bool:
        """Tell whether nobody else has a place."""
        return self.quota is not None and self.places >= self.quota

    def leaves(self, amount_fen: int) -> bool:
        """Tell whether one more claim of this amount could be paid."""
        return amount_fen <= self.free_fen and not self.is_full


def budget_id(benefit: str, year: int) -> str:
    """Give the id of a benefit's budget for a calendar year."""
    return f"{benefit}:{year}"


def make_entry(budget: Budget, entry: Entry) -> Budget:
    """Make an entry, once. Raises NoBudget or Overtaken."""
    assert entry.amount_fen >= 0, "an entry's kind tells its direction"
    known = next((one for one in budget.entries if one.id == entry.id), None)
    if known is not None:
        return _decided_again(budget, known, entry)
    if budget.closed_until is not None and entry.decided_at <= budget.closed_until:
        raise Overtaken(budget.closed_until)
    return _moved(budget, entry)


def _decided_again(budget: Budget, known: Entry, entry: Entry) -> Budget:
    """Make an entry whose id is known: of two decisions the later one counts, whoever comes first with it.

    The later one is kept even where it changes no sum, so that the budget is closed to it as well once it is dropped.
    """
    if known.kind == entry.kind:
        assert known.amount_fen == entry.amount_fen, "an id is used for one movement"
        later = max(known, entry, key=lambda one: one.decided_at)
        return budget if later is known else replace(budget, entries=(*_others(budget, known), later))
    assert {known.kind, entry.kind} == {"reserve", "void"}, "an id is used for one movement"
    if entry.decided_at <= known.decided_at:
        raise Overtaken(known.decided_at)
    fen = known.amount_fen if known.kind == "reserve" else 0
    undone = replace(
        budget,
        reserved_fen=budget.reserved_fen - fen,
        places=budget.places - known.places,
        entries=_others(budget, known),
    )
    return _moved(undone, entry)


def _others(budget: Budget, known: Entry) -> tuple[Entry, ...]:
    return tuple(one for one in budget.entries if one is not known)


def _moved(budget: Budget, entry: Entry) -> Budget:
    """Move money. Raises NoBudget."""
    fen = entry.amount_fen
    match entry.kind:
        case "void":
            moved = budget
        case "reserve":
            if not budget.leaves(fen):
                raise NoBudget
            moved = replace(budget, reserved_fen=budget.reserved_fen + fen)
        case "pay":
            moved = replace(budget, reserved_fen=budget.reserved_fen - fen, paid_fen=budget.paid_fen + fen)
        case "release":
            moved = replace(budget, reserved_fen=budget.reserved_fen - fen)
        case "return":
            moved = replace(budget, returned_fen=budget.returned_fen + fen)
    assert moved.reserved_fen >= 0, "no more is paid or released than was reserved"
    assert moved.returned_fen <= moved.paid_fen, "no more comes back than was paid"
    return replace(moved, places=budget.places + entry.places, entries=(*budget.entries, entry))


def droppable(budget: Budget, now: datetime) -> list[Entry]:
    """Give the entries that may be dropped if their claims have noted them: none while there are few."""
    if len(budget.entries) <= MAX_ENTRIES:
        return []
    return [entry for entry in budget.entries if now - entry.decided_at > MIN_RETENTION]


def drop(budget: Budget, noted: Container[str]) -> Budget:
    """Drop the entries with these ids, which their claims have noted; they can never be made again."""
    gone = [entry for entry in budget.entries if entry.id in noted]
    if not gone:
        return budget
    until = max(entry.decided_at for entry in gone)
    return replace(
        budget,
        entries=tuple(entry for entry in budget.entries if entry.id not in noted),
        closed_until=max(until, budget.closed_until or until),
    )
