"""Comparing what four sides hold of a day: the hospital, ourselves, the insurance, and the bank. Pure."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import ClassVar, Literal

from msgspec import Struct, field

from backend.services.medical_credit.model.hospital_file import FiledLine, FiledVisit, filed
from backend.services.medical_credit.model.visit import Visit, visit_id
from backend.services.medical_credit.ports import BankEntry, SettledThere
from backend.store import Document, Index

MAX_BREAKS = 2_000

BreakKind = Literal[
    "visit_only_there",
    "visit_only_here",
    "line_only_there",
    "line_only_here",
    "line_differs",
    "line_twice_there",
    "settlement_differs",
    "counter_differs",
    "insurance_only_there",
    "insurance_only_here",
    "insurance_differs",
    "payment_only_at_bank",
    "payment_only_here",
    "refund_only_at_bank",
    "refund_only_here",
    "transfer_differs",
]
RepairKind = Literal[
    "take_charge",
    "take_credit",
    "credit_line",
    "adjust_line",
    "cancel_at_insurance",
    "settle_again",
    "take_banks_word",
    "ask_bank_again",
    "ask_hospital",
]
"""How a break can be mended; the last is for people alone."""

State = Literal["open", "accepted", "approved", "repaired", "unfit"]


class Break(Struct, frozen=True):
    """A difference between two sides, at the smallest thing in which they differ.

    `id` follows from all that it says, so the same difference found again is the same break. `ours_fen` and
    `theirs_fen` are the amounts of either side, None where a side has none. `subject` is the line, settlement or
    transfer concerned; `line` is the hospital's line, where the repair needs it.
    """

    id: str
    kind: BreakKind
    visit: str
    number: str
    subject: str
    ours_fen: int | None
    theirs_fen: int | None
    repair: RepairKind
    line: FiledLine | None = None


class Handling(Struct, frozen=True):
    """What became of a break: accepted by one person, approved by another, then repaired, or found not to fit."""

    state: State = "open"
    accepted_by: str | None = None
    accepted_at: datetime | None = None
    approved_by: str | None = None
    approved_at: datetime | None = None
    said: str | None = None


class Totals(Struct, frozen=True):
    """The sums of a day over a hospital's settled visits, in fen; `payout_fen` is what the city owes the hospital."""

    visits: int = 0
    medfee_fen: int = 0
    fund_fen: int = 0
    account_fen: int = 0
    cash_fen: int = 0
    covered_fen: int = 0
    exception_fen: int = 0
    counter_fen: int = 0
    paid_fen: int = 0
    refunded_fen: int = 0
    payout_fen: int = 0


class VisitTotal(Struct, frozen=True, gc=False):
    """A settled visit of the day: its number, its medical fee, and what the city pays the hospital for it."""

    number: str
    visit: str
    medfee_fen: int
    payout_fen: int


class Reconciliation(Document, kw_only=True):
    """A hospital's day: what was compared, what differs, and what became of it. Its `id` follows from the two.

    `breaks` and `handled` go together by the ids of the breaks. `due_ms` is when a sweep carries approved repairs out.
    """

    collection: ClassVar[str] = "reconciliations"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("hospital",), ordered="day"), Index((), ordered="due_ms"))

    hospital: str
    day: str
    made_at: datetime
    file_digest: str
    totals: Totals
    visits: tuple[VisitTotal, ...] = ()
    breaks: tuple[Break, ...] = ()
    handled: dict[str, Handling] = field(default_factory=dict[str, Handling])
    left_out: int = 0
    due_ms: int | None = None

    def handling(self, break_id: str) -> Handling:
        """Give what became of a break."""
        return self.handled.get(break_id, Handling())

    def open_breaks(self) -> list[Break]:
        """Give the breaks that are not repaired."""
        return [one for one in self.breaks if self.handling(one.id).state != "repaired"]


def reconciliation_id(hospital: str, day: date) -> str:
    """Give the id of a hospital's day."""
    return hashlib.sha256(f"reconciliation\n{hospital}\n{day}".encode()).hexdigest()[:32]


