"""A visit to a hospital: what was charged, how the insurance split it, the one bill, and how it was paid.

A visit is one Document. Nothing in it is a balance: what is due, paid and owed is derived from lines, settlement, bill,
payments and refunds, which are only added to.
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
"""How many of the latest events a visit remembers, so that a repeated one changes nothing."""

LineKind = Literal["charge", "credit", "adjustment"]
NoticeKind = Literal["bill", "reminder", "debit_failed", "suspended", "restored", "refunded", "cancelled"]
Stage = Literal["open", "closing", "billed", "paid", "cancelling", "cancelled"]


class Line(Struct, frozen=True, gc=False):
    """A line of a visit: charges are above zero, credits below; all but charges name the charge they are `of`."""

    id: str
    kind: LineKind
    code: str
    title: str
    amount_fen: int
    at: datetime
    of: str | None = None


class Attempt(Struct, frozen=True, gc=False):
    """That the insurance was asked to settle the first `lines` lines, and has not answered yet.

    Once it is `reversing` its answer counts no more.
    """

    number: int
    message_id: str
    lines: int
    asked_at: datetime
    reversing: bool = False


class Settlement(Struct, frozen=True, gc=False):
    """How the insurance split the first `lines` lines of the visit, at the attempt of this number.

    Once it is `cancelling` it counts no more, whatever the hospital tells then.
    """

    number: int
    message_id: str
    lines: int
    split: Split
    at: datetime
    cancelling: bool = False


class Due(Struct, frozen=True, gc=False):
    """A part of a bill, and by when it is to be paid."""

    amount_fen: int
    due_at: datetime


class Bill(Struct, frozen=True, gc=False):
    """The one bill of a visit: the person's cash share by the settlement of this `number`.

    `covered_fen` is within the limit, `exception_fen` beyond it (an emergency), to be paid in instalments;
    `counter_fen` is what credit does not cover and the hospital collects itself. `schedule` says when which part of the
    first two is due.
    """

    number: int
    cash_fen: int
    covered_fen: int
    exception_fen: int
    counter_fen: int
    issued_at: datetime
    schedule: tuple[Due, ...]

    @property
    def payable_fen(self) -> int:
        """Give what the person is to pay to the city."""
        return self.covered_fen + self.exception_fen


class Payment(Struct, frozen=True, gc=False):
    """Money asked for at the bank under an id of ours, and what became of it.

    `payer` is the Profile of who pays, the patient or a family member. `credited` says that the account knows.
    """

    id: str
    amount_fen: int
    payer: str
    means: Literal["citizen", "family", "automatic"]
    asked_at: datetime
    state: Literal["asked", "paid", "failed"] = "asked"
    answered_at: datetime | None = None
    receipt: str | None = None
    reason: str | None = None
    credited: bool = False


class Refund(Struct, frozen=True, gc=False):
    """Money that goes back to where a payment came from; `credited` says that the account knows."""

    id: str
    payment: str
    amount_fen: int
    asked_at: datetime
    state: Literal["asked", "done", "failed"] = "asked"
    answered_at: datetime | None = None
    receipt: str | None = None
    credited: bool = False


class CounterPayment(Struct, frozen=True, gc=False):
    """What the patient paid at the hospital itself, as the hospital says."""

    id: str
    amount_fen: int
    at: datetime


class Notice(Struct, frozen=True, gc=False):
    """Something that the patient is told; `told` once it was handed over."""

    kind: NoticeKind
    at: datetime
    amount_fen: int
    told: bool = False


class Visit(Document, kw_only=True):
    """A visit of a person to a hospital; its `id` follows from the hospital and the hospital's own `number` for it.

    An `exceptional` one uses no credit within the limit, and an `automatic` one is debited when it is due.
    `holding` says that credit was set aside for it, of `held_fen`. `settle_at` is when the insurance is asked,
    once the visit is closed; a cancelled one is `uncovered` once its credit is free again. `settled_ms`
    is when the settlement in force was made, `moved_ms` when the bank last answered, `due_ms` when a sweep looks at it,
    `owing` that something is owed.
    """

    collection: ClassVar[str] = "medical_visits"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index(("hospital",), ordered="opened_ms"),
        Index(("hospital",), ordered="changed_ms"),
        Index(("hospital",), ordered="settled_ms"),
        Index(("hospital",), ordered="moved_ms"),
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
    made_at: datetime
    changed_ms: int
    wanted_hold_fen: int
    expires_at: datetime
    exceptional: bool = False
    automatic: bool = False
    holding: bool = False
    held_fen: int = 0
    lines: tuple[Line, ...] = ()
    counter: tuple[CounterPayment, ...] = ()
    closed_at: datetime | None = None
    settle_at: datetime | None = None
    cancelled_at: datetime | None = None
    uncovered: bool = False
    attempts: int = 0
    attempt: Attempt | None = None
    settlement: Settlement | None = None
    settled_ms: int | None = None
    moved_ms: int | None = None
    billings: int = 0
    bill: Bill | None = None
    payments: tuple[Payment, ...] = ()
    refunds: tuple[Refund, ...] = ()
    notices: tuple[Notice, ...] = ()
    breached_at: datetime | None = None
    breach_noted: bool = False
    events: tuple[str, ...] = ()
    failures: int = 0
    due_ms: int | None = None
    owing: bool = False

    def total_fen(self) -> int:
        """Give the sum of all lines: the medical fee."""
        return sum(line.amount_fen for line in self.lines)

    def paid_fen(self) -> int:
        """Give what was paid to the city and not returned."""
        paid = sum(payment.amount_fen for payment in self.payments if payment.state == "paid")
        return paid - sum(refund.amount_fen for refund in self.refunds if refund.state == "done")

    def payable_fen(self) -> int:
        """Give what is to be paid to the city, as the bill stands now."""
        return self.bill.payable_fen if self.bill is not None else 0

    def owed_fen(self) -> int:
        """Give what is still to be paid to the city; negative while more was paid than is now due."""
        return self.payable_fen() - self.paid_fen()

    def asked(self) -> Payment | None:
        """Give the payment of which the bank has not yet said what became of it."""
        return next((payment for payment in self.payments if payment.state == "asked"), None)

    def was_paid(self) -> bool:
        """Tell that a payment was made, or may have been."""
        return any(payment.state != "failed" for payment in self.payments)

    def stage(self) -> Stage:
        """Say in one word how far the visit is."""
        if self.cancelled_at is not None:
            settled = self.settlement or self.attempt or self.asked() or not self.uncovered
            return "cancelling" if settled or self.owed_fen() != 0 else "cancelled"
        if self.closed_at is None:
            return "open"
        settled = self.settlement
        if settled is None or settled.cancelling or settled.lines != len(self.lines) or self.bill is None:
            return "closing"
        if self.bill.number != settled.number:
            return "closing"
        return "billed" if self.owed_fen() > 0 else "paid"

    def unpaid(self) -> list[Due]:
        """Give the parts of the bill that are not paid, the earliest first, each with what is still owed of it."""
        paid_fen = self.paid_fen()
        parts: list[Due] = []
        for part in self.bill.schedule if self.bill is not None else ():
            covered = min(paid_fen, part.amount_fen)
            paid_fen -= covered
            if part.amount_fen > covered:
                parts.append(Due(part.amount_fen - covered, part.due_at))
        return parts

    def payable_now_fen(self, at: datetime) -> int:
        """Give what is to be paid next: the earliest unpaid part, and whatever else is due by now."""
        parts = self.unpaid()
        return sum(part.amount_fen for place, part in enumerate(parts) if place == 0 or part.due_at <= at)

    def line(self, line_id: str) -> Line | None:
        """Give a line by its id, or None."""
        return next((line for line in self.lines if line.id == line_id), None)

    def net_fen(self, line_id: str) -> int:
        """Give what is left of a charge after its credits and adjustments."""
        return sum(line.amount_fen for line in self.lines if line_id in (line.id, line.of))


def visit_id(hospital: str, number: str) -> str:
    """Give the id of a visit, which follows from the hospital and the hospital's own number for it."""
    return hashlib.sha256(f"visit\n{hospital}\n{number}".encode()).hexdigest()[:32]


def net_lines(lines: Iterable[Line]) -> dict[str, tuple[Line, int]]:
    """Give each charge with what is left of it after its credits and adjustments; charges of which nothing is left too.

    That is what the insurance is told: it knows fee lines, and no negative ones.
    """
    found: dict[str, tuple[Line, int]] = {}
    for line in lines:
        if line.of is None:
            found[line.id] = (line, line.amount_fen)
        else:
            charge, left_fen = found[line.of]
            found[line.of] = (charge, left_fen + line.amount_fen)
    return found
