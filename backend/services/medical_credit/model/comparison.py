"""Compare a hospital's day in four records: the hospital's, ours, the insurance's and the bank's. Pure.

Every difference says in a sentence what differs, so that an accountant need not guess from two equal amounts.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from backend.i18n import Text, decimal_yuan
from backend.paylater.difference_texts import DifferingValue, differing_text, repeated_text
from backend.paylater.ports import BankEntry
from backend.paylater.statement import TransferDifference
from backend.services.medical_credit.model.hospital_file import (
    NO_SETTLEMENT,
    FiledLine,
    FiledPayment,
    FiledSettlement,
    FiledVisit,
    our_record,
    shares_of,
    with_systems,
)
from backend.services.medical_credit.model.hospital_settlement import awaited_text
from backend.services.medical_credit.model.reconciliation import (
    Difference,
    DifferenceKind,
    RepairKind,
    Totals,
    VisitTotal,
)
from backend.services.medical_credit.model.visit import Visit, visit_id

_RECORDS = {
    "charge": Text(zh="收费", en="charge"),
    "credit": Text(zh="退费", en="credit"),
    "adjustment": Text(zh="调整", en="adjustment"),
}
_SHARES = (
    Text(zh="医疗费总额", en="medical fee"),
    Text(zh="基金支付", en="fund"),
    Text(zh="账户支付", en="accounts"),
    Text(zh="个人现金", en="cash share"),
)


def difference(
    kind: DifferenceKind,
    visit: tuple[str, str],
    subject: str,
    ours_fen: int | None,
    theirs_fen: int | None,
    detail: Text,
    *,
    repair: RepairKind = "contact_hospital",
    line: FiledLine | None = None,
) -> Difference:
    """Return a difference; `visit` is the visit's id and the hospital's number of it."""
    contents = "\n".join(map(str, (kind, *visit, subject, ours_fen, theirs_fen)))
    key = hashlib.sha256(contents.encode()).hexdigest()[:16]
    return Difference(key, kind, *visit, subject, ours_fen, theirs_fen, repair, line, detail)


def compare_with_hospital(
    hospital: str,
    day: date,
    ours: Sequence[Visit],
    theirs: Mapping[str, FiledVisit],
    known: Mapping[str, Visit],
    zone: ZoneInfo,
) -> Iterator[Difference]:
    """Yield the differences between a hospital's file of a day and our visits, visit by visit.

    `ours` are our visits that were settled that day, and `known` all our visits that the file names, by id.
    """
    mine = {visit.number: visit for visit in ours}
    for number in sorted(mine.keys() | theirs.keys()):
        visit = mine.get(number) or known.get(visit_id(hospital, number))
        filed = theirs.get(number)
        if visit is None:
            assert filed is not None, "every number is in our records or the hospital's"
            yield _visit_only_at_hospital(number, filed)
        elif filed is None:
            detail = Text(
                zh=f"就诊{number}我方已于{day}结算，医院当日文件中没有。",
                en=f"Visit {number} was settled on {day} here and is not in the hospital's file of that day.",
            )
            total_fen = visit.total_fen()
            yield difference("visit_missing_at_hospital", (visit.id, number), number, total_fen, None, detail)
        else:
            yield from _visit_differences(visit, filed, day, zone)


def _visit_only_at_hospital(number: str, filed: FiledVisit) -> Difference:
    total_fen = sum(line.amount_fen for line in filed.lines.values())
    detail = Text(
        zh=f"就诊{number}医院有{len(filed.lines)}条费用，共{decimal_yuan(total_fen)}元，我方没有该就诊。",
        en=f"Visit {number} has {decimal_yuan(total_fen)} yuan at the hospital, on {len(filed.lines)} line(s), "
        "and is unknown here.",
    )
    return difference("visit_only_at_hospital", ("", number), number, None, total_fen, detail)


def _visit_differences(visit: Visit, filed: FiledVisit, day: date, zone: ZoneInfo) -> Iterator[Difference]:
    where, ours = (visit.id, visit.number), our_record(visit, zone)
    filed = with_systems(filed, ours)
    for line_id in filed.repeated_lines:
        fen = filed.lines[line_id].amount_fen
        detail = repeated_text(Text(zh=f"费用{line_id}", en=f"Line {line_id}"), _FILE, fen)
        yield difference("line_duplicated_at_hospital", where, line_id, fen, 2 * fen, detail)
    for line_id in sorted(ours.lines.keys() | filed.lines.keys()):
        yield from _line_differences(visit, ours.lines.get(line_id), filed.lines.get(line_id))
    yield from _settlement_differences(visit, ours, filed, day)
    yield from _outdated_settlement(visit)
    yield from _payment_differences(visit, ours, filed)


# ── lines ──


def _line_differences(visit: Visit, ours: FiledLine | None, theirs: FiledLine | None) -> Iterator[Difference]:
    where, repair = (visit.id, visit.number), "contact_hospital"
    if ours is None:
        assert theirs is not None, "every line is in our records or the hospital's"
        if theirs.amount_fen <= 0 or not visit.was_paid():
            repair = "add_charge" if theirs.record == "charge" else "add_credit"
        detail = _on_one_side(_line_title(theirs), theirs.amount_fen, _HOSPITAL, _HERE)
        fen = theirs.amount_fen
        yield difference("line_only_at_hospital", where, theirs.id, None, fen, detail, repair=repair, line=theirs)
    elif theirs is None:
        if ours.record == "charge" and visit.net_fen(ours.id) > 0:
            repair = "credit_line"
        detail = _on_one_side(_line_title(ours), ours.amount_fen, _HERE, _HOSPITAL)
        yield difference("line_missing_at_hospital", where, ours.id, ours.amount_fen, None, detail, repair=repair)
    elif what := list(_what_of_line(ours, theirs)):
        same = (ours.record, ours.of, ours.code) == (theirs.record, theirs.of, theirs.code)
        up = theirs.amount_fen > ours.amount_fen
        if same and ours.record == "charge" and ours.amount_fen != theirs.amount_fen and not (up and visit.was_paid()):
            repair = "adjust_line"
        detail = differing_text(Text(zh=f"费用{ours.id}", en=f"Line {ours.id}"), what, _AT_HOSPITAL)
        amounts = ours.amount_fen, theirs.amount_fen
        yield difference("line_differs", where, ours.id, *amounts, detail, repair=repair, line=theirs)


_HERE = Text(zh="我方", en="the city")
_HOSPITAL = Text(zh="医院", en="the hospital")
_AT_HOSPITAL = Text(zh="医院", en="at the hospital")
_FILE = Text(zh="医院文件", en="the hospital's file")


def _line_title(line: FiledLine) -> Text:
    record = _RECORDS[line.record]
    return Text(zh=f"{record.zh}{line.id}", en=f"The {record.en} {line.id}")


def _on_one_side(subject: Text, fen: int, has: Text, lacks: Text) -> Text:
    return Text(
        zh=f"{subject.zh}（{decimal_yuan(fen)}元）{has.zh}有，{lacks.zh}没有。",
        en=f"{subject.en} of {decimal_yuan(fen)} yuan is in the records of {has.en} and not in those of {lacks.en}.",
    )


def _what_of_line(ours: FiledLine, theirs: FiledLine) -> Iterator[DifferingValue]:
    """Yield what differs between a line here and at the hospital, with both values."""
    if ours.amount_fen != theirs.amount_fen:
        yield Text(zh="金额", en="amount"), decimal_yuan(ours.amount_fen), decimal_yuan(theirs.amount_fen)
    if ours.record != theirs.record:
        yield Text(zh="记录类型", en="record"), ours.record, theirs.record
    if ours.code != theirs.code:
        yield Text(zh="项目编码", en="code"), ours.code or "-", theirs.code or "-"
    if ours.of != theirs.of:
        yield Text(zh="对应的收费", en="charge that it corrects"), ours.of or "-", theirs.of or "-"
    yield from _other_day(ours.day, theirs.day)


def _other_day(ours: date | None, theirs: date | None) -> Iterator[DifferingValue]:
    if ours is not None and theirs is not None and ours != theirs:
        yield Text(zh="日期", en="day"), str(ours), str(theirs)


# ── settlements and payments at the counter ──


def _settlement_differences(visit: Visit, ours: FiledVisit, filed: FiledVisit, day: date) -> Iterator[Difference]:
    where = (visit.id, visit.number)
    mine = ours.settlements[0] if ours.settlements else None
    theirs = filed.settlements[0] if filed.settlements else None
    for again in filed.settlements[1:]:
        detail = Text(
            zh=f"就诊{visit.number}在医院文件中结算了{len(filed.settlements)}次，结算号{_ids(filed.settlements)}。",
            en=f"Visit {visit.number} has {len(filed.settlements)} settlements in the hospital's file: "
            f"{_ids(filed.settlements)}.",
        )
        ours_fen = mine and mine.cash_fen
        yield difference("settlement_repeated_at_hospital", where, again.id, ours_fen, again.cash_fen, detail)
    if theirs is not None:
        yield from _filed_settlement_differences(visit, mine, theirs, day)
    elif mine is not None and filed.cancelled:
        detail = Text(
            zh=f"就诊{visit.number}的结算医院已撤销，我方结算{mine.id}仍然有效。",
            en=f"The hospital cancelled its settlement of visit {visit.number}; {mine.id} is still in force here.",
        )
        yield difference("settlement_cancelled_at_hospital", where, mine.id, mine.cash_fen, None, detail)
    elif mine is not None and mine.day == day and visit.settled_by == "hospital":
        detail = Text(
            zh=f"就诊{visit.number}我方已结算（{mine.id}），医院文件中没有结算记录。",
            en=f"Visit {visit.number} is settled here ({mine.id}); the hospital's file has no settlement of it.",
        )
        yield difference("settlement_missing_at_hospital", where, mine.id, mine.cash_fen, None, detail)


def _ids(settlements: Iterable[FiledSettlement]) -> str:
    return ", ".join(one.id for one in settlements)


def _filed_settlement_differences(
    visit: Visit, mine: FiledSettlement | None, theirs: FiledSettlement, day: date
) -> Iterator[Difference]:
    """Yield the differences of a visit that the hospital has settled.

    If the city settled it, the hospital may not know the number, nor the day.
    """
    where, number = (visit.id, visit.number), visit.number
    if visit.cancelled_at is not None:
        detail = Text(
            zh=f"就诊{number}医院已结算（{theirs.id}），我方已取消该就诊。",
            en=f"Visit {number} is settled at the hospital ({theirs.id}) and cancelled here.",
        )
        ours_fen = mine and mine.cash_fen
        yield difference("settled_but_cancelled_here", where, theirs.id, ours_fen, theirs.cash_fen, detail)
    elif mine is None:
        detail = Text(
            zh=f"就诊{number}医院已结算（{theirs.id}），我方尚未结算。",
            en=f"Visit {number} is settled at the hospital ({theirs.id}) and not settled here yet.",
        )
        yield difference("settled_but_open_here", where, theirs.id, None, theirs.cash_fen, detail)
    else:
        named: list[DifferingValue] = []
        if (theirs.id, visit.settled_by) == (NO_SETTLEMENT, "city"):
            theirs = replace(theirs, day=theirs.day or mine.day)
        elif mine.id != theirs.id:
            named = [(Text(zh="结算号", en="number"), mine.id, theirs.id)]
        pairs = zip(_SHARES, shares_of(mine), shares_of(theirs), strict=True)
        shares = [(name, decimal_yuan(fen), decimal_yuan(other)) for name, fen, other in pairs if fen != other]
        if what := [*named, *shares, *_other_day(mine.day, theirs.day or day)]:
            detail = differing_text(
                Text(zh=f"就诊{number}的结算", en=f"The settlement of visit {number}"), what, _AT_HOSPITAL
            )
            yield difference("settlement_differs", where, mine.id, mine.cash_fen, theirs.cash_fen, detail)


def _outdated_settlement(visit: Visit) -> Iterator[Difference]:
    """Yield the difference of a visit that changed after the hospital's settlement, which it must renew."""
    detail, settled = awaited_text(visit), visit.settlement
    if detail is not None and settled is not None and visit.cancelled_at is None:
        where, key, fee_fen = (visit.id, visit.number), settled.split.settlement_id, settled.split.medfee_fen
        yield difference("settlement_outdated", where, key, visit.total_fen(), fee_fen, detail)