def compare(
    hospital: str,
    ours: Sequence[Visit],
    theirs: Mapping[str, FiledVisit],
    insured: Iterable[SettledThere],
    banked: Iterable[BankEntry],
    known: Mapping[str, Visit],
) -> list[Break]:
    """Give every difference of a day, visit by visit.

    `ours` are the visits that were settled that day, `theirs` the hospital's file, `insured` and `banked` what the
    insurance and the bank did that day. `known` are all our visits that any of them speaks of, by id.
    """
    breaks: list[Break] = []
    mine = {visit.number: visit for visit in ours}
    for number in sorted(mine.keys() | theirs.keys()):
        visit = mine.get(number) or known.get(visit_id(hospital, number))
        breaks.extend(_with_hospital(number, visit, theirs.get(number), settled_today=number in mine))
    breaks.extend(_with_insurance(ours, insured, known))
    breaks.extend(_with_bank(ours, banked, known))
    return breaks


def _break(
    kind: BreakKind,
    visit: str,
    number: str,
    subject: str,
    ours_fen: int | None,
    theirs_fen: int | None,
    repair: RepairKind,
    line: FiledLine | None = None,
) -> Break:
    said = "\n".join(map(str, (kind, visit, number, subject, ours_fen, theirs_fen)))
    key = hashlib.sha256(said.encode()).hexdigest()[:16]
    return Break(key, kind, visit, number, subject, ours_fen, theirs_fen, repair, line)


def _with_hospital(
    number: str, visit: Visit | None, theirs: FiledVisit | None, *, settled_today: bool
) -> Iterable[Break]:
    if visit is None:
        assert theirs is not None, "a number is one side's"
        total = sum(line.amount_fen for line in theirs.lines.values())
        yield _break("visit_only_there", "", number, number, None, total, "ask_hospital")
        return
    if theirs is None:
        yield _break("visit_only_here", visit.id, number, number, visit.total_fen(), None, "ask_hospital")
        return
    ours = filed(visit)
    for line_id in theirs.twice:
        fen = theirs.lines[line_id].amount_fen
        yield _break("line_twice_there", visit.id, number, line_id, fen, 2 * fen, "ask_hospital")
    for line_id in sorted(ours.lines.keys() | theirs.lines.keys()):
        yield from _line(visit, ours.lines.get(line_id), theirs.lines.get(line_id))
    if settled_today and ours.settlement != theirs.settlement:
        mine, other = ours.settlement, theirs.settlement
        subject = mine.id if mine is not None else "-"
        ours_fen, theirs_fen = (mine and mine.cash_fen, other and other.cash_fen)
        yield _break("settlement_differs", visit.id, number, subject, ours_fen, theirs_fen, "ask_hospital")
    if ours.counter_fen != theirs.counter_fen:
        subject = "counter"
        yield _break("counter_differs", visit.id, number, subject, ours.counter_fen, theirs.counter_fen, "ask_hospital")


def _line(visit: Visit, ours: FiledLine | None, theirs: FiledLine | None) -> Iterable[Break]:
    if ours is None:
        assert theirs is not None, "a line is one side's"
        repair: RepairKind = "take_charge" if theirs.record == "charge" else "take_credit"
        fits = not (theirs.amount_fen > 0 and visit.was_paid())
        yield _break(
            "line_only_there",
            visit.id,
            visit.number,
            theirs.id,
            None,
            theirs.amount_fen,
            repair if fits else "ask_hospital",
            theirs,
        )
    elif theirs is None:
        fits = ours.record == "charge" and visit.net_fen(ours.id) > 0
        repair = "credit_line" if fits else "ask_hospital"
        yield _break("line_only_here", visit.id, visit.number, ours.id, ours.amount_fen, None, repair)
    elif ours != theirs:
        same = (ours.record, ours.of, ours.code) == (theirs.record, theirs.of, theirs.code)
        up = theirs.amount_fen > ours.amount_fen
        fits = same and ours.record == "charge" and not (up and visit.was_paid())
        yield _break(
            "line_differs",
            visit.id,
            visit.number,
            ours.id,
            ours.amount_fen,
            theirs.amount_fen,
            "adjust_line" if fits else "ask_hospital",
            theirs,
        )


