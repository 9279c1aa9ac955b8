"""Request and response Structs that benefit services share. Amounts are in fen, instants in UTC."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from backend.benefits.terms import MAX_FEN
from backend.i18n import Text

ClaimStage = Literal["claimed", "waiting", "granted", "paying", "partly_paid", "paid", "failed", "withdrawn"]


class ClawbackDetails(Struct, frozen=True):
    """The amount that is claimed back, the reason, and the deadlines.

    `differing_facts` are the facts that the registries know otherwise. Open instalments are reduced by `reduction_fen`
    unless an appeal is won; other instalments are paid meanwhile. An appeal may be made until `appeal_until`; from
    `collect_at` the amount owed is collected from the bank account.
    """

    amount_fen: int
    owed_fen: int
    reduction_fen: int
    because: Text
    differing_facts: tuple[str, ...]
    notified_at: datetime
    appeal_until: datetime
    collect_at: datetime
    appeal: Literal["none", "pending", "granted", "rejected"]
    decision: Text | None


class AppealRequest(Struct, forbid_unknown_fields=True):
    """Why the claw-back is wrong, in the caller's words."""

    text: Annotated[str, Meta(min_length=1, max_length=2_000)]


class RepaymentRequest(Struct, forbid_unknown_fields=True):
    """The amount owed, as the caller saw it."""

    amount_fen: Annotated[int, Meta(ge=1, le=MAX_FEN)]


class AppealSummary(Struct, frozen=True):
    """An appeal that waits for a decision, without the person's identity.

    It concerns `amount_fen` to be paid back and `reduction_fen` of the open instalments.
    """

    claim: str
    benefit: str
    title: Text
    amount_fen: int
    reduction_fen: int
    appealed_at: datetime


class AppealList(Struct, frozen=True):
    """Pending appeals, the oldest first, and the cursor of the next page."""

    appeals: list[AppealSummary]
    cursor: str | None


class AppealReason(Struct, forbid_unknown_fields=True):
    """The reason, in Chinese and English."""

    zh: Annotated[str, Meta(min_length=1, max_length=500)]
    en: Annotated[str, Meta(min_length=1, max_length=500)]


class AppealDecision(Struct, forbid_unknown_fields=True):
    """Whether the claw-back is upheld or dropped, and the reason in both languages, which the person reads."""

    decision: Literal["uphold", "drop"]
    reason: AppealReason


class BudgetDetails(Struct, frozen=True):
    """A benefit's budget for this year; `has_waitlist` is True if claims wait for it to grow."""

    benefit: str
    title: Text
    year: int
    limit_fen: int
    reserved_fen: int
    paid_fen: int
    returned_fen: int
    free_fen: int
    quota: int | None
    quota_used: int
    has_waitlist: bool


class BudgetList(Struct, frozen=True):
    """The budgets of the benefits that are available now."""

    budgets: list[BudgetDetails]