def _payment_differences(visit: Visit, ours: FiledVisit, filed: FiledVisit) -> Iterator[Difference]:
    """Yield the differences between payments at the counter; several on one side may be one on the other."""
    where = (visit.id, visit.number)
    yield from _overpaid(visit)
    for key in filed.repeated_payments:
        fen = filed.payments[key].amount_fen
        detail = repeated_text(Text(zh=f"窗口支付{key}", en=f"The counter payment {key}"), _FILE, fen)
        mine = ours.payments.get(key)
        yield difference("counter_repeated_at_hospital", where, key, mine and mine.amount_fen, 2 * fen, detail)
    for key in sorted(ours.payments.keys() & filed.payments.keys()):
        mine, theirs = ours.payments[key], filed.payments[key]
        if what := list(_what_of_payment(mine, theirs)):
            detail = differing_text(Text(zh=f"窗口支付{key}", en=f"The counter payment {key}"), what, _AT_HOSPITAL)
            yield difference("counter_differs", where, key, mine.amount_fen, theirs.amount_fen, detail)
    only_ours = [one for key, one in sorted(ours.payments.items()) if key not in filed.payments]
    only_theirs = [one for key, one in sorted(filed.payments.items()) if key not in ours.payments]
    if sum(one.amount_fen for one in only_ours) == sum(one.amount_fen for one in only_theirs):
        return
    for one in only_ours:
        title = Text(zh=f"窗口支付{one.id}", en=f"The counter payment {one.id}")
        detail = _on_one_side(title, one.amount_fen, _HERE, _HOSPITAL)
        yield difference("counter_missing_at_hospital", where, one.id, one.amount_fen, None, detail)
    for one in only_theirs:
        title = Text(zh=f"窗口支付{one.id}", en=f"The counter payment {one.id}")
        detail = _on_one_side(title, one.amount_fen, _HOSPITAL, _HERE)
        if visit.counter_payment(one.id) is not None:
            detail = _withdrawn_here(one)
        yield difference("counter_only_at_hospital", where, one.id, None, one.amount_fen, detail)


