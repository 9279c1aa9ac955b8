"""A claimant, and a claim: the decision, the money reserved for it, its instalments, and what happened to them.

A claim is judged once, by the rules and facts of the instant at which it was made. Both are stored, so that it can be
judged again years later with the same result. Every movement of money is recorded here before it is requested, under
an id that is never used for anything else.
"""

from datetime import datetime, timedelta
from typing import ClassVar, Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from backend.benefits.budget import Entry, EntryKind
from backend.benefits.terms import AfterWithdrawal, SubjectKind
from backend.city.audit_log import UNLOGGED, AuditedSaga
from backend.i18n import Text
from backend.jobs.saga import DUE
from backend.store import Index

ClaimState = Literal["draft", "claimed", "waiting", "granted", "failed", "withdrawn"]
InstalmentState = Literal["open", "requested", "paid", "cancelled"]
ClaimNotificationKind = Literal[
    "waiting",
    "paid",
    "failed",
    "payout_failed",
    "name_differs",
    "cancelled",
    "reduced",
    "reduction_announced",
    "clawed_back",
    "appeal_rejected",
    "appeal_granted",
    "reduction_confirmed",
    "reduction_cancelled",
    "repayment_received",
]

TICK = timedelta(milliseconds=1)
"""The resolution of instants in the store: two decisions differ by at least this much."""


class ClaimInstalment(Struct, frozen=True, gc=False):
    """An instalment of the amount, due when the progress of the claim reaches its `milestone`.

    `requested`: the payout `payout` was sent to the bank, which may not have decided yet. A failed payout, `attempts`
    of them so far, leaves the instalment open for another one, not before `retry_at`.
    """

    amount_fen: int
    milestone: int = 0
    state: InstalmentState = "open"
    payout: str = ""
    requested_at: datetime | None = None
    paid_at: datetime | None = None
    receipt: str | None = None
    attempts: int = 0
    retry_at: datetime | None = None

    @property
    def id(self) -> str:
        """Return the id of its latest payout."""
        return self.payout


class Audit(Struct, frozen=True, gc=False):
    """The result of an audit at `at`: the amount that is due by the facts of the registries.

    `drawn` is False if the claim was not drawn for an audit. `differing_facts` are the names of the facts that the
    registries know otherwise.
    """

    at: datetime
    drawn: bool
    entitled_fen: int = 0
    differing_facts: tuple[str, ...] = ()


class Appeal(Struct, frozen=True, gc=False):
    """The subject's appeal against the decision of an audit, and an officer's decision on it with its reason."""

    text: str
    at: datetime
    decided_at: datetime | None = None
    decision_upheld: bool | None = None
    reason: Text | None = None


class Collection(Struct, frozen=True, gc=False):
    """A debit of money to be paid back, requested by the person or, once it is due, by the city."""

    id: str
    amount_fen: int
    requested_at: datetime
    by: Literal["person", "city"]
    state: Literal["requested", "done", "failed"] = "requested"
    receipt: str | None = None


class Clawback(Struct, frozen=True, gc=False):
    """An amount to be paid back because facts were false; 0 if only instalments to come are too high.

    The subject may appeal until `appeal_until`; from `collect_at` the amount is collected. A pending appeal suspends
    the collection. A successful one ends the claw-back at `dropped_at`.
    """

    amount_fen: int
    notified_at: datetime
    appeal_until: datetime
    collect_at: datetime
    appeal: Appeal | None = None
    dropped_at: datetime | None = None
    collections: tuple[Collection, ...] = ()

    @property
    def may_have_collected(self) -> bool:
        """Return True if money came back, or may have."""
        return any(one.state != "failed" for one in self.collections)

    @property
    def has_open_appeal(self) -> bool:
        """Return True if an appeal waits for a decision."""
        return self.appeal is not None and self.appeal.decided_at is None


class ClaimNotification(Struct, frozen=True, gc=False):
    """A notification about a claim; `sent` is True once it was handed to the notification service."""

    kind: ClaimNotificationKind
    at: datetime
    amount_fen: int
    sent: bool = False


