"""A claim to a benefit: what was decided, the money reserved for it, its parts, and what became of them.

A claim is judged once, by the law and the facts of the instant at which it was made; both are kept, so that it can be
judged again years later to the same answer. Whatever moves money is noted here before it is asked for, under an id that
is never used for anything else.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Literal

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.services.talent_code.facts import BenefitFacts
from backend.services.talent_code.model.benefit import Judgement, divide
from backend.services.talent_code.model.budget import Entry, EntryKind
from backend.store import Document, Index

ClaimState = Literal["draft", "claimed", "waiting", "granted", "failed", "given_up"]
PartState = Literal["open", "asked", "paid", "stopped"]
Told = Literal[
    "waiting",
    "paid",
    "failed",
    "payout_failed",
    "stopped",
    "reduced",
    "to_be_reduced",
    "clawed_back",
    "appeal_upheld",
    "appeal_won",
    "reduction_upheld",
    "reduction_dropped",
    "returned",
]
READINGS_KEPT = 50

_TICK = timedelta(milliseconds=1)
"""What the instants of two decisions differ by at least: as little as a store can tell apart."""


class Part(Struct, frozen=True, gc=False):
    """A part of the amount, due after so many months of insurance.

    `asked`: the bank has the payout `payout`, and may or may not have decided. A payout that
    failed, `attempts` of them so far, leaves the part open for another, not before `try_at`.
    """

    amount_fen: int
    insured_months: int
    state: PartState = "open"
    payout: str = ""
    asked_at: datetime | None = None
    paid_at: datetime | None = None
    receipt: str | None = None
    attempts: int = 0
    try_at: datetime | None = None


class Audit(Struct, frozen=True, gc=False):
    """What an audit found at `at`: what the claim is worth by the facts as the registries have them.

    `differing` names the facts that turned out otherwise.
    """

    at: datetime
    drawn: bool
    entitled_fen: int = 0
    differing: tuple[str, ...] = ()


class Appeal(Struct, frozen=True, gc=False):
    """What the person said against a claw-back, and what a talent officer decided, and why."""

    text: str
    at: datetime
    decided_at: datetime | None = None
    upheld: bool | None = None
    reason: Text | None = None


class Collection(Struct, frozen=True, gc=False):
    """Money that the bank was asked to take back, by the person's own tap or by itself once that is due."""

    id: str
    amount_fen: int
    asked_at: datetime
    by: Literal["person", "city"]
    state: Literal["asked", "done", "failed"] = "asked"
    receipt: str | None = None


class Clawback(Struct, frozen=True, gc=False):
    """What is to be paid back, because facts turned out false: nothing, where only what is still to come is too much.

    Until `appeal_until` the person may appeal; from `collect_at` on it is collected. An appeal holds that up until it
    is decided, and one that is won ends it: then it was `dropped_at` an instant.
    """

    amount_fen: int
    noticed_at: datetime
    appeal_until: datetime
    collect_at: datetime
    appeal: Appeal | None = None
    dropped_at: datetime | None = None
    collections: tuple[Collection, ...] = ()

    def asked(self) -> Collection | None:
        """Give the collection that the bank has not decided on."""
        return next((one for one in self.collections if one.state == "asked"), None)

    @property
    def is_collected(self) -> bool:
        """Tell whether money came back, or may have."""
        return any(one.state != "failed" for one in self.collections)

    @property
    def owed_fen(self) -> int:
        """Give what is still to be paid back."""
        if self.dropped_at is not None:
            return 0
        return self.amount_fen - sum(one.amount_fen for one in self.collections if one.state == "done")

    @property
    def is_appealed(self) -> bool:
        """Tell whether an appeal waits for a decision."""
        return self.appeal is not None and self.appeal.decided_at is None


class Notice(Struct, frozen=True, gc=False):
    """Something that the person is told about a claim; `told` says that it was handed over."""

    kind: Told
    at: datetime
    amount_fen: int
    told: bool = False


class Reading(Struct, frozen=True, gc=False):
    """That an officer looked at the claim."""

    at: datetime
    account: str