def _withdrawn_here(paid: FiledPayment) -> Text:
    amount = decimal_yuan(paid.amount_fen)
    return Text(
        zh=f"窗口支付{paid.id}（{amount}元）医院已向我方撤销，但仍在医院文件中。",
        en=f"The hospital withdrew the counter payment {paid.id} of {amount} yuan here, and still has it in its file.",
    )


def _overpaid(visit: Visit) -> Iterator[Difference]:
    """Yield what the hospital has taken at the counter beyond the person's share, which it must give back."""
    overpaid_fen, paid_fen = visit.counter_overpaid_fen(), visit.counter_paid_fen()
    if overpaid_fen and visit.cancelled_at is None:
        amount = decimal_yuan(overpaid_fen)
        detail = Text(
            zh=f"就诊{visit.number}患者在窗口多付{amount}元，请医院退还患者，并更正窗口支付。",
            en=f"The patient of visit {visit.number} paid {amount} yuan too much at the counter; "
            "the hospital must give it back and correct the counter payment.",
        )
        where, share_fen = (visit.id, visit.number), paid_fen - overpaid_fen
        yield difference("counter_overpaid", where, visit.number, share_fen, paid_fen, detail)


def _what_of_payment(ours: FiledPayment, theirs: FiledPayment) -> Iterator[DifferingValue]:
    if ours.amount_fen != theirs.amount_fen:
        yield Text(zh="金额", en="amount"), decimal_yuan(ours.amount_fen), decimal_yuan(theirs.amount_fen)
    yield from _other_day(ours.day, theirs.day)


def other_patients(visits: Iterable[Visit]) -> Iterator[Difference]:
    """Yield the difference of each visit that the hospital's file gives to another patient."""
    for visit in visits:
        detail = Text(
            zh=f"就诊{visit.number}医院文件中的患者证件号码与我方登记的不是同一人。",
            en=f"The hospital's file gives visit {visit.number} to another patient than our records do.",
        )
        yield difference("patient_differs", (visit.id, visit.number), visit.number, None, None, detail)


# ── the bank, and the totals ──


def bank_differences(found: Iterable[TransferDifference], known: Mapping[str, Visit]) -> Iterator[Difference]:
    """Yield what differs from the bank's statement, with the hospital's number of each visit."""
    for one in found:
        visit = known.get(one.billable)
        where = (one.billable, visit.number if visit is not None else "-")
        yield difference(one.kind, where, one.transfer, one.ours_fen, one.theirs_fen, one.detail, repair=one.repair)


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
