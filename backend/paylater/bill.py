"""What a person is billed for: the single bill of a Billable, its payments, refunds and notices.

There are no balances: what is due, paid and owed is derived from bill, payments and refunds.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import ClassVar, Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.jobs.saga import SagaDocument

NoticeKind = Literal[
    "bill",
    "paid_at_counter",
    "overpaid_at_counter",
    "reminder",
    "debit_failed",
    "suspended",
    "restored",
    "refunded",
    "cancelled",
]
PaymentScope = Literal["now", "all"]
"""What to pay: what is due now, or all that is owed."""

Stage = Literal["open", "closing", "billed", "paid", "cancelling", "cancelled"]
TermName = Literal[
    "repay_hours",
    "reminders_at_most",
    "reminder_hours",
    "debit_tries",
    "debit_retry_hours",
    "instalments",
    "instalment_days",
    "family_at_most",
]
Terms = Callable[[TermName], int]
"""Returns a figure of the agreement in force."""


class AmountDue(Struct, frozen=True, gc=False):
    """The amount that a person must pay, as decided at `at`; `number` counts the decisions on one Billable.

    `paid_at_counter_fen` of it, or more, was paid to the provider.
    """

    number: int
    amount_fen: int
    at: datetime
    paid_at_counter_fen: int = 0

    def unpaid_fen(self) -> int:
        """Return what was not paid at the counter, which credit may cover; never below zero."""
        return max(0, self.amount_fen - self.paid_at_counter_fen)

    def overpaid_fen(self) -> int:
        """Return what the provider has taken beyond the whole amount, and must give back."""
        return max(0, self.paid_at_counter_fen - self.amount_fen)


class Instalment(Struct, frozen=True, gc=False):
    """A part of a bill and its due date."""

    amount_fen: int
    due_at: datetime


class Bill(Struct, frozen=True, gc=False):
    """The single bill of a Billable: what the person must pay according to the decision with this `number`.

    `covered_fen` is within the limit. `exception_fen` is over the limit (an emergency) and paid in instalments.
    `counter_fen` is not covered by credit: the provider collects it at its counter, where `paid_at_counter_fen` were
    paid so far. `schedule` splits the first two into dated instalments. `cash_fen` is the sum of the three.
    """

    number: int
    cash_fen: int
    covered_fen: int
    exception_fen: int
    counter_fen: int
    issued_at: datetime
    schedule: tuple[Instalment, ...]
    paid_at_counter_fen: int = 0

    def overpaid_at_counter_fen(self) -> int:
        """Return what the provider has taken beyond the person's share, and must give back."""
        return max(0, self.paid_at_counter_fen - self.cash_fen)


class Payment(Struct, frozen=True, gc=False):
    """A payment requested from the bank under an id of ours, and its outcome.

    `payer` is the Person who pays, who may be a family member. `applied` is set once the account has recorded it.
    """

    id: str
    amount_fen: int
    payer: str
    method: Literal["citizen", "family", "automatic"]
    requested_at: datetime
    state: Literal["requested", "paid", "failed"] = "requested"
    answered_at: datetime | None = None
    receipt: str | None = None
    reason: str | None = None
    applied: bool = False

    def is_done(self) -> bool:
        """Return whether the money was paid."""
        return self.state == "paid"


class Refund(Struct, frozen=True, gc=False):
    """A refund of a payment to the original account; `applied` is set once the account has recorded it."""

    id: str
    payment: str
    amount_fen: int
    requested_at: datetime
    state: Literal["requested", "done", "failed"] = "requested"
    answered_at: datetime | None = None
    receipt: str | None = None
    applied: bool = False

    def is_done(self) -> bool:
        """Return whether the money was returned."""
        return self.state == "done"


class Notice(Struct, frozen=True, gc=False):
    """A notification to the person; `sent` once it was handed to the notification service."""

    kind: NoticeKind
    at: datetime
    amount_fen: int
    sent: bool = False


class BillTexts(Struct, frozen=True, kw_only=True):
    """What a service says about its bills.

    `notices` may name `{yuan}`. The texts named `..._by` and `..._debit`, and `debit_retried`, replace the text of a
    notice if the date is known: they may name `{at}`, and for a bill in instalments `{count}` and the `{first}` amount.
    `nothing_to_pay` is the text of an error.
    """

    notices: Mapping[NoticeKind, Text]
    bill_by: Text
    bill_by_debit: Text
    instalments_by: Text
    instalments_by_debit: Text
    debit_retried: Text
    nothing_to_pay: Text


class LeftLine(Struct, frozen=True, gc=False):
    """The line of credit of a former purpose, and the opening hold there; what is held or owed there is released."""

    purpose: str
    hold_id: str
    requested_fen: int
    created_at: datetime