class Claim(AuditedSaga, kw_only=True):
    """A claim of `subject`, the id of a person or firm, to a benefit. A service adds the facts that decided it.

    `contact` is the person who is notified for a firm. `account` is the encrypted bank account for payouts,
    which wait until `payable_from`; `name_differs` is True if the bank found that its holder has another name.
    `entitlement_lost` is True once what entitled the subject was withdrawn. Instalments are due by `progress`, known
    from `progress_checked_at`. `unblocked` is True once a failed or withdrawn claim no longer restricts other claims.

    `entry` is the budget entry in progress in the budget `budget`; `decided_at` is when the last entry was prepared.
    `entries` counts those that were applied, except for the reservation, which sets `reserved`. `waitlist` is the
    benefit while the claim waits for budget, in the order of `claimed_ms`. `appealed_ms` is set while an appeal is
    open.
    """

    indexes: ClassVar[tuple[Index, ...]] = (
        DUE,
        Index(("subject",), ordered="claimed_ms"),
        Index(("waitlist",), ordered="claimed_ms"),
        Index(("waitlist",), ordered="amount_fen"),
        Index((), ordered="appealed_ms"),
        UNLOGGED,
        Index((), ordered="claimed_ms"),
    )

    subject: str
    subject_kind: SubjectKind = "person"
    contact: str | None = None
    benefit: str
    title: Text
    claimed_at: datetime
    claimed_ms: int
    rule: str
    because: Text
    figure: int
    amount_fen: int
    rulebook: str
    after_withdrawal: AfterWithdrawal
    instalments: tuple[ClaimInstalment, ...]
    account: str | None = None
    payable_from: datetime | None = None
    name_differs: bool = False
    state: ClaimState = "draft"
    budget: str | None = None
    entry: Entry | None = None
    decided_at: datetime | None = None
    entries: int = 0
    reserved: bool = False
    waitlist: str | None = None
    entitlement_lost: bool = False
    unblocked: bool = False
    progress: int = 0
    progress_checked_at: datetime | None = None
    audit: Audit | None = None
    clawback: Clawback | None = None
    appealed_ms: int | None = None
    notifications: tuple[ClaimNotification, ...] = ()

    def pending_transfer(self) -> ClaimInstalment | Collection | None:
        """Return the instalment or the collection that the bank has not decided on, or None."""
        transfers = (*self.instalments, *self.collections)
        return next((one for one in transfers if one.state == "requested"), None)

    def sum_fen(self, *states: InstalmentState) -> int:
        """Return the sum of the instalments in these states."""
        return sum(one.amount_fen for one in self.instalments if one.state in states)

    def is_settled(self) -> bool:
        """Return whether nothing is to be paid, to be paid back or to be decided."""
        is_open = self.due_ms is not None or self.appealed_ms is not None or self.waitlist is not None
        return not is_open and self.owed_fen <= 0 and self.sum_fen("open", "requested") == 0

    @property
    def paid_fen(self) -> int:
        """Return the amount paid out, including what came back later."""
        return self.sum_fen("paid")

    @property
    def collections(self) -> tuple[Collection, ...]:
        """Return the collections of what is to be paid back."""
        return self.clawback.collections if self.clawback is not None else ()

    @property
    def returned_fen(self) -> int:
        """Return the amount that came back."""
        return sum(one.amount_fen for one in self.collections if one.state == "done")

    @property
    def owed_fen(self) -> int:
        """Return the amount that is still to be paid back."""
        if self.clawback is None or self.clawback.dropped_at is not None:
            return 0
        return self.clawback.amount_fen - self.returned_fen

    @property
    def excess_fen(self) -> int:
        """Return the part of the open instalments above the audited amount: it is paid only after a won appeal."""
        if self.audit is None or self.clawback is None or self.clawback.dropped_at is not None:
            return 0
        return min(self.sum_fen("open"), max(0, self.sum_fen("open", "requested", "paid") - self.audit.entitled_fen))


class PastClaim(Struct, frozen=True, gc=False):
    """An earlier claim: it excludes other benefits, and the same one during its cooldown."""

    claim: str
    benefit: str
    at: datetime


class Claimant(AuditedSaga, kw_only=True):
    """A subject that claims benefits. A service adds what it knows about them, and may advance it by its own saga.

    The bank `account` is encrypted; only `account_ending` is ever shown. `card` is the id of its BankCard, which
    accounts of earlier editions lack. Payouts wait until `payable_from`, if it is set. `former_cards` are those that
    were named before, until they are released.
    """

    account: str | None = None
    account_ending: str | None = None
    card: str | None = None
    payable_from: datetime | None = None
    former_cards: tuple[str, ...] = ()
    past_claims: tuple[PastClaim, ...] = ()


C = TypeVar("C", bound=Claim)


def has_recorded(claim: Claim, entry: Entry) -> bool:
    """Return True if a claim has recorded that an entry was applied, so that it never submits it again."""
    if claim.entry is not None and claim.entry.id == entry.id:
        return False
    if entry.kind == "reserve":
        return claim.reserved
    return entry.kind == "void" or int(entry.id.rpartition("/")[2]) <= claim.entries


def prepare_entry(claim: C, kind: EntryKind, amount_fen: int, now: datetime, quota_delta: int = 0) -> C:
    """Record the next entry of a claim, dated after all earlier ones, whatever clock those were dated by."""
    assert claim.entry is None, "entries are applied one after the other"
    number = 0 if kind in ("reserve", "void") else claim.entries + 1  # a reservation is voided under its own id
    at = now if claim.decided_at is None else max(now, claim.decided_at + TICK)
    return replace(claim, entry=Entry(f"{claim.id}/{number}", kind, amount_fen, at, quota_delta), decided_at=at)


def record_entry(claim: C, entry: Entry) -> C:
    """Record that an entry was applied."""
    claim = replace(claim, entry=None, failures=0)
    match entry.kind:
        case "reserve":
            return replace(claim, reserved=True, state="granted", waitlist=None)
        case "void":
            return replace(claim, budget=None)
        case "pay" | "release" | "return":
            return replace(claim, entries=claim.entries + 1)


def cancel_remaining(claim: C, now: datetime, kind: Literal["failed", "cancelled", "name_differs"]) -> C:
    """Cancel the open instalments, and notify the subject; a claim of which nothing was paid has failed."""
    cancelled = cancel_instalments(claim, claim.state if claim.paid_fen else "failed", now)
    return notify(cancelled, kind, claim.sum_fen("open"), now)


def cancel_instalments(claim: C, state: ClaimState, now: datetime) -> C:
    """Cancel the open instalments of a claim, which is in `state` from now on, and return their money to the budget."""
    instalments = tuple(replace(one, state="cancelled") if one.state == "open" else one for one in claim.instalments)
    cancelled = replace(claim, instalments=instalments, state=state, waitlist=None)
    if claim.reserved:
        return prepare_entry(cancelled, "release", claim.sum_fen("open"), now, quota_delta=0 if claim.paid_fen else -1)
    return cancelled if claim.budget is None else prepare_entry(cancelled, "void", 0, now)


def notify(claim: C, kind: ClaimNotificationKind, amount_fen: int, now: datetime) -> C:
    """Queue a notification for the subject."""
    return replace(claim, notifications=(*claim.notifications, ClaimNotification(kind, now, amount_fen)))
