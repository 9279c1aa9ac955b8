"""A visit to a hospital: its charges, the insurance settlement, the one bill, payments and refunds.

A visit is one Document without balances: what is due, paid and owed is derived from lines, settlement, bill, payments
and refunds.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar, Literal

from msgspec import Struct

from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.ports import Split
from backend.store import Document, Index

MAX_LINES = 5_000
MAX_EVENTS = 100
"""How many recent event ids a visit keeps to recognise repeated events."""

LineKind = Literal["charge", "credit", "adjustment"]
NoticeKind = Literal["bill", "reminder", "debit_failed", "suspended", "restored", "refunded", "cancelled"]
PaymentScope = Literal["now", "all"]
"""What to pay: what is due now, or all that is owed."""

Stage = Literal["open", "closing", "billed", "paid", "cancelling", "cancelled"]


class Line(Struct, frozen=True, gc=False):
    """A line of a visit: charges are above zero, credits below; credits and adjustments name the charge `of`."""

    id: str
    kind: LineKind
    code: str
    title: str
    amount_fen: int
    at: datetime
    of: str | None = None


class SettlementAttempt(Struct, frozen=True, gc=False):
    """A claim for the first `line_count` lines that was sent to the insurance and is not answered yet.

    Once it is `reversing`, its answer is ignored.
    """

    number: int
    message_id: str
    line_count: int
    requested_at: datetime
    reversing: bool = False


class Settlement(Struct, frozen=True, gc=False):
    """How the insurance split the first `line_count` lines of the visit, at the attempt with this number.

    Once it is `cancelling`, its cancellation is completed whatever the hospital sends meanwhile.
    """

    number: int
    message_id: str
    line_count: int
    split: Split
    at: datetime
    cancelling: bool = False


class Instalment(Struct, frozen=True, gc=False):
    """A part of a bill and its due date."""

    amount_fen: int
    due_at: datetime


class Bill(Struct, frozen=True, gc=False):
    """The one bill of a visit: the person's cash share according to the settlement with this `number`.

    `covered_fen` is within the limit. `exception_fen` is over the limit (an emergency) and paid in instalments.
    `counter_fen` is not covered by credit; the hospital collects it. `schedule` lists the due dates of the first two.
    """

    number: int
    cash_fen: int
    covered_fen: int
    exception_fen: int
    counter_fen: int
    issued_at: datetime
    schedule: tuple[Instalment, ...]

    @property
    def payable_fen(self) -> int:
        """Return the amount that the person must pay to the city."""
        return self.covered_fen + self.exception_fen


class Payment(Struct, frozen=True, gc=False):
    """A payment requested from the bank under an id of ours, and its outcome.

    `payer` is the Profile of the patient or family member who pays. `applied` is set once the credit account has it.
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


class Refund(Struct, frozen=True, gc=False):
    """A refund of a payment to the original account; `applied` is set once the credit account has it."""

    id: str
    payment: str
    amount_fen: int
    requested_at: datetime
    state: Literal["requested", "done", "failed"] = "requested"
    answered_at: datetime | None = None
    receipt: str | None = None
    applied: bool = False


class CounterPayment(Struct, frozen=True, gc=False):
    """A payment at the hospital's counter, as reported by the hospital."""

    id: str
    amount_fen: int
    at: datetime


class Notice(Struct, frozen=True, gc=False):
    """A notification to the patient; `sent` once it was handed to the notification service."""

    kind: NoticeKind
    at: datetime
    amount_fen: int
    sent: bool = False