class Billable(SagaDocument, kw_only=True):
    """Something that a person is billed for once it ends; its `id` begins those of its holds and transfers.

    An `exceptional` one uses no credit within the limit. With `automatic_debit` the bill is debited when it is due.
    `hold_placed` says that a hold of `held_fen` was placed, and `credit_released` that the credit of a cancelled one is
    available again. `bank_answered_ms` is when the bank last answered. `owing` says that the bill is unpaid,
    and `breached_at` is when it still was after the last debit. `moves` counts the changes of its purpose, the last at
    `moved_at`; `left_lines` are the lines of credit that it has left and that are not released yet.
    A service names the collection, and says what the person must pay and from which line of credit.
    """

    texts: ClassVar[BillTexts]

    person: str
    created_at: datetime
    requested_hold_fen: int
    expires_at: datetime
    exceptional: bool = False
    automatic_debit: bool = False
    hold_placed: bool = False
    held_fen: int = 0
    closed_at: datetime | None = None
    cancelled_at: datetime | None = None
    credit_released: bool = False
    bank_answered_ms: int | None = None
    bill_count: int = 0
    bill: Bill | None = None
    payments: tuple[Payment, ...] = ()
    refunds: tuple[Refund, ...] = ()
    notices: tuple[Notice, ...] = ()
    breached_at: datetime | None = None
    breach_recorded: bool = False
    owing: bool = False
    moves: int = 0
    moved_at: datetime | None = None
    left_lines: tuple[LeftLine, ...] = ()

    def purpose(self) -> str:
        """Return the purpose, which names the line of credit that it uses."""
        raise NotImplementedError

    def may_exceed_limit(self) -> bool:
        """Return whether the part above the limit may be owed as well, and paid in instalments."""
        return False

    def amount_due(self) -> AmountDue | None:
        """Return what the person must pay; None while that is not decided."""
        raise NotImplementedError

    def is_being_decided(self) -> bool:
        """Return whether another system is deciding what the person must pay."""
        return False

    def is_current(self) -> bool:
        """Return whether the decided amount is still right."""
        return True

    def stage(self) -> Stage:
        """Return the stage of the process."""
        due = self.amount_due()
        if self.cancelled_at is not None:
            unfinished = due or self.is_being_decided() or self.pending_payment() or not self.credit_released
            return "cancelling" if unfinished or self.owed_fen() != 0 else "cancelled"
        if self.closed_at is None:
            return "open"
        if due is None or not self.is_current() or self.bill is None or self.bill.number != due.number:
            return "closing"
        return "billed" if self.owed_fen() > 0 else "paid"

    def is_settled(self) -> bool:
        """Return whether nothing is owed and nothing is left to do."""
        return self.due_ms is None and self.stage() in ("paid", "cancelled")

    def paid_fen(self) -> int:
        """Return what was paid to the city and not refunded."""
        paid = sum(payment.amount_fen for payment in self.payments if payment.is_done())
        return paid - sum(refund.amount_fen for refund in self.refunds if refund.is_done())

    def payable_fen(self) -> int:
        """Return what the current bill requires the person to pay to the city."""
        return self.bill.covered_fen + self.bill.exception_fen if self.bill is not None else 0

    def owed_fen(self) -> int:
        """Return what is still to be paid to the city; negative while more was paid than is now due."""
        return self.payable_fen() - self.paid_fen()

    def transfers(self) -> tuple[Payment | Refund, ...]:
        """Return all payments, then all refunds."""
        return (*self.payments, *self.refunds)

    def pending_transfers(self) -> list[Payment | Refund]:
        """Return the payments and refunds that the bank has not decided yet."""
        return [one for one in self.transfers() if one.state == "requested"]

    def pending_payment(self) -> Payment | None:
        """Return the payment that the bank has not decided yet, or None."""
        return next((payment for payment in self.payments if payment.state == "requested"), None)

    def was_paid(self) -> bool:
        """Return whether a payment was made or may have been made."""
        return any(payment.state != "failed" for payment in self.payments)

    def unpaid(self) -> list[Instalment]:
        """Return the unpaid parts of the bill, the earliest first, each with the amount that is still owed."""
        paid_fen = self.paid_fen()
        parts: list[Instalment] = []
        for part in self.bill.schedule if self.bill is not None else ():
            covered = min(paid_fen, part.amount_fen)
            paid_fen -= covered
            if part.amount_fen > covered:
                parts.append(Instalment(part.amount_fen - covered, part.due_at))
        return parts

    def payable_now_fen(self, at: datetime) -> int:
        """Return the amount to pay next: the earliest unpaid part and all other parts that are due."""
        parts = self.unpaid()
        return sum(part.amount_fen for index, part in enumerate(parts) if index == 0 or part.due_at <= at)


B = TypeVar("B", bound=Billable)


def add_notice(billable: B, kind: NoticeKind, amount_fen: int, now: datetime) -> B:
    """Add a notification to the person; the NOTIFY step sends it."""
    return replace(billable, notices=(*billable.notices, Notice(kind, now, amount_fen)))


def with_transfer(billable: B, changed: Payment | Refund) -> B:
    """Replace the payment or refund with this id."""
    if isinstance(changed, Payment):
        return replace(billable, payments=tuple(changed if one.id == changed.id else one for one in billable.payments))
    return replace(billable, refunds=tuple(changed if one.id == changed.id else one for one in billable.refunds))
