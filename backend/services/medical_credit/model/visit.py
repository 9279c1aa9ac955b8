"""A visit to a hospital: its charges and the insurance settlement; `paylater.bill` has the bill and its payments."""

import hashlib
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar, Literal

from msgspec import Struct

from backend.jobs.saga import DUE
from backend.paylater.bill import AmountDue, Billable, BillTexts
from backend.services.medical_credit.facts import SettledBy, VisitKind
from backend.services.medical_credit.model.notices import BILL_TEXTS
from backend.services.medical_credit.ports import ClaimLine, Split
from backend.store import Index
from backend.store.retention import Period, Retention

MAX_LINES = 5_000
MAX_EVENTS = 100
"""How many recent event ids a visit keeps to recognise repeated events."""

LineKind = Literal["charge", "credit", "adjustment"]
Purpose = Literal["outpatient", "inpatient"]
Awaited = Literal["settlement", "cancellation"]
"""What a hospital that settles itself must do at the insurance, and report."""


class Explanation(Struct, frozen=True, gc=False, omit_defaults=True):
    """What a hospital says of a charge besides its amount; it explains the amount and is never billed.

    Quantity and unit price are decimal numbers as they were sent. `catalogue_code` is the insurance's code of the item.
    """

    quantity: str = ""
    unit_price: str = ""
    catalogue_code: str = ""
    department: str = ""
    doctor: str = ""


class Line(Struct, frozen=True, gc=False):
    """A line of a visit: charges are not below zero, credits are; credits and adjustments name the charge `of`.

    A charge of zero is kept and never billed.
    """

    id: str
    kind: LineKind
    code: str
    title: str
    amount_fen: int
    at: datetime
    of: str | None = None
    explanation: Explanation | None = None


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

    Once it is `cancelling`, its cancellation is completed whatever the hospital sends meanwhile. If the hospital made
    it, at `settled_at`, then `at` is when the city heard of it, and `registration` is the hospital's (mdtrt_id).
    """

    number: int
    message_id: str
    line_count: int
    split: Split
    at: datetime
    cancelling: bool = False
    settled_at: datetime | None = None
    registration: str = ""


class CounterPayment(Struct, frozen=True, gc=False):
    """A payment at the hospital's counter, as reported by the hospital.

    Once it is withdrawn, it was paid back, or it was a mistake if it is `mistaken`.
    """

    id: str
    amount_fen: int
    at: datetime
    withdrawn_at: datetime | None = None
    mistaken: bool = False


class Visit(Billable, kw_only=True):
    """A person's visit to a hospital; its `id` is derived from the hospital and the hospital's `number` of the visit.

    A number of another system than the hospital's own is `system|value`, and `plain_number` is then its value. So are
    the ids of lines and counter payments.
    `id_number` is the encrypted ID number under which it was opened; older visits have none. `settle_at` is when the
    closed visit is sent to the insurance, and `retry_at` when a rejected claim is sent again. `settled_ms` is when the
    settlement in force was made. `institution` is the hospital's code at the insurance. `cancelled_settlements` are
    those that a hospital which settles itself has cancelled. `transitions` counts how often the hospital changed its
    class, beginning, end or cancellation, all of which can be undone. `desk_token` is the id of the desk token with
    which it was opened, if it was; an emergency may be opened `without_consent`.
    """

    collection: ClassVar[str] = "medical_visits"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index(("hospital",), ordered="opened_ms"),
        Index(("hospital",), ordered="changed_ms"),
        Index(("hospital",), ordered="settled_ms"),
        Index(("hospital",), ordered="bank_answered_ms"),
        Index(("hospital", "plain_number")),
        Index(("person",), ordered="opened_ms"),
        Index(("person", "owing")),
        Index((), ordered="changed_ms"),
        DUE,
    )
    texts: ClassVar[BillTexts] = BILL_TEXTS
    retention: ClassVar[Retention] = Retention(
        grows_with="each visit to a hospital",
        ends="once nothing is owed",
        names="a person",
        field="changed_ms",
        periods=(
            Period(
                date(2016, 1, 1),
                1825,
                "Anti-Money Laundering Law of 2006, art. 19, if it applies to the city [A]",
            ),
            Period(
                date(2025, 1, 1),
                3650,
                "Anti-Money Laundering Law of 2024, art. 34, if it applies to the city [A]",
            ),
        ),
    )

    hospital: str
    number: str
    plain_number: str | None = None
    kind: VisitKind
    opened_at: datetime
    opened_ms: int
    changed_ms: int
    id_number: str | None = None
    desk_token: str | None = None
    without_consent: bool = False
    lines: tuple[Line, ...] = ()
    counter_payments: tuple[CounterPayment, ...] = ()
    settle_at: datetime | None = None
    retry_at: datetime | None = None
    attempts: int = 0
    attempt: SettlementAttempt | None = None
    settlement: Settlement | None = None
    settled_ms: int | None = None
    institution: str = ""
    settled_by: SettledBy = "city"
    cancelled_settlements: tuple[Settlement, ...] = ()
    events: tuple[str, ...] = ()
    transitions: int = 0

    def purpose(self) -> Purpose:
        """Return the limit that the visit uses."""
        return purpose_of(self.kind)

    def may_exceed_limit(self) -> bool:
        """Return whether it is an emergency, which is never refused."""
        return self.kind == "emergency"

    def amount_due(self) -> AmountDue | None:
        """Return the person's cash share according to the settlement in force, and what was paid at the counter.

        None if the hospital must renew the settlement. Each report of a payment, and each withdrawal of one, is
        another decision.
        """
        settled = self.settlement
        if settled is None or self.awaited() is not None:
            return None
        withdrawn_at = [one.withdrawn_at for one in self.counter_payments if one.withdrawn_at is not None]
        number = settled.number + len(self.counter_payments) + len(withdrawn_at)
        return AmountDue(number, settled.split.cash_fen, max([settled.at, *withdrawn_at]), self.counter_paid_fen())

    def awaited(self) -> Awaited | None:
        """Return what the hospital must do at the insurance and report, if it settles itself."""
        if self.settled_by == "city":
            return None
        is_over = self.closed_at is not None and self.cancelled_at is None
        if self.settlement is None:
            return "settlement" if is_over else None
        return None if is_over and self.is_current() else "cancellation"

    def hospital_settlements(self) -> tuple[Settlement, ...]:
        """Return the settlements that the hospital reported, in order; the last may be in force."""
        in_force = () if self.settlement is None or self.settled_by == "city" else (self.settlement,)
        return (*self.cancelled_settlements, *in_force)

    def counter_payment(self, payment_id: str) -> CounterPayment | None:
        """Return the payment at the counter with this id, or None."""
        return next((one for one in self.counter_payments if one.id == payment_id), None)

    def counter_paid_fen(self) -> int:
        """Return what was paid at the counter, without withdrawn payments."""
        return sum(one.amount_fen for one in self.counter_payments if one.withdrawn_at is None)

    def counter_overpaid_fen(self) -> int:
        """Return what the hospital has taken at the counter beyond the person's share, and must give back."""
        if self.cancelled_at is not None:
            return self.counter_paid_fen()
        return self.bill.overpaid_at_counter_fen() if self.bill is not None else 0

    def is_being_decided(self) -> bool:
        """Return whether a claim is not answered yet."""
        return self.attempt is not None

    def is_current(self) -> bool:
        """Return whether the settlement in force is for all lines that are billed."""
        settled = self.settlement
        if settled is None or settled.cancelling:
            return False
        return not any(line.amount_fen for line in self.lines[settled.line_count :])

    def total_fen(self) -> int:
        """Return the total medical fee: the sum of all lines."""
        return sum(line.amount_fen for line in self.lines)

    def line(self, line_id: str) -> Line | None:
        """Return the line with this id, or None."""
        return next((line for line in self.lines if line.id == line_id), None)

    def net_fen(self, line_id: str) -> int:
        """Return the amount of a charge after its credits and adjustments."""
        return sum(line.amount_fen for line in self.lines if line_id in (line.id, line.of))