class Visit(Document, kw_only=True):
    """A person's visit to a hospital; its `id` is derived from the hospital and the hospital's `number` of the visit.

    An `exceptional` visit uses no credit within the limit. With `automatic_debit` the bill is debited when it is due.
    `hold_placed` says that a hold of `held_fen` was placed, and `credit_released` that a cancelled visit's credit is
    available again. `settle_at` is when the closed visit is sent to the insurance. `settled_ms` is when the settlement
    in force was made, `bank_answered_ms` when the bank last answered, and `due_ms` when a sweep resumes the visit.
    `owing` says that the bill is unpaid.
    """

    collection: ClassVar[str] = "medical_visits"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index(("hospital",), ordered="opened_ms"),
        Index(("hospital",), ordered="changed_ms"),
        Index(("hospital",), ordered="settled_ms"),
        Index(("hospital",), ordered="bank_answered_ms"),
        Index(("person",), ordered="opened_ms"),
        Index(("person", "owing")),
        Index((), ordered="due_ms"),
    )

    hospital: str
    number: str
    person: str
    kind: VisitKind
    opened_at: datetime
    opened_ms: int
    created_at: datetime
    changed_ms: int
    requested_hold_fen: int
    expires_at: datetime
    exceptional: bool = False
    automatic_debit: bool = False
    hold_placed: bool = False
    held_fen: int = 0
    lines: tuple[Line, ...] = ()
    counter_payments: tuple[CounterPayment, ...] = ()
    closed_at: datetime | None = None
    settle_at: datetime | None = None
    cancelled_at: datetime | None = None
    credit_released: bool = False
    attempts: int = 0
    attempt: SettlementAttempt | None = None
    settlement: Settlement | None = None
    settled_ms: int | None = None
    bank_answered_ms: int | None = None
    bill_count: int = 0
    bill: Bill | None = None
    payments: tuple[Payment, ...] = ()
    refunds: tuple[Refund, ...] = ()
    notices: tuple[Notice, ...] = ()
    breached_at: datetime | None = None
    breach_recorded: bool = False
    events: tuple[str, ...] = ()
    failures: int = 0
    due_ms: int | None = None
    owing: bool = False

    def total_fen(self) -> int:
        """Return the total medical fee: the sum of all lines."""
        return sum(line.amount_fen for line in self.lines)

    def paid_fen(self) -> int:
        """Return what was paid to the city and not refunded."""
        paid = sum(payment.amount_fen for payment in self.payments if payment.state == "paid")
        return paid - sum(refund.amount_fen for refund in self.refunds if refund.state == "done")

    def payable_fen(self) -> int:
        """Return what the current bill requires the person to pay to the city."""
        return self.bill.payable_fen if self.bill is not None else 0

    def owed_fen(self) -> int:
        """Return what is still to be paid to the city; negative while more was paid than is now due."""
        return self.payable_fen() - self.paid_fen()

    def pending_payment(self) -> Payment | None:
        """Return the payment that the bank has not decided yet, or None."""
        return next((payment for payment in self.payments if payment.state == "requested"), None)

    def was_paid(self) -> bool:
        """Return whether a payment was made or may have been made."""
        return any(payment.state != "failed" for payment in self.payments)

    def stage(self) -> Stage:
        """Return the stage of the visit."""
        if self.cancelled_at is not None:
            settled = self.settlement or self.attempt or self.pending_payment() or not self.credit_released
            return "cancelling" if settled or self.owed_fen() != 0 else "cancelled"
        if self.closed_at is None:
            return "open"
        settled = self.settlement
        if settled is None or settled.cancelling or settled.line_count != len(self.lines) or self.bill is None:
            return "closing"
        if self.bill.number != settled.number:
            return "closing"
        return "billed" if self.owed_fen() > 0 else "paid"

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
        return sum(part.amount_fen for place, part in enumerate(parts) if place == 0 or part.due_at <= at)

    def line(self, line_id: str) -> Line | None:
        """Return the line with this id, or None."""
        return next((line for line in self.lines if line.id == line_id), None)

    def net_fen(self, line_id: str) -> int:
        """Return the amount of a charge after its credits and adjustments."""
        return sum(line.amount_fen for line in self.lines if line_id in (line.id, line.of))


def visit_id(hospital: str, number: str) -> str:
    """Return the id of a visit, derived from the hospital and the hospital's number of the visit."""
    return hashlib.sha256(f"visit\n{hospital}\n{number}".encode()).hexdigest()[:32]


def net_lines(lines: Iterable[Line]) -> dict[str, tuple[Line, int]]:
    """Return each charge with its net amount after credits and adjustments, including charges that are fully credited.

    A claim is made from these: the insurance accepts no negative lines.
    """
    found: dict[str, tuple[Line, int]] = {}
    for line in lines:
        if line.of is None:
            found[line.id] = (line, line.amount_fen)
        else:
            charge, net_fen = found[line.of]
            found[line.of] = (charge, net_fen + line.amount_fen)
    return found
