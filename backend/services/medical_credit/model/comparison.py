"""Compare a hospital's day in four records: the hospital's, ours, the insurance's and the bank's. Pure."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from backend.paylater.ports import BankEntry
from backend.paylater.statement import TransferDifference, compare_transfers
from backend.services.medical_credit.model.hospital_file import FiledLine, FiledVisit, our_record
from backend.services.medical_credit.model.reconciliation import (
    Difference,
    DifferenceKind,
    RepairKind,
    Totals,
    VisitTotal,
)
from backend.services.medical_credit.model.visit import Visit, visit_id
from backend.services.medical_credit.ports import InsurerSettlement


def compare(
    hospital: str,
    ours: Sequence[Visit],
    theirs: Mapping[str, FiledVisit],
    insured: Iterable[InsurerSettlement],
    banked: Iterable[BankEntry],
    known: Mapping[str, Visit],
) -> list[Difference]:
    """Return the differences of a day, visit by visit.

    `ours` are our visits that were settled that day, and `theirs` the hospital's file. `insured` and `banked` are the
    records of the insurance and the bank of that day. `known` are all our visits that any of them refers to, by id.
    """
    differences: list[Difference] = []
    mine = {visit.number: visit for visit in ours}
    for number in sorted(mine.keys() | theirs.keys()):
        visit = mine.get(number) or known.get(visit_id(hospital, number))
        differences.extend(_hospital_differences(number, visit, theirs.get(number), settled_today=number in mine))
    differences.extend(_insurance_differences(ours, insured, known))
    visits = {visit.id: visit for visit in (*known.values(), *ours)}
    differences.extend(bank_differences(compare_transfers(visits.values(), banked), visits))
    return differences


def _difference(
    kind: DifferenceKind,
    visit: str,
    number: str,
    subject: str,
    ours_fen: int | None,
    theirs_fen: int | None,
    repair: RepairKind,
    line: FiledLine | None = None,
) -> Difference:
    contents = "\n".join(map(str, (kind, visit, number, subject, ours_fen, theirs_fen)))
    key = hashlib.sha256(contents.encode()).hexdigest()[:16]
    return Difference(key, kind, visit, number, subject, ours_fen, theirs_fen, repair, line)


def _hospital_differences(
    number: str, visit: Visit | None, theirs: FiledVisit | None, *, settled_today: bool
) -> Iterable[Difference]:
    if visit is None:
        assert theirs is not None, "every number is in our records or the hospital's"
        total = sum(line.amount_fen for line in theirs.lines.values())
        yield _difference("visit_only_at_hospital", "", number, number, None, total, "contact_hospital")
        return
    if theirs is None:
        yield _difference(
            "visit_missing_at_hospital", visit.id, number, number, visit.total_fen(), None, "contact_hospital"
        )
        return
    ours = our_record(visit)
    for line_id in theirs.duplicates:
        fen = theirs.lines[line_id].amount_fen
        yield _difference("line_duplicated_at_hospital", visit.id, number, line_id, fen, 2 * fen, "contact_hospital")
    for line_id in sorted(ours.lines.keys() | theirs.lines.keys()):
        yield from _line_differences(visit, ours.lines.get(line_id), theirs.lines.get(line_id))
    if settled_today and ours.settlement != theirs.settlement:
        mine, other = ours.settlement, theirs.settlement
        subject = mine.id if mine is not None else "-"
        ours_fen, theirs_fen = (mine and mine.cash_fen, other and other.cash_fen)
        yield _difference("settlement_differs", visit.id, number, subject, ours_fen, theirs_fen, "contact_hospital")
    if ours.counter_fen != theirs.counter_fen:
        subject = "counter"
        yield _difference(
            "counter_differs", visit.id, number, subject, ours.counter_fen, theirs.counter_fen, "contact_hospital"
        )


def _line_differences(visit: Visit, ours: FiledLine | None, theirs: FiledLine | None) -> Iterable[Difference]:
    if ours is None:
        assert theirs is not None, "every line is in our records or the hospital's"
        repair: RepairKind = "add_charge" if theirs.record == "charge" else "add_credit"
        repairable = not (theirs.amount_fen > 0 and visit.was_paid())
        yield _difference(
            "line_only_at_hospital",
            visit.id,
            visit.number,
            theirs.id,
            None,
            theirs.amount_fen,
            repair if repairable else "contact_hospital",
            theirs,
        )
    elif theirs is None:
        repairable = ours.record == "charge" and visit.net_fen(ours.id) > 0
        repair = "credit_line" if repairable else "contact_hospital"
        yield _difference("line_missing_at_hospital", visit.id, visit.number, ours.id, ours.amount_fen, None, repair)
    elif ours != theirs:
        same = (ours.record, ours.of, ours.code) == (theirs.record, theirs.of, theirs.code)
        up = theirs.amount_fen > ours.amount_fen
        repairable = same and ours.record == "charge" and not (up and visit.was_paid())
        yield _difference(
            "line_differs",
            visit.id,
            visit.number,
            ours.id,
            ours.amount_fen,
            theirs.amount_fen,
            "adjust_line" if repairable else "contact_hospital",
            theirs,
        )


def _insurance_differences(
    ours: Sequence[Visit], insured: Iterable[InsurerSettlement], known: Mapping[str, Visit]
) -> Iterable[Difference]:
    theirs = {one.settlement_id: one for one in insured}
    for visit in ours:
        settled = visit.settlement
        if settled is None or not settled.split.settlement_id:
            continue
        split, other = settled.split, theirs.pop(settled.split.settlement_id, None)
        subject, fen = split.settlement_id, split.medfee_fen
        if other is None:
            yield _difference(
                "settlement_missing_at_insurance", visit.id, visit.number, subject, fen, None, "settle_again"
            )
        elif (split.medfee_fen, split.fund_fen, split.account_fen, split.cash_fen) != (
            other.medfee_fen,
            other.fund_fen,
            other.account_fen,
            other.cash_fen,
        ):
            yield _difference(
                "insurance_split_differs",
                visit.id,
                visit.number,
                subject,
                split.cash_fen,
                other.cash_fen,
                "settle_again",
            )
    for extra in theirs.values():
        visit = known.get(extra.visit)
        settled = visit.settlement if visit is not None else None
        if settled is not None and settled.split.settlement_id == extra.settlement_id:
            continue  # settled at the insurance just before midnight and recorded here just after
        number = visit.number if visit is not None else "-"
        yield _difference(
            "settlement_only_at_insurance",
            extra.visit,
            number,
            extra.settlement_id,
            None,
            extra.medfee_fen,
            "cancel_at_insurance",
        )


def bank_differences(found: Iterable[TransferDifference], known: Mapping[str, Visit]) -> Iterable[Difference]:
    """Return what differs from the bank's statement, with the hospital's number of each visit."""
    for one in found:
        visit = known.get(one.billable)
        number = visit.number if visit is not None else "-"
        yield _difference(one.kind, one.billable, number, one.transfer, one.ours_fen, one.theirs_fen, one.repair)


def totals_of(visits: Sequence[Visit], banked: Iterable[BankEntry]) -> tuple[Totals, tuple[VisitTotal, ...]]:
    """Return the totals of a day's settled visits and of the bank's transfers that day, and the totals per visit."""
    sums: Counter[str] = Counter()
    each: list[VisitTotal] = []
    for visit in visits:
        split, bill = visit.settlement and visit.settlement.split, visit.bill
        if split is None:
            continue
        each.append(VisitTotal(visit.number, visit.id, split.medfee_fen, visit.payable_fen()))
        sums.update(
            medfee_fen=split.medfee_fen,
            fund_fen=split.fund_fen,
            account_fen=split.account_fen + split.family_account_fen,
            cash_fen=split.cash_fen,
            payout_fen=visit.payable_fen(),
        )
        if bill is not None:
            sums.update(covered_fen=bill.covered_fen, exception_fen=bill.exception_fen, counter_fen=bill.counter_fen)
    for entry in banked:
        sums["paid_fen" if entry.kind == "payment" else "refunded_fen"] += entry.amount_fen
    return Totals(visits=len(each), **sums), tuple(each)