def purpose_of(kind: VisitKind) -> Purpose:
    """Return the limit that a visit uses: inpatient stays have their own [S]."""
    return "inpatient" if kind == "inpatient" else "outpatient"


def visit_id(hospital: str, number: str, system: str = "") -> str:
    """Return the id of a visit, derived from the hospital, its number of the visit and the system of that number.

    The same number in two systems names two visits. The hospital's own visit system is the same as none. A number that
    `Hospital.identifier` qualified has its system already.
    """
    if system and system != own_system(hospital, "visit"):
        number = qualified(number, system)
    return hashlib.sha256(f"visit\n{hospital}\n{number}".encode()).hexdigest()[:32]


def own_system(hospital: str, kind: str) -> str:
    """Return the system of a hospital's own identifiers of visits, charges, payments and so on."""
    return f"urn:chengma:hospital:{hospital}:{kind}"


def qualified(value: str, system: str) -> str:
    """Return an identifier of another system than the hospital's own, as `system|value`."""
    return f"{system}|{value}"


def split_identifier(identifier: str) -> tuple[str, str]:
    """Return the system and the value of an identifier; the system is empty if it is the hospital's own."""
    system, _, value = identifier.rpartition("|")  # no value contains a `|`
    return system, value


def plain_number(number: str) -> str | None:
    """Return a number without its system, or None if it has none."""
    system, value = split_identifier(number)
    return value if system else None


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


def claim_line(line: Line, amount_fen: int) -> ClaimLine:
    """Return the fee line of a charge with its net amount, as the insurance gets it."""
    known = line.explanation or Explanation()
    return ClaimLine(
        line.id,
        line.code,
        amount_fen,
        line.at,
        Decimal(known.quantity) if known.quantity else None,
        Decimal(known.unit_price) if known.unit_price else None,
        known.catalogue_code,
        known.department,
        known.doctor,
    )
