"""Compare a hospital's day in four records: the hospital's, ours, the insurance's and the bank's. Pure."""

import hashlib
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
from backend.services.medical_credit.ports import SettlementRecord


def compare(
    hospital: str,
    ours: Sequence[Visit],
    theirs: Mapping[str, FiledVisit],
    insured: Iterable[SettlementRecord],
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
    visit: tuple[str, str],
    subject: str,
    ours_fen: int | None,
    theirs_fen: int | None,
    repair: RepairKind = "contact_hospital",
    line: FiledLine | None = None,
) -> Difference:
    """Return a difference; `visit` is the visit's id and the hospital's number of it."""
    contents = "\n".join(map(str, (kind, *visit, subject, ours_fen, theirs_fen)))
    key = hashlib.sha256(contents.encode()).hexdigest()[:16]
    return Difference(key, kind, *visit, subject, ours_fen, theirs_fen, repair, line)


def _hospital_differences(
    number: str, visit: Visit | None, theirs: FiledVisit | None, *, settled_today: bool
) -> Iterable[Difference]:
    if visit is None:
        assert theirs is not None, "every number is in our records or the hospital's"
        total = sum(line.amount_fen for line in theirs.lines.values())
        yield _difference("visit_only_at_hospital", ("", number), number, None, total)
        return
    where = (visit.id, number)
    if theirs is None:
        yield _difference("visit_missing_at_hospital", where, number, visit.total_fen(), None)
        return
    ours = our_record(visit)
    for line_id in theirs.duplicates:
        fen = theirs.lines[line_id].amount_fen
        yield _difference("line_duplicated_at_hospital", where, line_id, fen, 2 * fen)
    for line_id in sorted(ours.lines.keys() | theirs.lines.keys()):
        yield from _line_differences(visit, ours.lines.get(line_id), theirs.lines.get(line_id))
    if settled_today and ours.settlement != theirs.settlement:
        mine, other = ours.settlement, theirs.settlement
        subject = mine.settlement_id if mine is not None else "-"
        yield _difference("settlement_differs", where, subject, mine and mine.cash_fen, other and other.cash_fen)
    ours_fen, theirs_fen = sum(ours.counter.values()), sum(theirs.counter.values())
    if ours_fen != theirs_fen:
        yield _difference("counter_differs", where, "counter", ours_fen, theirs_fen)


def _line_differences(visit: Visit, ours: FiledLine | None, theirs: FiledLine | None) -> Iterable[Difference]:
    where, repair = (visit.id, visit.number), "contact_hospital"
    if ours is None:
        assert theirs is not None, "every line is in our records or the hospital's"
        if theirs.amount_fen <= 0 or not visit.was_paid():
            repair = "add_charge" if theirs.record == "charge" else "add_credit"
        yield _difference("line_only_at_hospital", where, theirs.id, None, theirs.amount_fen, repair, theirs)
    elif theirs is None:
        if ours.record == "charge" and visit.net_fen(ours.id) > 0:
            repair = "credit_line"
        yield _difference("line_missing_at_hospital", where, ours.id, ours.amount_fen, None, repair)
    elif ours != theirs:
        same = (ours.record, ours.of, ours.code) == (theirs.record, theirs.of, theirs.code)
        up = theirs.amount_fen > ours.amount_fen
        if same and ours.record == "charge" and not (up and visit.was_paid()):
            repair = "adjust_line"
        yield _difference("line_differs", where, ours.id, ours.amount_fen, theirs.amount_fen, repair, theirs)


def _insurance_differences(
    ours: Sequence[Visit], insured: Iterable[SettlementRecord], known: Mapping[str, Visit]
) -> Iterable[Difference]:
    theirs = {one.settlement_id: one for one in insured}
    for visit in ours:
        settled, where = visit.settlement, (visit.id, visit.number)
        if settled is None or not settled.split.settlement_id:
            continue
        split = settled.split
        subject, other = split.settlement_id, theirs.pop(split.settlement_id, None)
        if other is None:
            yield _difference("settlement_missing_at_insurance", where, subject, split.medfee_fen, None, "settle_again")
        elif any(getattr(split, name) != getattr(other, name) for name in _COMPARED):
            yield _difference("insurance_split_differs", where, subject, split.cash_fen, other.cash_fen, "settle_again")
    for extra in theirs.values():
        visit = known.get(extra.visit)
        settled = visit.settlement if visit is not None else None
        if settled is not None and settled.split.settlement_id == extra.settlement_id:
            continue  # settled at the insurance just before midnight and recorded here just after
        where = (extra.visit, visit.number if visit is not None else "-")
        repair = "cancel_at_insurance"
        yield _difference("settlement_only_at_insurance", where, extra.settlement_id, None, extra.medfee_fen, repair)


_COMPARED = ("medfee_fen", "fund_fen", "account_fen", "cash_fen")


def bank_differences(found: Iterable[TransferDifference], known: Mapping[str, Visit]) -> Iterable[Difference]:
    """Return what differs from the bank's statement, with the hospital's number of each visit."""
    for one in found:
        visit = known.get(one.billable)
        where = (one.billable, visit.number if visit is not None else "-")
        yield _difference(one.kind, where, one.transfer, one.ours_fen, one.theirs_fen, one.repair)


def totals_of(visits: Sequence[Visit], banked: Sequence[BankEntry]) -> tuple[Totals, tuple[VisitTotal, ...]]:
    """Return the totals of a day's settled visits and of the bank's transfers that day, and the totals per visit."""
    settled = [(visit, visit.settlement.split) for visit in visits if visit.settlement is not None]
    bills = [visit.bill for visit, _ in settled if visit.bill is not None]
    totals = Totals(
        visits=len(settled),
        medfee_fen=sum(split.medfee_fen for _, split in settled),
        fund_fen=sum(split.fund_fen for _, split in settled),
        account_fen=sum(split.account_fen + split.family_account_fen for _, split in settled),
        cash_fen=sum(split.cash_fen for _, split in settled),
        covered_fen=sum(bill.covered_fen for bill in bills),
        exception_fen=sum(bill.exception_fen for bill in bills),
        counter_fen=sum(bill.counter_fen for bill in bills),
        paid_fen=sum(entry.amount_fen for entry in banked if entry.kind == "payment"),
        refunded_fen=sum(entry.amount_fen for entry in banked if entry.kind == "refund"),
        payout_fen=sum(visit.payable_fen() for visit, _ in settled),
    )
    each = (VisitTotal(visit.number, visit.id, split.medfee_fen, visit.payable_fen()) for visit, split in settled)
    return totals, tuple(each)