def _with_insurance(
    ours: Sequence[Visit], insured: Iterable[SettledThere], known: Mapping[str, Visit]
) -> Iterable[Break]:
    there = {one.settlement_id: one for one in insured}
    for visit in ours:
        settled = visit.settlement
        if settled is None or not settled.split.settlement_id:
            continue
        split, other = settled.split, there.pop(settled.split.settlement_id, None)
        subject, fen = split.settlement_id, split.medfee_fen
        if other is None:
            yield _break("insurance_only_here", visit.id, visit.number, subject, fen, None, "settle_again")
        elif (split.medfee_fen, split.fund_fen, split.account_fen, split.cash_fen) != (
            other.medfee_fen,
            other.fund_fen,
            other.account_fen,
            other.cash_fen,
        ):
            yield _break(
                "insurance_differs", visit.id, visit.number, subject, split.cash_fen, other.cash_fen, "settle_again"
            )
    for ghost in there.values():
        visit = known.get(ghost.visit)
        settled = visit.settlement if visit is not None else None
        if settled is not None and settled.split.settlement_id == ghost.settlement_id:
            continue  # it is of another day here: settled there just before midnight, noted here just after
        number = visit.number if visit is not None else "-"
        yield _break(
            "insurance_only_there",
            ghost.visit,
            number,
            ghost.settlement_id,
            None,
            ghost.medfee_fen,
            "cancel_at_insurance",
        )


def _with_bank(ours: Sequence[Visit], banked: Iterable[BankEntry], known: Mapping[str, Visit]) -> Iterable[Break]:
    moved = {entry.id: entry for entry in banked}
    visits = {visit.id: visit for visit in (*known.values(), *ours)}
    for visit in visits.values():
        transfers = [(one.id, one.amount_fen, one.state == "paid", "payment") for one in visit.payments]
        transfers += [(one.id, one.amount_fen, one.state == "done", "refund") for one in visit.refunds]
        for transfer_id, fen, done, kind in transfers:
            entry = moved.pop(transfer_id, None)
            if entry is not None and not done:
                only: BreakKind = "payment_only_at_bank" if kind == "payment" else "refund_only_at_bank"
                yield _break(only, visit.id, visit.number, transfer_id, None, entry.amount_fen, "take_banks_word")
            elif entry is not None and entry.amount_fen != fen:
                yield _break(
                    "transfer_differs", visit.id, visit.number, transfer_id, fen, entry.amount_fen, "ask_bank_again"
                )
    for entry in moved.values():
        visit = visits.get(entry.id.partition("/")[0])
        number = visit.number if visit is not None else "-"
        only = "payment_only_at_bank" if entry.kind == "payment" else "refund_only_at_bank"
        repair: RepairKind = "ask_bank_again"
        yield _break(only, entry.id.partition("/")[0], number, entry.id, None, entry.amount_fen, repair)


def missing_at_bank(
    visits: Iterable[Visit], banked: Iterable[BankEntry], begins: datetime, ends: datetime
) -> list[Break]:
    """Give the transfers that we hold as done within [begins, ends) and the bank does not."""
    there = {entry.id for entry in banked}
    found: list[Break] = []
    for visit in visits:
        for payment in visit.payments:
            at = payment.answered_at
            if payment.state == "paid" and at is not None and begins <= at < ends and payment.id not in there:
                found.append(
                    _break(
                        "payment_only_here",
                        visit.id,
                        visit.number,
                        payment.id,
                        payment.amount_fen,
                        None,
                        "ask_bank_again",
                    )
                )
        for refund in visit.refunds:
            at = refund.answered_at
            if refund.state == "done" and at is not None and begins <= at < ends and refund.id not in there:
                found.append(
                    _break(
                        "refund_only_here", visit.id, visit.number, refund.id, refund.amount_fen, None, "ask_bank_again"
                    )
                )
    return found


def totals_of(visits: Sequence[Visit], banked: Iterable[BankEntry]) -> tuple[Totals, tuple[VisitTotal, ...]]:
    """Give the sums of a day's settled visits, and of what the bank moved for them that day."""
    sums: Counter[str] = Counter()
    each: list[VisitTotal] = []
    for visit in visits:
        split, bill = visit.settlement and visit.settlement.split, visit.bill
        if split is None:
            continue
        payout = bill.payable_fen if bill is not None else 0
        each.append(VisitTotal(visit.number, visit.id, split.medfee_fen, payout))
        sums.update(
            medfee_fen=split.medfee_fen,
            fund_fen=split.fund_fen,
            account_fen=split.account_fen + split.family_account_fen,
            cash_fen=split.cash_fen,
            covered_fen=bill.covered_fen if bill is not None else 0,
            exception_fen=bill.exception_fen if bill is not None else 0,
            counter_fen=bill.counter_fen if bill is not None else 0,
            payout_fen=payout,
        )
    for entry in banked:
        sums["paid_fen" if entry.kind == "payment" else "refunded_fen"] += entry.amount_fen
    return Totals(visits=len(each), **sums), tuple(each)