class Claim(Document, kw_only=True):
    """A claim of `subject` (the id of a Profile, for a benefit to persons) to a benefit.

    `insured_months` are those known last, by `insurance_asked_at`, on which parts depend. `freed` says that a claim
    that came to nothing bars no other any more.

    `entry` is what is being entered in the budget `budget`, `decided_at` when the last one was decided; `entries`
    counts those that have been made, beside the reservation itself, of which `reserved` tells. `line` names the benefit
    while the claim waits for budget, in the order of `claimed_ms`; `appealed_ms` is set while an appeal waits for a
    decision.
    """

    collection: ClassVar[str] = "claims"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index((), ordered="due_ms"),
        Index(("subject",), ordered="claimed_ms"),
        Index(("line",), ordered="claimed_ms"),
        Index((), ordered="appealed_ms"),
    )

    subject: str
    benefit: str
    title: Text
    claimed_at: datetime
    claimed_ms: int
    facts: BenefitFacts
    stated: tuple[str, ...]
    rule: str
    because: Text
    figure: int
    amount_fen: int
    rulebook: str
    after_withdrawal: Literal["stop", "go_on"]
    parts: tuple[Part, ...]
    state: ClaimState = "draft"
    budget: str | None = None
    entry: Entry | None = None
    decided_at: datetime | None = None
    entries: int = 0
    reserved: bool = False
    line: str | None = None
    freed: bool = False
    insured_months: int = 0
    insurance_asked_at: datetime | None = None
    audit: Audit | None = None
    clawback: Clawback | None = None
    appealed_ms: int | None = None
    notices: tuple[Notice, ...] = ()
    readings: tuple[Reading, ...] = ()
    failures: int = 0
    due_ms: int | None = None

    def asked(self) -> int | None:
        """Give the place of the part that the bank has not decided on, or None."""
        return next((place for place, part in enumerate(self.parts) if part.state == "asked"), None)

    def sum_fen(self, *states: PartState) -> int:
        """Give the sum of the parts in these states."""
        return sum(part.amount_fen for part in self.parts if part.state in states)

    @property
    def paid_fen(self) -> int:
        """Give what was paid out, whatever came back of it."""
        return self.sum_fen("paid")

    @property
    def returned_fen(self) -> int:
        """Give what came back."""
        done = self.clawback.collections if self.clawback is not None else ()
        return sum(one.amount_fen for one in done if one.state == "done")

    @property
    def excess_fen(self) -> int:
        """Give what is still to come beyond what an audit has left: it comes only if an appeal is won."""
        if self.audit is None or self.clawback is None or self.clawback.dropped_at is not None:
            return 0
        return min(self.sum_fen("open"), max(0, self.sum_fen("open", "asked", "paid") - self.audit.entitled_fen))

    @property
    def first_paid_at(self) -> datetime | None:
        """Give when something was first paid out."""
        return min((part.paid_at for part in self.parts if part.paid_at is not None), default=None)

    @property
    def reserve_id(self) -> str:
        """Give the id of the one entry that reserves the claim's money, or voids that."""
        return f"{self.id}/0"


def new_claim(
    claim_id: str, subject: str, title: Text, judged: Judgement, facts: BenefitFacts, stated: Sequence[str]
) -> Claim:
    """Make the claim that follows from a judgement; `stated` names the facts that rest on the person's word alone."""
    at = judged.verdict.at
    parts = divide(judged.amount_fen, judged.terms.instalments)
    return Claim(
        id=claim_id,
        subject=subject,
        benefit=judged.benefit,
        title=title,
        claimed_at=at,
        claimed_ms=int(at.timestamp() * 1_000),
        facts=facts,
        stated=tuple(stated),
        rule=judged.verdict.rule,
        because=judged.verdict.because,
        figure=judged.verdict.result,
        amount_fen=judged.amount_fen,
        rulebook=judged.verdict.rulebook,
        after_withdrawal=judged.terms.after_withdrawal,
        insured_months=facts.insured_months,
        parts=tuple(Part(fen, instalment.insured_months) for instalment, fen in parts if fen > 0),
    )


def has_noted(claim: Claim, entry: Entry) -> bool:
    """Tell whether a claim knows that an entry was made, so that it never makes it again."""
    if claim.entry is not None and claim.entry.id == entry.id:
        return False
    if entry.kind == "reserve":
        return claim.reserved
    return entry.kind == "void" or int(entry.id.rpartition("/")[2]) <= claim.entries


def decide_entry(claim: Claim, kind: EntryKind, amount_fen: int, now: datetime, places: int = 0) -> Claim:
    """Note an entry that is to be made next: later than all before it, whatever clock those were decided by."""
    assert claim.entry is None, "one entry is made after the other"
    entry_id = claim.reserve_id if kind in ("reserve", "void") else f"{claim.id}/{claim.entries + 1}"
    at = now if claim.decided_at is None else max(now, claim.decided_at + _TICK)
    return replace(claim, entry=Entry(entry_id, kind, amount_fen, at, places), decided_at=at)


def decide_again(claim: Claim, closed_until: datetime, now: datetime) -> Claim:
    """Decide on an entry anew that its budget is closed to: it was not made, or it would have been found there."""
    assert claim.entry is not None, "there is an entry to make"
    at = max(now, closed_until + _TICK)
    return replace(claim, entry=replace(claim.entry, decided_at=at), decided_at=at)


def with_part(claim: Claim, place: int, part: Part) -> Claim:
    """Give the claim with another part in a place."""
    return replace(claim, parts=(*claim.parts[:place], part, *claim.parts[place + 1 :]))


def notify(claim: Claim, kind: Told, amount_fen: int, now: datetime) -> Claim:
    """Have the person told something."""
    return replace(claim, notices=(*claim.notices, Notice(kind, now, amount_fen)))
